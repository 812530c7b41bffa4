//! `incident.resolved` fires when an incident became resolved, and nothing else does then.

use crate::model::{Severity, Status};
use automation_core::registry::TriggerDef;
use schemars::JsonSchema;

/// Its qualified id.
pub const ID: &str = "incident.resolved";

/// The payload, for schema and editor.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "only its schema is used")]
struct Resolved {
    /// The incident.
    incident_id: String,
    /// The systems it is about.
    system_ids: Vec<String>,
    /// How bad it is.
    severity: Severity,
    /// Where the work is.
    status: Status,
    /// When it was resolved.
    resolved_at: Option<String>,
    /// For people; normally absent.
    title: Option<String>,
}

/// The registration.
pub fn trigger() -> TriggerDef {
    TriggerDef::entity_driven::<Resolved>("resolved")
        .named("Incident resolved", "An incident was resolved.")
        .category("Incidents")
        .context_field("incidentId", "incident")
}
