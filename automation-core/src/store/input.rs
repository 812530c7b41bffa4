//! What callers hand in.

use super::{Status, StoreError};
use serde_json::Value;

/// A definition as it arrives.
#[derive(Clone, Debug)]
pub enum Source {
    /// YAML or JSON text; findings have lines.
    Text(String),
    /// A JSON value.
    Value(Value),
}

/// A new automation.
#[derive(Clone, Debug)]
pub struct NewAutomation {
    /// 1–200 characters; none: the definition's name.
    pub name: Option<String>,
    /// None: the definition's.
    pub description: Option<String>,
    /// Trimmed, 1–120; blank counts as none.
    pub group: Option<String>,
    /// Default enabled.
    pub status: Status,
    /// `gitops` when declared in Git.
    pub managed_by: Option<String>,
    /// The definition.
    pub definition: Source,
}

impl NewAutomation {
    /// An enabled automation with everything taken from its definition.
    pub fn of(definition: Source) -> Self {
        Self {
            name: None,
            description: None,
            group: None,
            status: Status::Enabled,
            managed_by: None,
            definition,
        }
    }
}

/// A change; what is none stays as it is.
#[derive(Clone, Debug, Default)]
pub struct AutomationChange {
    /// A new name.
    pub name: Option<String>,
    /// A new description, or none at all.
    pub description: Option<Option<String>>,
    /// A new group, or none at all.
    pub group: Option<Option<String>>,
    /// Enable or disable.
    pub status: Option<Status>,
    /// A new owner mark, or none at all.
    pub managed_by: Option<Option<String>>,
    /// A new definition; it replaces the old one whole.
    pub definition: Option<Source>,
}

/// A row's name: 1–200 characters, not blank.
pub(super) fn name(given: &str) -> Result<String, StoreError> {
    let length = given.chars().count();
    if given.trim().is_empty() || length > 200 {
        return Err(StoreError::Field {
            field: "name",
            message: format!("expected 1 to 200 characters, found {length}"),
        });
    }
    Ok(given.to_owned())
}

/// A row's group: trimmed, 1–120 characters; blank is none (`definition §1`).
pub(super) fn group(given: Option<&str>) -> Result<Option<String>, StoreError> {
    let Some(group) = given.map(str::trim).filter(|g| !g.is_empty()) else {
        return Ok(None);
    };
    let length = group.chars().count();
    if length > 120 {
        return Err(StoreError::Field {
            field: "group",
            message: format!("expected at most 120 characters, found {length}"),
        });
    }
    Ok(Some(group.to_owned()))
}
