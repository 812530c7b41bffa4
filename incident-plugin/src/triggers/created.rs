//! `incident.created` fires when an incident was opened.

use crate::model::{Severity, Status};
use automation_core::registry::TriggerDef;
use schemars::JsonSchema;

/// Its qualified id.
pub const ID: &str = "incident.created";

/// The payload, for schema and editor.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "only its schema is used")]
struct Created {
    /// The incident.
    incident_id: String,
    /// The systems it is about.
    system_ids: Vec<String>,
    /// How bad it is.
    severity: Severity,
    /// Where the work is.
    status: Status,
    /// When it was opened.
    created_at: Option<String>,
    /// For people; normally absent.
    title: Option<String>,
    /// For people; normally absent.
    description: Option<String>,
}

/// The registration.
pub fn trigger() -> TriggerDef {
    TriggerDef::entity_driven::<Created>("created")
        .named("Incident created", "An incident was opened.")
        .category("Incidents")
        .context_field("incidentId", "incident")
}
