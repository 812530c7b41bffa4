//! Locks of a database that one process owns: a keyed async mutex.

use super::{Holders, db_error, in_section};
use plugin_api::{
    Clock, Db,
    locks::{AdvisoryLocks, LockError, LockGuard, Section},
    timeout,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::OwnedMutexGuard;

/// As long as Postgres waits (`lock_timeout`).
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Default)]
struct Keys(Arc<Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>>);

impl Keys {
    fn get(&self, key: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut keys = self.0.lock().expect("lock keys");
        keys.entry(key.to_owned()).or_default().clone()
    }

    /// Forgets a key that nobody holds or waits for.
    fn tidy(&self, key: &str) {
        let mut keys = self.0.lock().expect("lock keys");
        if keys.get(key).is_some_and(|m| Arc::strong_count(m) == 1) {
            keys.remove(key);
        }
    }
}

/// See the module.
pub(crate) struct MemoryLocks {
    db: Db,
    clock: Arc<dyn Clock>,
    keys: Keys,
    holders: Holders,
}

impl MemoryLocks {
    pub fn new(db: Db, clock: Arc<dyn Clock>) -> Self {
        Self {
            db,
            clock,
            keys: Keys::default(),
            holders: Holders::default(),
        }
    }
}

struct Guard {
    key: String,
    held: Option<OwnedMutexGuard<()>>,
    keys: Keys,
    holders: Holders,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.holders.remove(&self.key);
        self.held = None;
        self.keys.tidy(&self.key);
    }
}

#[async_trait::async_trait]
impl LockGuard for Guard {
    async fn lost(&self) {
        // It lives in this process and ends with it.
        std::future::pending().await
    }
    async fn release(self: Box<Self>) {}
}

#[async_trait::async_trait]
impl AdvisoryLocks for MemoryLocks {
    async fn try_acquire(&self, key: &str) -> Result<Option<Box<dyn LockGuard>>, LockError> {
        let Ok(held) = self.keys.get(key).try_lock_owned() else {
            return Ok(None);
        };
        self.holders.add(key);
        Ok(Some(Box::new(Guard {
            key: key.to_owned(),
            held: Some(held),
            keys: self.keys.clone(),
            holders: self.holders.clone(),
        })))
    }

    async fn with_xact_lock(&self, key: &str, section: Section<'_>) -> Result<(), LockError> {
        self.holders.refuse_reentry(key)?;
        let waited = timeout(&*self.clock, PATIENCE, self.keys.get(key).lock_owned()).await;
        let held = waited.map_err(|_| LockError::Busy {
            key: key.to_owned(),
        })?;
        let outcome = in_section(key, async {
            let mut tx = self.db.begin().await.map_err(|e| db_error(key, e))?;
            match section(&mut tx).await {
                Ok(()) => tx.commit().await.map_err(|e| db_error(key, e)),
                Err(e) => {
                    tx.rollback().await.ok();
                    Err(LockError::Section(e))
                }
            }
        })
        .await;
        drop(held);
        self.keys.tidy(key);
        outcome
    }
}
