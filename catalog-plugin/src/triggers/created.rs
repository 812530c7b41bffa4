//! `catalog.created` fires when a system was created.

use automation_core::registry::TriggerDef;
use schemars::JsonSchema;

/// Its qualified id.
pub const ID: &str = "catalog.created";

/// The payload, for schema and editor.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "only its schema is used")]
struct Created {
    /// The system.
    system_id: String,
    /// Its name.
    system_name: Option<String>,
}

/// The registration.
pub fn trigger() -> TriggerDef {
    TriggerDef::entity_driven::<Created>("created")
        .named("System created", "A system was created.")
        .category("Catalog")
        .context_field("systemId", "system")
}
