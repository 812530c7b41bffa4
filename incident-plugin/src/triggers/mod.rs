//! The triggers of incidents; one file each, and the deriver that fires them.

mod created;
mod resolved;
mod updated;

use automation_core::registry::TriggerDef;
use automation_entity::EntityChanged;
use plugin_api::BoxError;
use serde_json::{Value, json};

/// Events the deriver may return.
pub const EVENTS: &[&str] = &[created::ID, updated::ID, resolved::ID];

/// Every trigger.
pub fn all() -> Vec<TriggerDef> {
    vec![created::trigger(), updated::trigger(), resolved::trigger()]
}

fn status(state: &Option<Value>) -> Option<&str> {
    state.as_ref().and_then(|s| s["status"].as_str())
}

/// Which event a change is (`domains §4`): creating, becoming resolved, anything else; deleting is none.
pub fn derive(change: &EntityChanged) -> Vec<&'static str> {
    match (&change.prev, &change.next) {
        (_, None) => vec![],
        (None, Some(_)) => vec![created::ID],
        (prev, next) if status(next) == Some("resolved") && status(prev) != Some("resolved") => {
            vec![resolved::ID]
        }
        _ => vec![updated::ID],
    }
}

/// The payload of an event. Title and description are not reactive, so they are absent; templates
/// must cope (`domains §4.1`).
pub fn payload(change: &EntityChanged, event: &str) -> Result<Value, BoxError> {
    let next = change
        .next
        .as_ref()
        .ok_or("an incident event needs the state after the change")?;
    let mut payload = json!({
        "incidentId": change.id,
        "systemIds": next["systemIds"],
        "severity": next["severity"],
        "status": next["status"],
    });
    match event {
        created::ID => payload["createdAt"] = change.occurred_at.to_text().into(),
        resolved::ID => payload["resolvedAt"] = change.occurred_at.to_text().into(),
        _ if change.changed_fields.iter().any(|f| f == "status") => {
            payload["statusChange"] = next["status"].clone()
        }
        _ => {}
    }
    Ok(payload)
}
