//! How stored automations are doing against today's registries (`definition §8`, `§13.4`).

use super::{AutomationStore, Source};
use crate::definition::Definition;
use crate::diagnostic::Diagnostics;
use serde::Serialize;
use serde_json::Value;

/// The health of a stored definition. Nothing is disabled or rewritten because of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// It would be accepted as it is.
    Ok,
    /// It parses, but names something that is gone or no longer fits: those parts fail when reached.
    Degraded,
    /// It does not parse; dispatch skips it.
    Invalid,
}

impl AutomationStore {
    /// The health of a stored definition with the findings behind it.
    pub fn health(&self, definition: &Value) -> (Health, Diagnostics) {
        if let Err(issues) = Definition::read_stored(definition) {
            return (Health::Invalid, issues);
        }
        let found = self.validate(&Source::Value(definition.clone()));
        let health = if found.is_valid() {
            Health::Ok
        } else {
            Health::Degraded
        };
        (health, found.issues)
    }
}
