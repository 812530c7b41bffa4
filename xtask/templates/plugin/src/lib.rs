//! A plugin that owns things with a status and makes that status reactive.
//!
//! This is the smallest plugin that has one of everything: a table, an entity kind read from
//! it ([`entity`]), a trigger that a deriver fires when the status turns bad ([`trigger`]), and
//! an action that sets the status ([`action`]). Every write goes through the kind's handle
//! ([`store`]), so that history, triggers and waiting runs see it.

pub mod action;
pub mod entity;
mod plugin;
pub mod store;
pub mod trigger;

pub use plugin::SprocketPlugin;

use plugin_api::Migration;

/// The plugin's tables.
pub const MIGRATIONS: &[Migration] = plugin_api::migrations!["0001_init"];
