//! Locks of a database that nodes share.
//!
//! Each held lock has a connection of a pool of its own, so waiting lockers never starve the work
//! inside, and it is released on the connection that took it, or by that connection's end
//! (`plugins §11.2`). A guard's connection belongs to a task that listens on it, which is how the
//! loss of an idle connection is noticed at once and without asking.

use super::{Holders, db_error, in_section};
use plugin_api::{
    Db,
    db::DbError,
    locks::{AdvisoryLocks, LockError, LockGuard, Section, key_hash},
};
use sqlx::postgres::{PgListener, PgPoolOptions};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
};

/// Connections for guards, and as many for sections; the next one waits 5 s, then gets
/// [`LockError::Busy`].
const CONNECTIONS: u32 = 8;
const PATIENCE: Duration = Duration::from_secs(5);

struct Shared {
    guards: sqlx::PgPool,
    sections: Db,
    holders: Holders,
}

/// See the module. One per plugin: sections see the plugin's own tables; connections are shared.
#[derive(Clone)]
pub(crate) struct PostgresLocks {
    shared: Arc<Shared>,
    schema: Option<String>,
}

impl PostgresLocks {
    pub fn new(db: &Db, pool: &sqlx::PgPool) -> Self {
        let guards = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(PATIENCE)
            .after_release(|connection, _| {
                // A guard whose task was cancelled gives its connection back with the lock on it.
                Box::pin(async move {
                    sqlx::query("select pg_advisory_unlock_all()")
                        .execute(connection)
                        .await?;
                    Ok(true)
                })
            })
            .connect_lazy_with((*pool.connect_options()).clone());
        Self {
            shared: Arc::new(Shared {
                guards,
                sections: db.separate_within(CONNECTIONS, PATIENCE),
                holders: Holders::default(),
            }),
            schema: None,
        }
    }

    /// The same locks for a plugin whose tables live in `schema`.
    pub fn for_schema(&self, schema: String) -> Self {
        Self {
            shared: self.shared.clone(),
            schema: Some(schema),
        }
    }

    async fn connect(&self, key: &str) -> Result<PgListener, LockError> {
        let connected = PgListener::connect_with(&self.shared.guards).await;
        let mut connection = connected.map_err(|e| db_error(key, e))?;
        connection.eager_reconnect(false);
        Ok(connection)
    }
}

struct Guard {
    key: String,
    holders: Holders,
    lost: watch::Receiver<bool>,
    // Dropping it tells the task to release.
    release: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.holders.remove(&self.key);
    }
}

#[async_trait::async_trait]
impl LockGuard for Guard {
    async fn lost(&self) {
        let mut lost = self.lost.clone();
        let _ = lost.wait_for(|lost| *lost).await;
    }
    async fn release(mut self: Box<Self>) {
        self.release = None;
        if let Some(task) = self.task.take() {
            let _ = task.await;
        }
    }
}

/// Keeps the connection of a guard until it is released or lost.
async fn hold(
    mut connection: PgListener,
    key: String,
    hash: i64,
    released: oneshot::Receiver<()>,
    lost: watch::Sender<bool>,
) {
    let broken = async {
        // Nothing is listened to, so only the end of the connection ends this.
        while let Ok(Some(_)) = connection.try_recv().await {}
    };
    tokio::select! {
        _ = released => {}
        () = broken => {
            tracing::warn!(key, "The connection that held an advisory lock was lost, and the lock with it.");
            lost.send_replace(true);
            return;
        }
    }
    let unlocked = sqlx::query_scalar::<_, bool>("select pg_advisory_unlock($1)")
        .bind(hash)
        .fetch_one(&mut connection)
        .await;
    if let Err(error) = unlocked {
        tracing::warn!(key, %error, "An advisory lock ends with its connection.");
    }
}

#[async_trait::async_trait]
impl AdvisoryLocks for PostgresLocks {
    async fn try_acquire(&self, key: &str) -> Result<Option<Box<dyn LockGuard>>, LockError> {
        let mut connection = self.connect(key).await?;
        let hash = key_hash(key);
        let taken = sqlx::query_scalar::<_, bool>("select pg_try_advisory_lock($1)")
            .bind(hash)
            .fetch_one(&mut connection)
            .await
            .map_err(|e| db_error(key, e))?;
        if !taken {
            return Ok(None);
        }
        let (release, released) = oneshot::channel();
        let (losing, lost) = watch::channel(false);
        let task = plugin_api::spawn(hold(connection, key.to_owned(), hash, released, losing));
        self.shared.holders.add(key);
        Ok(Some(Box::new(Guard {
            key: key.to_owned(),
            holders: self.shared.holders.clone(),
            lost,
            release: Some(release),
            task: Some(task),
        })))
    }

    async fn with_xact_lock(&self, key: &str, section: Section<'_>) -> Result<(), LockError> {
        self.shared.holders.refuse_reentry(key)?;
        in_section(key, async {
            let begin = async {
                let mut tx = self.shared.sections.begin().await?;
                if let Some(schema) = &self.schema {
                    // The name is made of a checked plugin id: letters, digits and `_`.
                    tx.script(&format!("set local search_path = {schema}"))
                        .await?;
                }
                tx.lock(key).await?;
                Ok::<_, DbError>(tx)
            };
            let mut tx = begin.await.map_err(|e| db_error(key, e))?;
            match section(&mut tx).await {
                Ok(()) => tx.commit().await.map_err(|e| db_error(key, e)),
                Err(e) => {
                    tx.rollback().await.ok();
                    Err(LockError::Section(e))
                }
            }
        })
        .await
    }
}
