//! Bringing a database to the version of this program (`plugins §12`).
//!
//! An *owner* – the framework or a plugin – has a numbered, forward-only list of [`Migration`]s with
//! one text per engine. [`Migrator::run`] applies what is missing, each migration in a transaction of
//! its own that first takes one lock for the whole database: of two nodes that start together, the
//! second waits and then finds the work done. What was applied is recorded with the checksum of its
//! text in `signalbox.schema_migrations`, so a changed text and a database newer than the program are
//! found and stop the boot.
//!
//! On Postgres the framework's tables live in the schema `signalbox` and its scripts name it; a
//! plugin's scripts run with `search_path` set to the plugin's own schema. SQLite has one file and no
//! schemas. Rows of owners that this program does not know stay untouched: a plugin that was switched
//! off keeps its tables.

mod framework;
mod migrator;
mod record;

pub use framework::FRAMEWORK;
pub use migrator::{Ahead, MigrateError, Migrator, Owner, Report, ahead};
pub use plugin_api::Migration;
pub use record::{ALL as STATEMENTS, State, Status, checksum};
