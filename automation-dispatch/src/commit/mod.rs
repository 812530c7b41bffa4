//! Committing decisions: many runs' writes, one transaction.
//!
//! Runs that walk at the same time hand their writes to the [`Committer`](group::Committer), which
//! takes whatever is waiting, writes it with one statement a table under every run's fence, and
//! answers each run for itself. Creating runs goes through the same interpreter
//! ([`apply`](apply::apply)), inside the transaction that decided to create them.

pub mod apply;
pub mod build;
pub mod group;
pub mod log_bound;
pub mod rows;
pub mod sql;

pub use apply::{Applier, Verdict};
pub use build::{Fence, NewRun, RunCommit, RunHead};
pub use group::Committer;
