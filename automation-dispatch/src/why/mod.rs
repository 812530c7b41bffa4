//! Why an automation acted, and why it did not.
//!
//! Every gate verdict about an enabled or disabled automation is kept: what happened, which gate said
//! so, and – for a false filter or condition – the parts that made it false, with their values. The
//! place that decides makes an [`Entry`] and hands it to the [`Recorder`]; that is all it pays for:
//!
//! ```text
//!  gate says no ──Entry──▶ buffer (bounded, oldest dropped) ──twice a second──▶ task
//!  run starts   ──Entry──▶                                     explain · mask · insert · prune
//! ```
//!
//! Entries of a transaction reach the buffer once it has committed, so what is told is what happened.
//! An explanation is computed by the task, from the very scope the gate looked at, which the entry
//! carries. Each automation keeps a ring of its newest decisions; a crash loses those of the last
//! half second, a flood loses the oldest and says how many. A decision is a diagnosis, never a
//! fact that anything else depends on.

mod entry;
mod explain;
mod hooks;
mod recorder;
mod ruling;
mod store;
mod words;

pub use entry::Entry;
pub use hooks::{
    changed_disabled, claimed, conditions_said_no, disabled, dropped, gate_said_no, left,
    not_enabled, started, state_disabled, switched_off,
};
pub use recorder::{Recorder, flush, run};
pub use ruling::{Cancelled, Dropped, Ruling, Scene, VERDICTS};
pub(crate) use store::prune;
pub use store::{ALL, DecisionFilter, DecisionRecord};

use crate::engine::Engine;
use automation_core::AutomationId;
use plugin_api::{Id, Ts, db::DbError};

impl Engine {
    /// What was decided about an automation, newest first: the whole ring, or only one context key,
    /// or only since an instant. Sees what this node has decided up to now, and what other nodes had
    /// decided half a second ago.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn why(
        &self,
        automation: AutomationId,
        context_key: Option<&str>,
        since: Option<Ts>,
        limit: u32,
    ) -> Result<Vec<DecisionRecord>, DbError> {
        let filter = DecisionFilter {
            context_key: context_key.map(str::to_owned),
            verdict: None,
            since,
        };
        self.decisions(automation, &filter, None, limit).await
    }

    /// A page of decisions, newest first, below the id of the last row of the page before.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn decisions(
        &self,
        automation: AutomationId,
        filter: &DecisionFilter,
        before: Option<Id>,
        limit: u32,
    ) -> Result<Vec<DecisionRecord>, DbError> {
        recorder::flush(&self.shared).await;
        store::list(&self.shared.db, automation, filter, before, limit).await
    }
}
