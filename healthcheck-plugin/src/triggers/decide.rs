//! What a change of health means (`healthcheck §11`).

use super::{system_degraded, system_health_changed, system_healthy};
use crate::status::Status;
use automation_entity::EntityChanged;
use serde_json::Value;

/// All events the deriver may answer.
pub const EVENTS: &[&str] = &[
    system_degraded::EVENT,
    system_healthy::EVENT,
    system_health_changed::EVENT,
];

/// A change of a system's status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthChange {
    /// The system.
    pub system_id: String,
    /// Status before.
    pub previous_status: Status,
    /// Status after.
    pub new_status: Status,
    /// It was healthy and is no longer.
    pub degraded: bool,
    /// It is healthy again.
    pub recovered: bool,
}

/// Classifies a change of kind `health`; none when the system appeared, disappeared, or kept its
/// status.
pub fn classify_health_change(change: &EntityChanged) -> Option<HealthChange> {
    let read = |v: Option<&Value>| v.and_then(Value::as_str).and_then(Status::parse);
    let previous_status = read(change.prev_field("status"))?;
    let new_status = read(change.next_field("status"))?;
    if previous_status == new_status {
        return None;
    }
    Some(HealthChange {
        system_id: change.id.clone(),
        previous_status,
        new_status,
        degraded: previous_status == Status::Healthy,
        recovered: new_status == Status::Healthy,
    })
}

/// The events of a change, in order.
pub fn derive(change: &EntityChanged) -> Vec<&'static str> {
    let Some(c) = classify_health_change(change) else {
        return Vec::new();
    };
    let first = match (c.degraded, c.recovered) {
        (true, _) => Some(system_degraded::EVENT),
        (_, true) => Some(system_healthy::EVENT),
        _ => None,
    };
    first
        .into_iter()
        .chain([system_health_changed::EVENT])
        .collect()
}
