//! The framework's own tables, one file per concern and engine in this crate's `migrations/` folder.

use plugin_api::Migration;

/// The framework's migrations, run before any plugin's.
pub const FRAMEWORK: &[Migration] = plugin_api::migrations![
    "0001_core",
    "0002_queue",
    "0003_automation",
    "0004_entity",
    "0005_dispatch",
    "0006_tokens",
    "0007_decisions",
];
