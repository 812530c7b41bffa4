//! What travels from stage 1 to stage 2.

use crate::version;
use automation_core::{AutomationId, LockId, RunId};
use automation_entity::EntityChanged;
use plugin_api::queue::NewJob;
use serde::{Deserialize, Serialize};

/// The queue between the stages.
pub const QUEUE: &str = "automation-dispatch";
/// Its consumer group.
pub const GROUP: &str = "automation-dispatch-run";

/// One job (`entity §18`), tagged by `reason`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(
    tag = "reason",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
pub enum DispatchJob {
    /// An event concerns one automation.
    Trigger {
        /// The automation.
        automation_id: AutomationId,
        /// Qualified event id. The reference's wire name is `triggerId`.
        #[serde(alias = "triggerId")]
        event_id: String,
        /// `kind:id`
        #[serde(rename = "ref")]
        entity_ref: String,
        /// The change.
        changed: EntityChanged,
    },
    /// A change may end a wait.
    Wake {
        /// The waiting run.
        run_id: RunId,
        /// Its lock.
        wait_lock_id: LockId,
        /// `kind:id`
        #[serde(rename = "ref")]
        entity_ref: String,
        /// The change.
        changed: EntityChanged,
    },
    /// An event may end a `wait_for_trigger`.
    EventWake {
        /// The waiting run.
        run_id: RunId,
        /// Its lock.
        wait_lock_id: LockId,
        /// Qualified event id.
        event_id: String,
        /// `kind:id`
        #[serde(rename = "ref")]
        entity_ref: String,
        /// The change.
        changed: EntityChanged,
    },
    /// Dwells armed for a context key may not hold any more (`dispatch §6.4`).
    InverseCancel {
        /// The key.
        context_key: String,
    },
}

impl DispatchJob {
    /// The job to enqueue. Its id collapses only onto one that has not started; whatever is
    /// delivered again is made harmless downstream (`dispatch §17`).
    pub fn enqueue(&self, change_id: uuid::Uuid) -> Result<NewJob, serde_json::Error> {
        let id = match self {
            DispatchJob::Trigger {
                automation_id,
                event_id,
                entity_ref,
                ..
            } => format!("trigger:{automation_id}:{event_id}:{entity_ref}:{change_id}"),
            DispatchJob::Wake {
                wait_lock_id,
                entity_ref,
                ..
            } => format!("wake:{wait_lock_id}:{entity_ref}:{change_id}"),
            DispatchJob::EventWake { wait_lock_id, .. } => {
                format!("event_wake:{wait_lock_id}:{change_id}")
            }
            DispatchJob::InverseCancel { context_key } => {
                format!("inverse:{context_key}:{change_id}")
            }
        };
        Ok(NewJob::new(version::mark(serde_json::to_value(self)?)).id(id))
    }
}
