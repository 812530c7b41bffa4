//! The trigger `sprocket.failing`, and the deriver that fires it.

use automation_core::registry::TriggerDef;
use automation_entity::EntityChanged;
use plugin_api::BoxError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::entity::Status;

const FAILING: &str = "sprocket.failing";

/// Every event the deriver may answer.
pub const EVENTS: &[&str] = &[FAILING];

/// What automations see as `trigger.payload`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailingPayload {
    /// Which item.
    pub item_id: String,
}

/// The trigger, for the catalogue and the editor; it fires through [`derive`] alone.
pub fn failing() -> TriggerDef {
    TriggerDef::entity_driven::<FailingPayload>("failing")
        .named(
            "Started failing",
            "The status of an item turned to failing.",
        )
        .category("Sprocket")
        .context_field("itemId", "item")
}

/// Fires when the status turned to failing, not when a failing item changed otherwise.
pub fn derive(change: &EntityChanged) -> Vec<&'static str> {
    let fails = |state: &Option<Value>| {
        let status = state.as_ref().map(|state| state["status"].clone());
        status.and_then(|s| serde_json::from_value(s).ok()) == Some(Status::Failing)
    };
    if fails(&change.next) && !fails(&change.prev) {
        vec![FAILING]
    } else {
        Vec::new()
    }
}

/// The payload of an event.
pub fn payload(change: &EntityChanged, _event: &str) -> Result<Value, BoxError> {
    let item_id = change.id.clone();
    Ok(serde_json::to_value(FailingPayload { item_id })?)
}
