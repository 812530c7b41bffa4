//! The plugin's hooks and their payloads (`healthcheck §10`).

use crate::status::Status;
use plugin_api::{Ts, hook::Hook, values::rfc3339};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// After every run, and with it: stored in the transaction of the run.
pub const CHECK_COMPLETED: Hook<CheckEvent> = Hook::new("healthcheck.check.completed");
/// After every run that was not healthy, following [`CHECK_COMPLETED`].
pub const CHECK_FAILED: Hook<CheckEvent> = Hook::new("healthcheck.check.failed");
/// An assignment was made, changed or removed.
pub const ASSIGNMENT_CHANGED: Hook<AssignmentChanged> = Hook::new("healthcheck.assignment.changed");

/// One run of one check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckEvent {
    /// The system checked.
    pub system_id: String,
    /// The check.
    pub configuration_id: String,
    /// The same id under the name older automations use.
    pub check_id: String,
    /// Status of the run.
    pub status: Status,
    /// Wall time in milliseconds; absent when the run failed before it was meaningful.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<i64>,
    /// Entry id → result fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Map<String, Value>>,
    /// When the run was recorded.
    #[serde(with = "rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub timestamp: Ts,
}

/// Names an assignment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AssignmentChanged {
    /// The system.
    pub system_id: String,
    /// The configuration.
    pub configuration_id: String,
}
