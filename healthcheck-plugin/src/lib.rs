//! Health checks: what runs them, what their results mean, and the `health` of systems.
//!
//! A *configuration* says how to check ([`strategies`], [`assertions`]); an *assignment* says which
//! system is checked by it and how strictly ([`evaluate`]). The [`executor`] runs each assignment at
//! its interval and stores a run. A check's status follows from its newest runs, a system's from its
//! checks: nothing of it is stored, it is computed on read ([`entity`]).
//!
//! Whatever changes the computed value (a run, a pause, a new threshold, a deletion) goes through
//! one gate, [`entity::Writer`], which records the change of `health` in the same transaction. From
//! there it is the engine's: the deriver in [`triggers`] says which events a change means, and
//! [`provider`] tells expressions how a system is doing right now.
//!
//! Checks never open incidents or notify by themselves: automations do.

mod actions;
pub mod assertions;
pub mod entity;
pub mod evaluate;
pub mod events;
pub mod executor;
pub mod jitter;
mod plugin;
pub mod provider;
pub mod rollup;
mod routes;
pub mod service;
pub mod sketch;
mod status;
pub mod store;
pub mod strategies;
pub mod triggers;
pub mod validate;

pub use plugin::HealthcheckPlugin;
pub use routes::{CONFIGURATION_MANAGE, CONFIGURATION_READ, DETAILS_READ, STATUS_READ};
pub use status::Status;

use plugin_api::Migration;

/// The plugin's tables.
pub const MIGRATIONS: &[Migration] = plugin_api::migrations!["0001_init"];
