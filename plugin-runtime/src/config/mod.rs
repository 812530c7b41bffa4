//! The config store (`plugins §8.3`): one row per plugin and config, secret fields encrypted with the
//! host's key, versions migrated when read.
//!
//! A stored row never holds a secret in the clear, at whatever depth: what is a secret is told by one
//! walker over the schema ([`plugin_api::config::annotations`]). A blank or absent secret in a write
//! keeps the stored one where the new value has a secret too; list elements are matched by their `id`
//! or `name`, else by their other fields, so that no secret moves to what it was not entered for. Only
//! what is kept is decrypted: after the key was lost, a write that enters every secret anew goes through.

pub mod claim;
mod keep;
mod key;
mod store;

pub use key::{ConfigKey, KeyError};
pub use store::STATEMENTS;
pub(crate) use store::SqlConfigStore;
