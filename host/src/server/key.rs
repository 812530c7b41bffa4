//! The key of secret config fields: where a node has it, and that all nodes of a database have the
//! same.

use super::database;
use crate::settings::Settings;
use anyhow::anyhow;
use plugin_api::SystemClock;
use plugin_runtime::{
    BootError, ConfigKey,
    config::claim::{self, ClaimError},
};
use std::path::PathBuf;

/// Where the key may stand instead of in the data folder.
const VARIABLE: &str = "SIGNALBOX_CONFIG_KEY";

fn file(settings: &Settings) -> PathBuf {
    settings.data_dir.join("config-key")
}

/// A key, and whether its file was made just now.
pub(super) struct Loaded {
    pub key: ConfigKey,
    pub is_new: bool,
}

/// The key of the environment or of the data folder, made there on the first start.
pub(super) fn load(settings: &Settings) -> anyhow::Result<Loaded> {
    let variable = std::env::var(VARIABLE).ok();
    let is_new = variable.is_none() && !file(settings).exists();
    let key = ConfigKey::load(variable.as_deref(), &file(settings))?;
    Ok(Loaded { key, is_new })
}

/// What to do about a key that is not the database's. One made for this start alone is taken away
/// again.
pub(super) fn explained(error: BootError, settings: &Settings, is_new: bool) -> anyhow::Error {
    let BootError::Framework { source, .. } = &error else {
        return error.into();
    };
    let Some(ClaimError::Mismatch(mismatch)) = source.downcast_ref() else {
        return error.into();
    };
    if is_new {
        std::fs::remove_file(file(settings)).ok();
    }
    anyhow!(
        "{mismatch}. All nodes of a database use one key: copy the file config-key from the data folder of a node that works over {}, or set {VARIABLE} to the same value everywhere. If that key is lost, `signalbox key --replace` takes this node's instead; a config with secrets stored with the lost one must then be saved once with all its secrets entered again",
        file(settings).display()
    )
}

/// Fingerprints of keys.
#[derive(Debug, PartialEq, Eq)]
pub struct Keys {
    /// Where this folder's key comes from.
    pub origin: String,
    /// That of this folder.
    pub own: String,
    /// That of the database; none before its first server.
    pub database: Option<String>,
}

/// Compares this folder's key with the database's.
pub async fn keys(settings: &Settings) -> anyhow::Result<Keys> {
    let db = database::connect_existing(settings).await?;
    let own = load(settings)?.key;
    let database = claim::database_key(&db).await?;
    db.close().await;
    Ok(Keys {
        origin: own.origin().to_owned(),
        own: own.fingerprint().to_owned(),
        database,
    })
}

/// Makes this folder's key the database's.
pub async fn replace_key(settings: &Settings) -> anyhow::Result<()> {
    let db = database::connect_existing(settings).await?;
    claim::replace(&db, &*SystemClock::new(), &load(settings)?.key).await?;
    db.close().await;
    Ok(())
}
