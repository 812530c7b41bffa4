//! Where history, outgoing changes and intents are kept: the seam behind the SQL store and the
//! in-memory store of the test kit.

use crate::{intent::Intent, recording::Recording};
use plugin_api::{BoxError, Ts, Tx, db::DbError};
use serde::Serialize;
use uuid::Uuid;

/// The newest thing the log says of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Newest {
    /// The field got this text at this instant, and nothing ended since.
    Value(String, Ts),
    /// The entity ended at this instant, after the last row of the field.
    Ended(Ts),
}

plugin_api::row! {
    /// One row of the transition log, as the API shows it.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
    #[serde(rename_all = "camelCase")]
    pub struct Transition {
        /// Orders rows; later rows have larger ids.
        pub id: i64,
        /// The change it belongs to.
        pub change_id: plugin_api::Id,
        /// The kind.
        pub kind: String,
        /// The entity.
        pub entity_id: String,
        /// The field, or `@@tombstone`.
        pub field: String,
        /// Field text before; none on create.
        pub from_value: Option<String>,
        /// Field text after.
        pub to_value: String,
        /// When it was recorded.
        #[serde(with = "plugin_api::values::rfc3339")]
        pub transitioned_at: Ts,
    }
}

/// Which rows of the transition log to list; what is none does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TransitionFilter {
    /// Of this field.
    pub field: Option<String>,
    /// Away from this field text (`entity §7`).
    pub from: Option<String>,
    /// To this field text.
    pub to: Option<String>,
}

/// The store. Every method is one short transaction, except [`TransitionStore::record_in`].
#[async_trait::async_trait]
pub trait TransitionStore: Send + Sync + 'static {
    /// Stores a change in a transaction of its own: its rows, its place in the outbox, and the end
    /// of its intent. A change already stored is not stored twice.
    async fn record(&self, recording: &Recording) -> Result<(), BoxError>;
    /// The same inside the transaction of the plugin's write.
    async fn record_in(&self, tx: &mut Tx, recording: &Recording) -> Result<(), DbError>;
    /// The newest row of a field, unless the entity ended after it; none without any row.
    async fn newest(&self, kind: &str, id: &str, field: &str) -> Result<Option<Newest>, BoxError>;
    /// Rows of a field at or after an instant.
    async fn count(&self, kind: &str, id: &str, field: &str, since: Ts) -> Result<i64, BoxError>;
    /// Stores an intent; answers the one that is in its place, if any, and then stores nothing.
    async fn begin_intent(&self, intent: &Intent) -> Result<Option<Intent>, BoxError>;
    /// Deletes the intent of a change.
    async fn end_intent(&self, kind: &str, id: &str, change_id: Uuid) -> Result<(), BoxError>;
    /// The intent of an entity.
    async fn intent(&self, kind: &str, id: &str) -> Result<Option<Intent>, BoxError>;
    /// Intents stored before an instant, oldest first, at most `limit`.
    async fn intents(&self, before: Ts, limit: i64) -> Result<Vec<Intent>, BoxError>;
    /// When the oldest intent was stored.
    async fn oldest_intent(&self) -> Result<Option<Ts>, BoxError>;
}
