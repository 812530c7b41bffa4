//! Signals: nudges to connected clients, never durable, never failing the caller (`plugins §13`).

use crate::values::Ts;
use masking::Masked;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::broadcast;

/// A signal as clients get it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// `<plugin>.<event>`.
    pub signal_id: String,
    /// The part before the first dot.
    pub plugin_id: String,
    /// What the plugin says.
    pub payload: Value,
    /// When it was sent.
    #[serde(with = "crate::values::rfc3339")]
    pub timestamp: Ts,
}

/// Who may receive a signal. The live stream decides with the principal of each connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// Every client that may see the plugin's topic.
    Everyone,
    /// These users.
    Users(Vec<String>),
    /// Those of these users who hold the rule.
    Authorized {
        /// User ids.
        users: Vec<String>,
        /// The rule.
        rule: String,
    },
}

/// A signal with its audience, as it travels inside and between nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SentSignal {
    /// Who may receive it.
    pub audience: Audience,
    /// What they receive.
    pub signal: Signal,
}

/// Sends signals. Send after commit; nothing here can fail the caller: errors are logged.
pub trait Signals: Send + Sync {
    /// Sends to an audience. An empty list of users sends nothing.
    fn send(&self, audience: Audience, signal_id: &str, payload: Masked<Value>);
    /// What any node sends from now on, for the live stream; a reader that falls behind by more
    /// than 1 000 signals is told how many it missed.
    fn subscribe(&self) -> broadcast::Receiver<Arc<SentSignal>>;

    /// To every client that may see the plugin's topic.
    fn broadcast(&self, signal_id: &str, payload: Masked<Value>) {
        self.send(Audience::Everyone, signal_id, payload);
    }
    /// To named users.
    fn send_to_users(&self, users: &[String], signal_id: &str, payload: Masked<Value>) {
        self.send(Audience::Users(users.to_vec()), signal_id, payload);
    }
    /// To those of the named users who hold a rule.
    fn send_to_authorized(
        &self,
        users: &[String],
        rule: &str,
        signal_id: &str,
        payload: Masked<Value>,
    ) {
        let audience = Audience::Authorized {
            users: users.to_vec(),
            rule: rule.to_owned(),
        };
        self.send(audience, signal_id, payload);
    }
}
