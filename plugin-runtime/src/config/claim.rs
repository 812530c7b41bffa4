//! Which key a database was set up with: a fingerprint of it, so that a node with another key is
//! refused when it starts, and not when it first meets a secret that it cannot read.

use super::key::ConfigKey;
use plugin_api::{Clock, Db, Doc, db::DbError};
use serde_json::json;

plugin_api::statements! {
    GET = "select data from signalbox.core_configs where plugin_id = 'core' and config_id = 'config-key'";
    CLAIM = "insert into signalbox.core_configs (plugin_id, config_id, version, data, updated_at) values ('core', 'config-key', 1, $1, $2) on conflict do nothing";
    REPLACE = "update signalbox.core_configs set data = $1, updated_at = $2 where plugin_id = 'core' and config_id = 'config-key'";
}

/// The statements of this module, for the test that prepares them.
pub const CLAIM_STATEMENTS: &[(&str, plugin_api::db::Sql)] = ALL;

/// The node's key is not the database's. Fingerprints tell keys apart and nothing about them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the key of {from} (fingerprint {own}) is not the one that this database was set up with (fingerprint {database})"
)]
pub struct KeyMismatch {
    /// Where this node's key comes from.
    pub from: String,
    /// Its fingerprint.
    pub own: String,
    /// The fingerprint in the database.
    pub database: String,
}

/// Why a key was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Another key was there first.
    #[error(transparent)]
    Mismatch(#[from] KeyMismatch),
    /// The database refused.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// The fingerprint of the key that a database was set up with; none before its first start.
pub async fn database_key(db: &Db) -> Result<Option<String>, DbError> {
    let stored: Option<Doc> = db.sql(GET).optional().await?;
    Ok(stored.and_then(|doc| doc.0["fingerprint"].as_str().map(str::to_owned)))
}

/// Makes the key the database's if it has none; of nodes that start together, the first wins.
///
/// # Errors
/// [`KeyMismatch`] when it has another.
pub async fn claim(db: &Db, clock: &dyn Clock, key: &ConfigKey) -> Result<(), ClaimError> {
    db.sql(CLAIM)
        .bind(record(key))
        .bind(clock.now())
        .execute()
        .await?;
    match database_key(db).await? {
        Some(stored) if stored == key.fingerprint() => Ok(()),
        stored => Err(KeyMismatch {
            from: key.origin().to_owned(),
            own: key.fingerprint().to_owned(),
            database: stored.unwrap_or_default(),
        }
        .into()),
    }
}

/// Makes the key the database's, whatever it had. Secrets stored with another key cannot be read
/// any more.
pub async fn replace(db: &Db, clock: &dyn Clock, key: &ConfigKey) -> Result<(), DbError> {
    for statement in [CLAIM, REPLACE] {
        db.sql(statement)
            .bind(record(key))
            .bind(clock.now())
            .execute()
            .await?;
    }
    Ok(())
}

fn record(key: &ConfigKey) -> Doc {
    Doc(json!({"fingerprint": key.fingerprint()}))
}
