//! An incident as callers see it, and what can be wrong with one.

use plugin_api::{Actor, Ts};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

plugin_api::typed_id! {
    /// An incident.
    pub struct IncidentId
}
plugin_api::typed_id! {
    /// An entry of an incident's timeline.
    pub struct UpdateId
}

macro_rules! text_enum {
    ($(#[$m:meta])* $name:ident { $($(#[$vm:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$m])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "lowercase")]
        pub enum $name { $($(#[$vm])* $variant),* }
        impl $name {
            /// The text used in rows, payloads and documents.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
            /// Reads the text.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

text_enum! {
    /// How far the work on an incident is. Open is everything but resolved.
    Status {
        /// Nobody knows yet why.
        Investigating = "investigating",
        /// The cause is known.
        Identified = "identified",
        /// Being repaired.
        Fixing = "fixing",
        /// Repaired and watched.
        Monitoring = "monitoring",
        /// Over.
        Resolved = "resolved",
    }
}
text_enum! {
    /// How bad it is.
    Severity {
        /// Few notice.
        Minor = "minor",
        /// Many notice.
        Major = "major",
        /// Everybody notices.
        Critical = "critical",
    }
}

/// A stored incident.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Incident {
    /// Its id.
    pub id: IncidentId,
    /// For people.
    pub title: String,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where the work is.
    pub status: Status,
    /// How bad it is.
    pub severity: Severity,
    /// Sorted, without duplicates (`domains §1.4`).
    pub system_ids: BTreeSet<String>,
    /// While open, notifications about its systems are held back.
    pub suppress_notifications: bool,
    /// When it was opened.
    #[serde(with = "plugin_api::values::rfc3339")]
    pub created_at: Ts,
    /// When it last changed.
    #[serde(with = "plugin_api::values::rfc3339")]
    pub updated_at: Ts,
}

/// An entry of the timeline.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Update {
    /// Its id.
    pub id: UpdateId,
    /// What happened.
    pub message: String,
    /// The status it brought, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_change: Option<Status>,
    /// When.
    #[serde(with = "plugin_api::values::rfc3339")]
    pub created_at: Ts,
    /// Who wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
}

/// An incident to open.
#[derive(Clone, Debug)]
pub struct NewIncident {
    /// 1–200 characters.
    pub title: String,
    /// For people.
    pub description: Option<String>,
    /// How bad it is.
    pub severity: Severity,
    /// At least one.
    pub system_ids: BTreeSet<String>,
    /// First entry of the timeline.
    pub initial_message: Option<String>,
    /// See [`Incident::suppress_notifications`].
    pub suppress_notifications: bool,
    /// Answer the oldest open incident of any of the systems instead of opening another (`domains §4.5`).
    pub dedupe_open_for_system: bool,
    /// The idempotency key of the request: a second creation with it answers the first incident, so
    /// that an action repeated after a crash opens nothing twice.
    pub request: Option<String>,
}

/// A change; what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct IncidentChange {
    /// A new title.
    pub title: Option<String>,
    /// A new description; `Some(None)` clears it.
    pub description: Option<Option<String>>,
    /// A new severity.
    pub severity: Option<Severity>,
    /// A new set of systems.
    pub system_ids: Option<BTreeSet<String>>,
    /// See [`Incident::suppress_notifications`].
    pub suppress_notifications: Option<bool>,
    /// A new status.
    pub status: Option<Status>,
    /// An entry for the timeline.
    pub note: Option<Note>,
}

/// What a change says in the timeline.
#[derive(Clone, Debug)]
pub enum Note {
    /// Something to say whatever else changes.
    Message(String),
    /// Said when the status becomes another one; setting the status an incident has already leaves
    /// no entry (`domains §4.6`).
    OnStatusChange(String),
}

/// Why an incident could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum IncidentError {
    /// No such incident.
    #[error("Incident {0} not found")]
    NotFound(String),
    /// A field has the wrong form.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What to write instead.
        reason: &'static str,
    },
    /// The database refused.
    #[error(transparent)]
    Db(#[from] plugin_api::db::DbError),
    /// A stored row cannot be read.
    #[error("incident {id} has a stored {field} this program does not know: {value:?}")]
    Corrupt {
        /// The incident.
        id: IncidentId,
        /// The column.
        field: &'static str,
        /// What it holds.
        value: String,
    },
    /// The entity layer refused.
    #[error(transparent)]
    Entity(Box<automation_entity::MutateError>),
}

impl IncidentError {
    /// Gets the plugin's own error back out of a failed write.
    pub fn from_write(e: automation_entity::MutateError) -> Self {
        match e {
            automation_entity::MutateError::Apply(e) => match e.downcast::<IncidentError>() {
                Ok(own) => *own,
                Err(e) => Self::Entity(Box::new(automation_entity::MutateError::Apply(e))),
            },
            e => Self::Entity(Box::new(e)),
        }
    }
}

/// The title, trimmed; 1–200 characters.
pub fn check_title(title: &str) -> Result<String, IncidentError> {
    let title = title.trim();
    if (1..=200).contains(&title.chars().count()) {
        return Ok(title.to_owned());
    }
    Err(IncidentError::Invalid {
        field: "title",
        reason: "use 1 to 200 characters",
    })
}

/// At least one system, no blank ones.
pub fn check_systems(ids: &BTreeSet<String>) -> Result<(), IncidentError> {
    if ids.is_empty() || ids.iter().any(|i| i.trim().is_empty()) {
        return Err(IncidentError::Invalid {
            field: "systemIds",
            reason: "name at least one system, and no blank ones",
        });
    }
    Ok(())
}

/// A message of the timeline: not blank.
pub fn check_message(message: &str) -> Result<(), IncidentError> {
    if message.trim().is_empty() {
        return Err(IncidentError::Invalid {
            field: "message",
            reason: "write at least one character",
        });
    }
    Ok(())
}

/// Who stands in the timeline: the display name, else `type:id`.
pub fn author(actor: &Actor) -> String {
    actor.name.clone().unwrap_or_else(|| {
        let kind = serde_json::to_value(actor.kind)
            .ok()
            .and_then(|v| v.as_str().map(str::to_owned))
            .unwrap_or_default();
        if actor.id.contains(':') {
            actor.id.clone()
        } else {
            format!("{kind}:{}", actor.id)
        }
    })
}
