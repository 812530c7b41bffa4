//! `catalog.deleted` fires when a system was deleted; its name is the one it had.

use automation_core::registry::TriggerDef;
use schemars::JsonSchema;

/// Its qualified id.
pub const ID: &str = "catalog.deleted";

/// The payload, for schema and editor.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "only its schema is used")]
struct Deleted {
    /// The system.
    system_id: String,
    /// Its name.
    system_name: Option<String>,
}

/// The registration.
pub fn trigger() -> TriggerDef {
    TriggerDef::entity_driven::<Deleted>("deleted")
        .named("System deleted", "A system was deleted.")
        .category("Catalog")
        .context_field("systemId", "system")
}
