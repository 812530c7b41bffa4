//! Triggers: three that fire when a system's status changes, one that fires with every failed run
//! (`healthcheck §10–11`). What the changes mean is decided in [`decide`]; what a dwell asks again
//! before it fires is in [`hold`].

mod check_failed;
pub mod decide;
mod hold;
mod system_degraded;
mod system_health_changed;
mod system_healthy;

use crate::status::Status;
use automation_core::registry::TriggerDef;
use automation_entity::EntityChanged;
use plugin_api::{BoxError, Db, Ts, values::rfc3339};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Every trigger, in the catalogue's order.
pub fn all(db: &Db) -> Vec<TriggerDef> {
    vec![
        system_degraded::trigger(db.clone()),
        system_healthy::trigger(db.clone()),
        system_health_changed::trigger(db.clone()),
        check_failed::trigger(db.clone()),
    ]
}

/// Payload of the triggers about systems.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SystemHealthPayload {
    /// The system.
    pub system_id: String,
    /// Its name, when the catalog could tell it cheaply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_name: Option<String>,
    /// Status before.
    pub previous_status: Status,
    /// Status after.
    pub new_status: Status,
    /// Checks that are healthy.
    pub healthy_checks: u32,
    /// Checks counted.
    pub total_checks: u32,
    /// When it changed.
    #[serde(with = "rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub timestamp: Ts,
}

/// Builds the payload of a derived event.
///
/// # Errors
/// When the change is no change of status; then no event was derived either.
pub fn payload(change: &EntityChanged, system_name: Option<String>) -> Result<Value, BoxError> {
    let classified = decide::classify_health_change(change)
        .ok_or("a change of health without a status before and after")?;
    let count = |field: &str| {
        let value = change.next_field(field).and_then(Value::as_u64);
        value.and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
    };
    Ok(serde_json::to_value(SystemHealthPayload {
        system_id: classified.system_id,
        system_name,
        previous_status: classified.previous_status,
        new_status: classified.new_status,
        healthy_checks: count("healthyChecks"),
        total_checks: count("totalChecks"),
        timestamp: change.occurred_at,
    })?)
}
