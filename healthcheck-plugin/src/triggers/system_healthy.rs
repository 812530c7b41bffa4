//! `healthcheck.system_healthy`: a system is healthy again.

use super::{
    SystemHealthPayload,
    hold::{SystemHold, While},
};
use automation_core::registry::TriggerDef;
use plugin_api::Db;
use std::sync::Arc;

/// The qualified id.
pub const EVENT: &str = "healthcheck.system_healthy";

/// The registration.
pub fn trigger(db: Db) -> TriggerDef {
    TriggerDef::entity_driven::<SystemHealthPayload>("system_healthy")
        .named("System healthy", "A system is healthy again.")
        .category("Health")
        .context_field("systemId", "system")
        .holds(Arc::new(SystemHold::new(db, While::Healthy)))
}
