//! Opening the database of the settings, with messages that say what to do.

use crate::settings::{Settings, sqlite_path, without_password};
use anyhow::Context;
use plugin_api::{
    Db,
    db::{DbConfig, Synchronous},
};
use plugin_runtime::config::claim;
use std::fs::File;

/// An open database, and for SQLite the lock that keeps a second process out.
pub struct Opened {
    /// The database.
    pub db: Db,
    /// Held as long as the process uses the data folder.
    pub lock: File,
}

/// Creates the data folder, locks it, opens the database.
pub async fn open(settings: &Settings) -> anyhow::Result<Opened> {
    settings.create_data_dir()?;
    let lock = lock(settings)?;
    let db = connect(settings).await?;
    Ok(Opened { db, lock })
}

/// Opens the database and nothing else: for short work beside a running server.
pub async fn connect(settings: &Settings) -> anyhow::Result<Db> {
    let config = DbConfig {
        url: settings.database_url.clone(),
        max_connections: settings.max_connections,
        synchronous: if settings.sqlite_full_sync {
            Synchronous::Full
        } else {
            Synchronous::Normal
        },
    };
    let help = if settings.is_postgres() {
        "is the server running, and does the database exist? The URL comes from --database-url, SIGNALBOX_DATABASE_URL or the configuration file"
    } else {
        "can this user write to the folder?"
    };
    Db::open(&config).await.with_context(|| {
        format!(
            "cannot open the database {} ({help})",
            without_password(&settings.database_url)
        )
    })
}

/// As [`connect`], for work that makes sense only on a database that a server has set up.
pub async fn connect_existing(settings: &Settings) -> anyhow::Result<Db> {
    let missing = || {
        anyhow::anyhow!(
            "no server has been started on the database {} yet; start one with `signalbox serve`",
            without_password(&settings.database_url)
        )
    };
    if !settings.is_postgres() && !sqlite_path(&settings.database_url).exists() {
        return Err(missing());
    }
    let db = connect(settings).await?;
    match claim::database_key(&db).await {
        Ok(_) => Ok(db),
        Err(e) if plugin_api::db::is_unavailable(&e) => Err(e.into()),
        // Its table is not there.
        Err(_) => Err(missing()),
    }
}

/// One process per data folder: SQLite belongs to one process, and the key and token files are not
/// written by two at once.
fn lock(settings: &Settings) -> anyhow::Result<File> {
    let path = settings.data_dir.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            anyhow::bail!(
                "the data folder {} is in use by another signalbox process; stop that one, or give this one a folder of its own with --data-dir",
                settings.data_dir.display()
            )
        }
        Err(std::fs::TryLockError::Error(e)) => {
            Err(e).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}
