//! `healthcheck.system_health_changed`: the status of a system changed in any way.

use super::{
    SystemHealthPayload,
    hold::{SystemHold, While},
};
use automation_core::registry::TriggerDef;
use plugin_api::Db;
use std::sync::Arc;

/// The qualified id.
pub const EVENT: &str = "healthcheck.system_health_changed";

/// The registration.
pub fn trigger(db: Db) -> TriggerDef {
    TriggerDef::entity_driven::<SystemHealthPayload>("system_health_changed")
        .named(
            "System health changed",
            "The status of a system changed in any way.",
        )
        .category("Health")
        .context_field("systemId", "system")
        .holds(Arc::new(SystemHold::new(db, While::AsNew)))
}
