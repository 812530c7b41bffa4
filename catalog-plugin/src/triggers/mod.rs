//! The triggers of the catalog; one file each, and the deriver that fires them.

mod created;
mod deleted;
mod updated;

use automation_core::registry::TriggerDef;
use automation_entity::EntityChanged;
use plugin_api::BoxError;
use serde_json::{Value, json};

/// Events the deriver may return.
pub const EVENTS: &[&str] = &[created::ID, updated::ID, deleted::ID];

/// Every trigger.
pub fn all() -> Vec<TriggerDef> {
    vec![created::trigger(), updated::trigger(), deleted::trigger()]
}

/// Which event a change is.
pub fn derive(change: &EntityChanged) -> Vec<&'static str> {
    match (&change.prev, &change.next) {
        (None, Some(_)) => vec![created::ID],
        (Some(_), Some(_)) => vec![updated::ID],
        (_, None) => vec![deleted::ID],
    }
}

/// The payload of an event.
pub fn payload(change: &EntityChanged, event: &str) -> Result<Value, BoxError> {
    let state = change.next.as_ref().or(change.prev.as_ref());
    let mut payload = json!({"systemId": change.id});
    if let Some(name) = state.and_then(|s| s["name"].as_str()) {
        payload["systemName"] = name.into();
    }
    if event == updated::ID {
        payload["changedFields"] = json!(change.changed_fields);
    }
    Ok(payload)
}
