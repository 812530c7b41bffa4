//! The plugin's tables: rows, and statements for both engines.
//!
//! One module per table. Nothing here decides; whatever changes the status of a system is called
//! inside [`write`](crate::entity::Writer::write), which holds the system's lock.

pub mod aggregates;
pub mod assignments;
pub mod claims;
pub mod configurations;
pub mod health;
pub mod runs;
pub mod transitions;

use plugin_api::db::Sql;

/// Every statement of the plugin with its name, for the test that prepares them all.
pub fn statements() -> Vec<(&'static str, Sql)> {
    [
        aggregates::ALL,
        assignments::ALL,
        claims::ALL,
        configurations::ALL,
        health::ALL,
        runs::ALL,
        transitions::ALL,
    ]
    .concat()
}
