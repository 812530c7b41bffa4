//! An incident as callers see it, and what can be wrong with one.

use automation_entity::MutateError;
use plugin_api::{
    Actor, Ts,
    db::{DbError, is_lock_timeout, is_unavailable},
};
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
    /// The idempotency key of the request, kept with the entry: a second change with it changes
    /// nothing and answers the entry it made.
    pub request: Option<String>,
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
        /// What is wrong, as a stable code.
        code: &'static str,
        /// What to write instead.
        reason: &'static str,
    },
    /// The database refused. Named as the source, so that who looks for a database that is away
    /// finds it behind this.
    #[error("{0}")]
    Db(#[from] DbError),
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
    Entity(Box<MutateError>),
}

impl IncidentError {
    /// Gets the plugin's own error back out of a failed write.
    pub fn from_write(e: MutateError) -> Self {
        match e {
            MutateError::Apply(e) => match e.downcast::<IncidentError>() {
                Ok(own) => *own,
                Err(e) => Self::Entity(Box::new(MutateError::Apply(e))),
            },
            e => Self::Entity(Box::new(e)),
        }
    }

    /// True when the same may well go through in a moment, as [`MutateError::is_passing`] says.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Db(e) => is_unavailable(e) || is_lock_timeout(e),
            Self::Entity(e) => e.is_passing(),
            _ => false,
        }
    }
}

/// The most characters of a title.
const TITLE: usize = 200;

/// The title, trimmed; 1–200 characters.
pub fn check_title(title: &str) -> Result<String, IncidentError> {
    let title = title.trim();
    if (1..=TITLE).contains(&title.chars().count()) {
        return Ok(title.to_owned());
    }
    Err(IncidentError::Invalid {
        field: "title",
        code: "bad_length",
        reason: "use 1 to 200 characters",
    })
}

/// A title of any length as one that [`check_title`] takes, and the description with it: what an
/// automation renders may be longer than anybody thought, and an alert must not be lost for that. A
/// title that is cut stands whole in front of the description.
pub fn fit_title(title: &str, description: Option<String>) -> (String, Option<String>) {
    let title = title.trim();
    if title.chars().count() <= TITLE {
        return (title.to_owned(), description);
    }
    let cut: String = title.chars().take(TITLE - 1).collect();
    let whole = match description {
        Some(more) if !more.trim().is_empty() => format!("{title}\n\n{more}"),
        _ => title.to_owned(),
    };
    (format!("{}…", cut.trim_end()), Some(whole))
}

/// At least one system, no blank ones, nothing in them that cannot be read.
pub fn check_systems(ids: &BTreeSet<String>) -> Result<(), IncidentError> {
    let invalid = |code, reason| {
        Err(IncidentError::Invalid {
            field: "systemIds",
            code,
            reason,
        })
    };
    if ids.is_empty() || ids.iter().any(|i| i.trim().is_empty()) {
        return invalid("bad_length", "name at least one system, and no blank ones");
    }
    if ids.iter().any(|i| i.contains(char::is_control)) {
        return invalid("bad_format", "use ids without control characters");
    }
    Ok(())
}

/// A message of the timeline: not blank.
pub fn check_message(message: &str) -> Result<(), IncidentError> {
    if message.trim().is_empty() {
        return Err(IncidentError::Invalid {
            field: "message",
            code: "bad_length",
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
