//! Opening the database of the settings, with messages that say what to do.

use crate::settings::{Settings, sqlite_path, without_password};
use anyhow::Context;
use plugin_api::{
    Db,
    db::{DbConfig, Synchronous},
};
use plugin_runtime::config::claim;
use std::{fs::File, path::Path};

/// An open database, and for SQLite the lock that keeps a second process out.
pub struct Opened {
    /// The database.
    pub db: Db,
    /// Held as long as the process uses the data folder, and a SQLite file.
    pub locks: Vec<File>,
}

/// Creates the data folder, locks it, opens the database.
pub async fn open(settings: &Settings) -> anyhow::Result<Opened> {
    settings.create_data_dir()?;
    let locks = locks(settings)?;
    let db = connect(settings).await?;
    Ok(Opened { db, locks })
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

/// One process per data folder, whose key and token files are not written by two at once, and one per
/// SQLite file, wherever it lies: what one process does with it, another would do once more.
fn locks(settings: &Settings) -> anyhow::Result<Vec<File>> {
    let dir = &settings.data_dir;
    let mut locks = vec![lock(&dir.join("lock"), || {
        format!(
            "the data folder {} is in use by another signalbox process; stop that one, or give this one a folder of its own with --data-dir",
            dir.display()
        )
    })?];
    if !settings.is_postgres() {
        let database = sqlite_path(&settings.database_url);
        let mut beside = database.clone().into_os_string();
        beside.push(".lock");
        locks.push(lock(Path::new(&beside), || {
            format!(
                "the database {} is in use by another signalbox process; stop that one, or use Postgres to run several",
                database.display()
            )
        })?);
    }
    Ok(locks)
}

fn lock(path: &Path, in_use: impl FnOnce() -> String) -> anyhow::Result<File> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .with_context(|| {
            format!(
                "cannot open {} (does the folder exist, and can this user write to it?)",
                path.display()
            )
        })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(anyhow::anyhow!(in_use())),
        Err(std::fs::TryLockError::Error(e)) => {
            Err(e).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}
