//! The catalog: the systems that are watched (`domains §3`).
//!
//! A system is a row with a stable id, a unique name, a description and free metadata. All of it is
//! reactive: every write goes through the `catalog-system` kind's handle, so that creating,
//! changing and deleting a system fires triggers and lets other plugins clean up after it.

mod actions;
mod directory;
mod entity;
mod model;
mod plugin;
mod routes;
mod store;
mod triggers;

pub use entity::SystemState;
pub use model::{NewSystem, System, SystemChange, SystemError};
pub use plugin::CatalogPlugin;

use plugin_api::{AccessRule, Migration};

/// May see systems.
pub const READ: AccessRule = AccessRule::new("catalog.read", "See systems").default_for_users();
/// May create, change and delete systems.
pub const MANAGE: AccessRule =
    AccessRule::new("catalog.manage", "Create, change and delete systems");

/// The plugin's tables.
pub const MIGRATIONS: &[Migration] = plugin_api::migrations!["0001_init"];

/// Every statement of the plugin, for the test that prepares them.
pub const STATEMENTS: &[(&str, plugin_api::db::Sql)] = store::ALL;
