//! Running checks: when ([`schedule`]), at most one at a time ([`claim`](crate::store::claims)),
//! how ([`run`]), and what follows ([`record`]).
//!
//! A tick of the recurring job reaches the [`worker`]. It reads the assignment as it is now, claims
//! the run for this node, executes it under the strategy's time limit, and records the outcome in
//! one transaction. A failing check is a result; a job never fails because a check did.

pub mod record;
pub mod run;
pub mod schedule;
mod secrets;
pub mod worker;

pub use secrets::SecretSource;
