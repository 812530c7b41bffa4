//! `catalog.updated` fires when name, description or metadata of a system changed.

use automation_core::registry::TriggerDef;
use schemars::JsonSchema;

/// Its qualified id.
pub const ID: &str = "catalog.updated";

/// The payload, for schema and editor.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "only its schema is used")]
struct Updated {
    /// The system.
    system_id: String,
    /// Its name.
    system_name: Option<String>,
    /// Which of name, description and metadata changed.
    changed_fields: Vec<String>,
}

/// The registration.
pub fn trigger() -> TriggerDef {
    TriggerDef::entity_driven::<Updated>("updated")
        .named(
            "System updated",
            "Name, description or metadata of a system changed.",
        )
        .category("Catalog")
        .context_field("systemId", "system")
}
