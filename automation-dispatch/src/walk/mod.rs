//! The walker: executing the action tree of a run, one decision at a time.
//!
//! A run is a [`Walk`](tree::Walk): a serialisable tree of live nodes with its variables. Something
//! happens to it – it starts, a call answers, a lock was fired, its node died – and
//! [`decide`](decide::decide) turns the [`Event`](decide::Event) into a
//! [`Decision`](decide::Decision): rows to write in one transaction, and acts to perform only
//! after that has committed. Whatever must be awaited is an act, whose answer comes back as the
//! next event. So every interleaving of crash, cancellation and redelivery can be played against
//! the real decisions without a database.

mod checkpoint;
pub mod decide;
pub mod frame;
pub mod path;
pub mod tree;
pub mod view;

#[cfg(test)]
pub(crate) mod play;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_branches;
