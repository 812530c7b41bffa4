//! `incident.updated` fires on every other reactive change; a new title or message is none.

use crate::model::{Severity, Status};
use automation_core::registry::TriggerDef;
use schemars::JsonSchema;

/// Its qualified id.
pub const ID: &str = "incident.updated";

/// The payload, for schema and editor.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "only its schema is used")]
struct Updated {
    /// The incident.
    incident_id: String,
    /// The systems it is about.
    system_ids: Vec<String>,
    /// How bad it is.
    severity: Severity,
    /// Where the work is.
    status: Status,
    /// The new status, when the status changed.
    status_change: Option<Status>,
    /// For people; normally absent.
    title: Option<String>,
    /// For people; normally absent.
    description: Option<String>,
}

/// The registration.
pub fn trigger() -> TriggerDef {
    TriggerDef::entity_driven::<Updated>("updated")
        .named(
            "Incident updated",
            "Status, severity or systems of an incident changed; reopening too.",
        )
        .category("Incidents")
        .context_field("incidentId", "incident")
}
