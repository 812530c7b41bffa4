//! The rows that one decision batch writes, as set-based statements take them.

use automation_core::{ArtifactId, AutomationId, LockId, RunId, StepId};
use plugin_api::{Doc, Text, Ts};
use uuid::Uuid;

plugin_api::batch_row! {
    /// A run to create.
    pub struct RunRow {
        pub id: RunId,
        pub automation_id: AutomationId,
        pub trigger_id: String,
        pub trigger_event_id: String,
        pub trigger_payload: Doc,
        pub context_key: Option<Text>,
        pub status: String,
        pub error_code: Option<String>,
        pub error_message: Option<Text>,
        pub actor: Doc,
        pub definition_version: i64,
        pub cause: Option<Doc>,
        pub dedup_key: Option<Text>,
        pub started_at: Ts,
        pub finished_at: Option<Ts>,
    }
}
plugin_api::batch_row! {
    /// A pending run that starts.
    pub struct TurnRow {
        pub id: RunId,
        pub status: String,
        pub error_code: Option<String>,
        pub error_message: Option<Text>,
        pub started_at: Ts,
        pub finished_at: Option<Ts>,
    }
}
plugin_api::batch_row! {
    /// The state row of a new run, with the creator's lease unless it rests at once.
    pub struct StateRow {
        pub run_id: RunId,
        pub scope_snapshot: Doc,
        pub last_action_path: Option<String>,
        pub at: Ts,
        pub lease_owner: Option<String>,
        pub lease_expires_at: Option<Ts>,
    }
}
plugin_api::batch_row! {
    /// What a driver claims to hold.
    pub struct FenceRow {
        pub run_id: RunId,
        pub epoch: i64,
    }
}
plugin_api::batch_row! {
    /// A checkpoint of a run that goes on.
    pub struct CheckpointRow {
        pub run_id: RunId,
        pub scope_snapshot: Doc,
        pub last_action_path: Option<String>,
        pub cursors: Doc,
        pub lease_owner: Option<String>,
        pub lease_expires_at: Option<Ts>,
    }
}
plugin_api::batch_row! {
    /// A step made or completed; one row a path.
    pub struct StepRow {
        pub id: StepId,
        pub run_id: RunId,
        pub action_path: String,
        pub action_id: Option<String>,
        pub action_kind: String,
        pub provider_action_id: Option<String>,
        pub status: String,
        pub attempts: i64,
        pub error_code: Option<String>,
        pub error_message: Option<Text>,
        pub result_payload: Option<Doc>,
        pub started_at: Ts,
        pub finished_at: Option<Ts>,
    }
}
plugin_api::batch_row! {
    /// An artifact of a step.
    pub struct ArtifactRow {
        pub id: ArtifactId,
        pub automation_id: AutomationId,
        pub run_id: RunId,
        pub step_id: StepId,
        pub action_id: Option<String>,
        pub artifact_type: String,
        pub data: Doc,
        pub context_key: Option<Text>,
        pub closed_at: Option<Ts>,
        pub created_at: Ts,
    }
}
plugin_api::batch_row! {
    /// A wait.
    pub struct LockRow {
        pub id: LockId,
        pub run_id: RunId,
        pub action_path: String,
        pub kind: String,
        pub event_id: String,
        pub context_key: Option<Text>,
        pub filter_template: Option<Text>,
        pub wait_config: Option<Doc>,
        pub timeout_at: Option<Ts>,
        pub next_check_at: Option<Ts>,
        pub created_at: Ts,
    }
}
plugin_api::batch_row! {
    /// A ref that wakes a wait.
    pub struct WakeRow {
        pub id: Uuid7,
        pub wait_lock_id: LockId,
        pub entity_ref: Text,
    }
}
plugin_api::batch_row! {
    /// An evaluation of a wait that did not end it.
    pub struct CheckedRow {
        pub id: LockId,
        pub checked_at: Ts,
        pub next_check_at: Option<Ts>,
    }
}
plugin_api::batch_row! {
    /// A terminal status.
    pub struct FinishRow {
        pub run_id: RunId,
        pub status: String,
        pub error_code: Option<String>,
        pub error_message: Option<Text>,
        pub finished_at: Ts,
    }
}
plugin_api::batch_row! {
    /// A line of a run log.
    pub struct LogRow {
        pub id: Uuid7,
        pub run_id: RunId,
        pub action_path: Option<String>,
        pub at: Ts,
        pub level: String,
        pub message: Text,
    }
}

/// A row id that nothing refers to by type.
pub type Uuid7 = plugin_api::Id;

/// A fresh row id.
pub fn row_id(uuid: Uuid) -> Uuid7 {
    plugin_api::Id(uuid)
}
