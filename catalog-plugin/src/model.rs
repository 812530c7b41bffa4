//! A system as callers see it, and what can be wrong with one.

use automation_entity::MutateError;
use plugin_api::{Ts, http::patch};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A stored system.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct System {
    /// Stable text id.
    pub id: String,
    /// Unique, ignoring case.
    pub name: String,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Free data.
    pub metadata: Map<String, Value>,
    /// When it was created.
    #[serde(with = "plugin_api::values::rfc3339")]
    pub created_at: Ts,
    /// When it last changed.
    #[serde(with = "plugin_api::values::rfc3339")]
    pub updated_at: Ts,
}

/// A system to create.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewSystem {
    /// Absent: a UUIDv7 is made.
    pub id: Option<String>,
    /// 1–200 characters.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// Free data.
    #[serde(default)]
    pub metadata: Map<String, Value>,
}

/// A change of a system; what is absent stays.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SystemChange {
    /// A new name.
    #[serde(default, deserialize_with = "patch::given")]
    pub name: Option<String>,
    /// A new description; `null` clears it.
    #[serde(default, deserialize_with = "patch::clearable")]
    pub description: Option<Option<String>>,
    /// Replaces all metadata; `null` clears them.
    #[serde(default, deserialize_with = "patch::clearable")]
    pub metadata: Option<Option<Map<String, Value>>>,
}

/// Why a system could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    /// No such system.
    #[error("System not found: {0}")]
    NotFound(String),
    /// Another system has the name.
    #[error("another system is already called {0:?}; names are unique, ignoring case")]
    NameTaken(String),
    /// A system with the id exists.
    #[error("a system with the id {0:?} already exists")]
    IdTaken(String),
    /// The id or name has the wrong form.
    #[error("{field}: {reason}")]
    Invalid {
        /// `id` or `name`.
        field: &'static str,
        /// What to write instead.
        reason: String,
    },
    /// The database refused.
    #[error(transparent)]
    Db(#[from] plugin_api::db::DbError),
    /// The entity layer refused.
    #[error(transparent)]
    Entity(Box<MutateError>),
}

impl SystemError {
    /// Gets the plugin's own error back out of a failed write.
    pub fn from_write(e: MutateError) -> Self {
        match e {
            MutateError::Apply(e) => match e.downcast::<SystemError>() {
                Ok(own) => *own,
                Err(e) => Self::Entity(Box::new(MutateError::Apply(e))),
            },
            e => Self::Entity(Box::new(e)),
        }
    }

    /// True when the same write may well go through in a moment, as [`MutateError::is_passing`] says.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Entity(e) if e.is_passing())
    }
}

/// `^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`: ids appear in URLs, refs and expressions.
pub fn check_id(id: &str) -> Result<(), SystemError> {
    let b = id.as_bytes();
    let valid = b.first().is_some_and(u8::is_ascii_alphanumeric)
        && b.len() <= 100
        && b.iter()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-'));
    if valid {
        return Ok(());
    }
    Err(SystemError::Invalid {
        field: "id",
        reason: "use 1 to 100 letters, digits, dots, underscores and hyphens, beginning with a letter or digit".into(),
    })
}

/// What names are compared and ordered by: the name without its case, in every script. The databases
/// do not agree on that (SQLite lowers only ASCII), so it is made here and stored.
pub fn name_key(name: &str) -> String {
    name.to_lowercase()
}

/// The name, trimmed; 1–200 characters.
pub fn check_name(name: &str) -> Result<String, SystemError> {
    let name = name.trim();
    if (1..=200).contains(&name.chars().count()) {
        return Ok(name.to_owned());
    }
    Err(SystemError::Invalid {
        field: "name",
        reason: "use 1 to 200 characters".into(),
    })
}
