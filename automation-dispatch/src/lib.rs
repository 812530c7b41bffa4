//! The heart of Signalbox: from a change to a durable run.
//!
//! Three loops, each taking a batch of rows, deciding in pure code, and committing once:
//!
//! ```text
//!  change ──▶ stage 1: route ──jobs──▶ stage 2: gates ──▶ run ──▶ walker ──▶ actions
//!             who waits, who listens   filter · for ·            one decision at a time,
//!                                      conditions · mode         under a lease, checkpointed
//! ```
//!
//! - [`stage`] routes entity changes and dispatches the jobs that come of them; [`builtin`] arms
//!   triggers that are set up per automation.
//! - [`fire`] lets occurrences meet automations: [`gates`], the ledger, [`window`]s, [`dwell`]s,
//!   [`concurrency`], and the creation of runs.
//! - [`walk`] decides what a run does next; [`drive`] performs it; [`commit`] writes it.
//! - [`waits`] ends delays, `wait_until` and `wait_for_trigger`; [`cancel`] ends runs; [`sweep`] is
//!   the backstop.
//! - [`why`] keeps what the gates decided, and why; [`replay`] rebuilds what a run saw;
//!   [`retention`] keeps history bounded.
//!
//! What holds always: every write of a run proves its lease epoch; whatever a decision wants done
//! happens only after what it wrote has committed; a signal that is lost costs time, never
//! correctness; a redelivered occurrence changes nothing.

mod announce;
mod automations;
mod builtin;
mod cancel;
mod commit;
mod concurrency;
mod delete;
mod drive;
mod dwell;
mod engine;
mod fire;
mod gates;
pub mod guards;
mod manual;
mod plugin;
mod replay;
mod retention;
mod scope;
mod shared;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
mod stage;
pub mod store;
mod sweep;
mod version;
mod waits;
mod walk;
mod why;
mod window;

pub use cancel::CancelError;
pub use drive::LeaseTimes;
pub use dwell::Dwell;
pub use engine::{ENGINE, Engine};
pub use manual::{ManualFiring, ManualRun, ManualRunError};
pub use plugin::{AutomationPlugin, capabilities};
pub use replay::{ReplayError, ReplayScope};
pub use retention::{Pruned, Retention};
pub use shared::Limits;
pub use why::{Cancelled, DecisionFilter, DecisionRecord, Dropped, Ruling, Scene, VERDICTS};

/// Every statement of the crate, for the test that prepares them on both engines (decision 15).
pub fn statements() -> Vec<(&'static str, plugin_api::db::Sql)> {
    [
        cancel::ALL,
        commit::log_bound::ALL,
        commit::sql::ALL,
        concurrency::ALL,
        concurrency::COOLING_ALL,
        concurrency::queue::ALL,
        drive::ALL,
        dwell::ALL,
        fire::ledger::ALL,
        replay::ALL,
        retention::ALL,
        store::artifacts::ALL,
        store::locks::ALL,
        store::runs::ALL,
        sweep::ALL,
        window::ALL,
        why::ALL,
    ]
    .concat()
}

/// Statements that keep history bounded or read the ring of decisions: each must find its rows
/// through an index, which a test sees in the plans of both engines.
pub fn bounded_statements() -> Vec<(&'static str, plugin_api::db::Sql)> {
    let ring = why::ALL.iter().filter(|(name, _)| *name != "INSERT");
    let mut all: Vec<_> = ring.copied().collect();
    all.extend([retention::ALL, commit::log_bound::ALL].concat());
    all
}
