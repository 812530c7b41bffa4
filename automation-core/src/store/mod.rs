//! Stored automations and their immutable versions (decision 7, `dispatch §3.1`).
//!
//! A row holds the fields people arrange automations by and its current definition; every change of
//! the definition writes one more version, numbered with the row's new version, and rows of
//! versions are never changed. Writes are optimistic: the version a change was based on is in its
//! `WHERE`. Each committed change counts up one *generation*, so that a node sees with one read
//! whether its index is current, and asks for just what changed since; a hint on [`TOPIC`] tells it
//! when to look.
//!
//! What may be stored is decided by [`crate::validate`]: structural errors never, other errors only
//! in a disabled automation (`definition §13.3`).

pub mod data;
mod health;
mod input;
mod read;
mod rows;
pub mod sql;
mod write;

pub use data::DataReport;
pub use health::Health;
pub use input::{AutomationChange, NewAutomation, Source};
pub use read::{GroupFilter, ListFilter, PageAfter};
pub use rows::{Automation, GroupCount, IndexRow, Status, Summary, Version, VersionInfo};

use crate::diagnostic::Diagnostics;
use crate::ids::AutomationId;
use crate::registry::Registries;
use crate::validate::{Capabilities, Validation, Validator};
use plugin_api::{Clock, Db, db::DbError, hints::Hints};
use std::sync::Arc;

/// Topic of the hint given after every committed change.
pub const TOPIC: &str = "automations";

/// How many versions an automation always keeps.
pub const KEPT_VERSIONS: i64 = 50;

/// Reads and writes automations.
#[derive(Clone)]
pub struct AutomationStore {
    db: Db,
    clock: Arc<dyn Clock>,
    hints: Arc<dyn Hints>,
    registries: Arc<Registries>,
    capabilities: Arc<Capabilities>,
}

/// A row as written, with what validation had to say.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The row after the change.
    pub automation: Automation,
    /// Findings about its definition; no errors when it is enabled. Empty when the definition was
    /// not looked at.
    pub issues: Diagnostics,
}

/// Why an automation could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No such automation.
    #[error("there is no automation {0}")]
    NotFound(AutomationId),
    /// Somebody changed it since.
    #[error("automation {id} has version {current}, the change was based on {expected}")]
    Stale {
        /// The automation.
        id: AutomationId,
        /// The version the caller knew.
        expected: i64,
        /// The version there is.
        current: i64,
    },
    /// The definition may not be stored like this.
    #[error("the definition has errors")]
    Invalid(Diagnostics),
    /// A field of the row is wrong.
    #[error("{field}: {message}")]
    Field {
        /// Which.
        field: &'static str,
        /// Why.
        message: String,
    },
    /// The database refused.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl AutomationStore {
    /// A store over the framework's database.
    pub fn new(
        db: Db,
        clock: Arc<dyn Clock>,
        hints: Arc<dyn Hints>,
        registries: Arc<Registries>,
        capabilities: Arc<Capabilities>,
    ) -> Self {
        Self {
            db,
            clock,
            hints,
            registries,
            capabilities,
        }
    }

    /// Validates as every write does.
    pub fn validate(&self, source: &Source) -> Validation {
        let validator = Validator {
            registries: &self.registries,
            capabilities: &self.capabilities,
        };
        match source {
            Source::Text(text) => validator.text(text, &crate::yaml::Limits::default()),
            Source::Value(value) => validator.value(value),
        }
    }
}
