//! Advisory locks (`plugins §11`): on Postgres on connections of their own, on SQLite, whose file one
//! process owns, in memory.
//!
//! Waiting for a lock that the running task holds itself would never end, so it is an error. A task
//! holds a key while it runs a section under it, which a task-local tells, and while it keeps a guard
//! it took, which the [`Holders`] tell.

mod memory;
#[cfg(feature = "postgres")]
mod postgres;

pub(crate) use memory::MemoryLocks;
#[cfg(feature = "postgres")]
pub(crate) use postgres::PostgresLocks;

use plugin_api::locks::LockError;
use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex},
};

tokio::task_local! {
    /// Keys of the sections that surround the running code.
    static SECTIONS: Vec<String>;
}

/// Which task of this process keeps the guard of a key.
#[derive(Clone, Default)]
struct Holders(Arc<Mutex<HashMap<String, Option<tokio::task::Id>>>>);

impl Holders {
    fn add(&self, key: &str) {
        let task = tokio::task::try_id();
        let mut holders = self.0.lock().expect("holders");
        holders.insert(key.to_owned(), task);
    }

    fn remove(&self, key: &str) {
        self.0.lock().expect("holders").remove(key);
    }

    /// An error when waiting for `key` would wait for the running task itself.
    fn refuse_reentry(&self, key: &str) -> Result<(), LockError> {
        let in_section = SECTIONS
            .try_with(|s| s.iter().any(|k| k == key))
            .unwrap_or(false);
        let task = tokio::task::try_id();
        let holders = self.0.lock().expect("holders");
        let by_guard = task.is_some() && holders.get(key).is_some_and(|holder| *holder == task);
        if in_section || by_guard {
            return Err(LockError::Reentrant {
                key: key.to_owned(),
            });
        }
        Ok(())
    }
}

/// Runs a section, remembering that the running task holds `key`.
async fn in_section<F: Future>(key: &str, section: F) -> F::Output {
    let mut keys = SECTIONS.try_with(Clone::clone).unwrap_or_default();
    keys.push(key.to_owned());
    SECTIONS.scope(keys, section).await
}

fn db_error(key: &str, source: plugin_api::db::DbError) -> LockError {
    let key = key.to_owned();
    if plugin_api::db::is_lock_timeout(&source)
        || matches!(source, plugin_api::db::DbError::PoolTimedOut)
    {
        LockError::Busy { key }
    } else {
        LockError::Db { key, source }
    }
}
