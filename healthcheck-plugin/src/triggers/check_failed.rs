//! `healthcheck.check_failed`: a run was not healthy; fires with every such run.

use super::hold::CheckHold;
use crate::events::CHECK_FAILED;
use automation_core::registry::TriggerDef;
use plugin_api::Db;
use std::sync::Arc;

/// The registration.
pub fn trigger(db: Db) -> TriggerDef {
    TriggerDef::on_hook("check_failed", CHECK_FAILED)
        .named("Check failed", "A run of a check was not healthy.")
        .category("Health")
        .context_field("systemId", "system")
        .holds(Arc::new(CheckHold::new(db)))
}
