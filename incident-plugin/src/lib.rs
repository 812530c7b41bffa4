//! Incidents: what is wrong, on which systems, since when, and what has been done (`domains §4`).
//!
//! An incident has a status, a severity and a set of systems; these three are reactive. Title,
//! description and timeline are not: editing them fires nothing. Every write goes through the
//! `incident` kind's handle in one transaction with the timeline, so nothing is ever half-written
//! and no change is lost. Incidents are opened by people and automations, never by the platform.

mod actions;
mod cleanup;
mod entity;
mod model;
mod plugin;
mod routes;
mod service;
mod store;
mod triggers;

pub use entity::IncidentState;
pub use model::{
    Incident, IncidentChange, IncidentError, NewIncident, Note, Severity, Status, Update,
};
pub use plugin::IncidentPlugin;
pub use service::{SUPPRESSION, Suppression};
pub use store::{Created, ListFilter, Store};

use plugin_api::{AccessRule, Migration};

/// May see incidents.
pub const READ: AccessRule = AccessRule::new("incident.read", "See incidents").default_for_users();
/// May open, change, resolve and delete incidents.
pub const MANAGE: AccessRule = AccessRule::new(
    "incident.manage",
    "Open, change, resolve and delete incidents",
);

/// The plugin's tables.
pub const MIGRATIONS: &[Migration] = plugin_api::migrations!["0001_init", "0002_update_requests"];

/// Every statement of the plugin, for the test that prepares them.
pub const STATEMENTS: &[(&str, plugin_api::db::Sql)] = store::STATEMENTS;
