//! `automation.interval`: ticks at a fixed distance; the first one interval after it is armed
//! (`definition §10.4`).

use super::CronPayload;
use crate::registry::{TriggerDef, TriggerSetup};
use plugin_api::config::ConfigSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Config of `automation.interval`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IntervalConfig {
    /// 1 second to 365 days.
    #[schemars(range(min = 1, max = 31_536_000))]
    pub interval_seconds: u32,
}

/// The trigger `interval`, armed by `setup`.
pub fn interval(setup: Arc<dyn TriggerSetup>) -> TriggerDef {
    TriggerDef::on_setup::<CronPayload>("interval", setup)
        .named("Interval", "Fires again and again after a fixed time")
        .category("Time")
        .config(ConfigSchema::of::<IntervalConfig>(), None)
}
