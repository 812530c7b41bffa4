//! Versioned configs and the config store (`plugins §8`).
//!
//! A [`ConfigSchema`] is the current version, the JSON Schema derived from the Rust type, and the
//! chain of migrations 1 → current. Secret fields are found by their annotation (`x-secret`) at any
//! depth. The store itself lives in the runtime.

pub mod annotations;
mod schema;
mod store;

pub use schema::{ConfigError, ConfigMigration, ConfigSchema, StoredConfig};
pub use store::{ConfigStore, Configs, Redacted};
