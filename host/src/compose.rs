//! Which plugins this binary runs: plain code, one cargo feature each, in a fixed order.

use crate::settings::{HealthcheckSettings, RetentionSettings};
use automation_dispatch::{LeaseTimes, Limits};
use plugin_api::{Migration, Plugin, PluginId};

/// Every plugin compiled in. Order matters only where dependencies do not decide.
pub fn plugins() -> Vec<Box<dyn Plugin>> {
    plugins_with(
        &RetentionSettings::default(),
        LeaseTimes::default(),
        Limits::default(),
        &HealthcheckSettings::default(),
    )
}

/// The same, keeping so much history, with leases of this length, with these limits, and running
/// health checks like this.
#[cfg_attr(not(feature = "healthcheck"), allow(unused_variables))]
pub fn plugins_with(
    retention: &RetentionSettings,
    lease: LeaseTimes,
    limits: Limits,
    healthcheck: &HealthcheckSettings,
) -> Vec<Box<dyn Plugin>> {
    vec![
        Box::new(retention.engine_plugin().leases(lease).limits(limits)),
        Box::new(automation_api::AutomationApiPlugin),
        #[cfg(feature = "catalog")]
        Box::new(catalog_plugin::CatalogPlugin),
        #[cfg(feature = "incident")]
        Box::new(incident_plugin::IncidentPlugin),
        #[cfg(feature = "healthcheck")]
        Box::new(healthcheck.plugin()),
    ]
}

/// The migrations of every plugin that has tables, for `signalbox migrate`.
pub fn migrations() -> Vec<(PluginId, &'static [Migration])> {
    vec![
        #[cfg(feature = "catalog")]
        (PluginId::new("catalog"), catalog_plugin::MIGRATIONS),
        #[cfg(feature = "incident")]
        (PluginId::new("incident"), incident_plugin::MIGRATIONS),
        #[cfg(feature = "healthcheck")]
        (PluginId::new("healthcheck"), healthcheck_plugin::MIGRATIONS),
    ]
}
