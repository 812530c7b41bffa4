//! `healthcheck.system_degraded`: a system ceased to be healthy.

use super::{
    SystemHealthPayload,
    hold::{SystemHold, While},
};
use automation_core::registry::TriggerDef;
use plugin_api::Db;
use std::sync::Arc;

/// The qualified id.
pub const EVENT: &str = "healthcheck.system_degraded";

/// The registration.
pub fn trigger(db: Db) -> TriggerDef {
    TriggerDef::entity_driven::<SystemHealthPayload>("system_degraded")
        .named("System degraded", "A system ceased to be healthy.")
        .category("Health")
        .context_field("systemId", "system")
        .holds(Arc::new(SystemHold::new(db, While::NotHealthy)))
}
