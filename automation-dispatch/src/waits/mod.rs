//! Waits: `delay`, `wait_until` and `wait_for_trigger` (`dispatch §14`).
//!
//! The lock row is the fact; jobs and changes are only signals. A waker re-reads and re-evaluates,
//! and if the wait is over *fires* the lock: one conditional mark, under the run's state row. Then
//! it takes the lease if it is free, and drives the run; if a driver holds it, that one finds the
//! mark before it rests. So a signal can come early, late, twice or never, on any node.

pub mod decide;
pub mod event;
mod fire;
mod recheck;
pub mod refs;
mod settle;
mod timers;
mod waiting;

pub use fire::FIRED;
pub use recheck::{RecheckAsk, Rechecked, recheck};
pub use settle::Settling;
pub use timers::run as run_timers;

use crate::{
    automations::Program,
    scope,
    shared::Shared,
    store::locks::{self, FiredRecord},
    walk::{
        decide::{Event, FireReason},
        frame::Locals,
        view::{Base, Live},
    },
};
use automation_core::RunId;
use plugin_api::db::DbError;
use std::sync::Arc;

/// Tells the drivers of this process when another node fired a lock of a run that is driven here:
/// a run of which one branch walks and another rests need not wait for the first to end.
pub async fn listen(shared: Arc<Shared>) {
    let fired = shared.hints.listen(FIRED);
    loop {
        fired.wait().await;
        shared.drivers.nudge_all();
    }
}

/// The oldest fired lock of a run, as the event its walk waits for.
pub async fn oldest_fired(shared: &Shared, run: RunId) -> Result<Option<Event>, DbError> {
    let found: Option<FiredRecord> = shared
        .db
        .sql(locks::OLDEST_FIRED)
        .bind(run)
        .optional()
        .await?;
    Ok(found.map(|f| Event::Fired {
        path: f.action_path,
        lock: f.id,
        reason: f
            .fire_reason
            .as_deref()
            .and_then(FireReason::parse)
            .unwrap_or(FireReason::Invalid),
        payload: f.resume_payload.map(|p| p.0),
    }))
}

/// Live state for the `wait_until` at a path (site U).
pub async fn read_for(
    shared: &Arc<Shared>,
    program: &Arc<Program>,
    path: &str,
    base: &Base,
    locals: &Locals,
    context_key: Option<&str>,
) -> Arc<Live> {
    let reads = program.wait_reads(path);
    let ask = scope::Ask {
        reads: &reads,
        program,
        context_key,
        base,
        locals: Some(locals),
        changed: &[],
    };
    scope::read(shared, &[ask]).await.pop().unwrap_or_default()
}
