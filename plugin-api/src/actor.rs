//! Who did it: every call, event and change carries an actor (`plugins §10`, `domains §2`).

use serde::{Deserialize, Serialize};

/// The kind of an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ActorType {
    /// A person who is signed in.
    User,
    /// A service account with an API token.
    Application,
    /// Another plugin.
    Service,
    /// The platform itself.
    System,
}

/// Who caused something. JSON shape `{type, id, name?}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Actor {
    /// Kind of actor.
    #[serde(rename = "type")]
    pub kind: ActorType,
    /// Stable id inside the kind.
    pub id: String,
    /// Display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Actor {
    /// The platform: `{type: system, id: system}`.
    pub fn system() -> Self {
        Self {
            kind: ActorType::System,
            id: "system".into(),
            name: None,
        }
    }
    /// A run of an automation: `{type: system, id: "automation:<id>"}` (`plugins §10`).
    pub fn automation(automation_id: impl std::fmt::Display) -> Self {
        Self {
            kind: ActorType::System,
            id: format!("automation:{automation_id}"),
            name: None,
        }
    }
    /// A plugin calling another.
    pub fn service(plugin_id: &str) -> Self {
        Self {
            kind: ActorType::Service,
            id: plugin_id.into(),
            name: None,
        }
    }
    /// Reads a stored actor; a malformed one degrades to the system actor (`domains §2.1`), which
    /// the second value reports so that the caller can warn.
    pub fn from_stored(value: &serde_json::Value) -> (Self, bool) {
        match Actor::deserialize(value) {
            Ok(a) if !a.id.is_empty() => (a, true),
            _ => (Self::system(), false),
        }
    }
}
