//! The two stages between a change and the gates (`dispatch §5.7`, `entity §17–18`).
//!
//! *Route* runs inside the transaction that takes changes from the outbox: who waits for this entity,
//! who listens to this event? It writes one job per interested party and runs nothing. *Dispatch*
//! takes those jobs in batches, reads live state, and lets firings and wakes happen.

mod dispatch;
mod job;
mod route;

pub use dispatch::{fire_in_tx, hook, run};
#[cfg(any(test, feature = "sim"))]
pub(crate) use job::{DispatchJob, QUEUE};
pub use route::Router;
