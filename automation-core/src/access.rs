//! Access rules of the engine, shared by the plugin that declares them and the routes that need them
//! (`api §1.6`).

use plugin_api::AccessRule;

/// Automations, runs, registries, validation, template rendering.
pub const READ: AccessRule =
    AccessRule::new("automation.read", "See automations and their runs").default_for_users();
/// Create, edit, switch, delete, start by hand, cancel.
pub const MANAGE: AccessRule = AccessRule::new(
    "automation.manage",
    "Create, change, start and cancel automations",
);
/// Entity kinds, current state, transitions.
pub const ENTITY_READ: AccessRule = AccessRule::new(
    "automation.entity.read",
    "See the state of entities and its history",
)
.default_for_users();
