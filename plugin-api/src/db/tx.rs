//! A transaction that can be handed to other code, and what happens after it commits.

use super::{Args, Query, Result, Sql};

pub(super) enum Inner {
    #[cfg(feature = "sqlite")]
    Sqlite(
        sqlx::Transaction<'static, sqlx::Sqlite>,
        std::sync::Arc<super::wal::Wal>,
    ),
    #[cfg(feature = "postgres")]
    Postgres(sqlx::Transaction<'static, sqlx::Postgres>),
}

/// An open transaction. Dropping it rolls back.
pub struct Tx {
    pub(super) inner: Inner,
    after: Vec<Box<dyn FnOnce() + Send>>,
}

impl Tx {
    pub(super) fn new(inner: Inner) -> Self {
        Self {
            inner,
            after: Vec::new(),
        }
    }

    /// A statement to run inside this transaction.
    pub fn sql(&mut self, sql: Sql) -> Query<'_> {
        let args = match &self.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite(..) => Args::Sqlite(Default::default()),
            #[cfg(feature = "postgres")]
            Inner::Postgres(_) => Args::Postgres(Default::default()),
        };
        Query::new(super::Conn::Tx(self), sql, args)
    }

    /// Runs `f` once the transaction has committed, never if it rolls back. For hints and caches
    /// only: a crash right after the commit skips it (design §3.3).
    pub fn after_commit(&mut self, f: impl FnOnce() + Send + 'static) {
        self.after.push(Box::new(f));
    }

    /// Commits, then runs what was registered with [`Tx::after_commit`]. In a
    /// [dry run](crate::dry_run) it rolls back instead, and runs nothing.
    pub async fn commit(self) -> Result<()> {
        crate::fail::point(crate::fail::DATABASE).await?;
        if crate::dry_run::is_dry_run() {
            return self.rollback().await;
        }
        crate::fail::point(crate::fail::COMMIT).await?;
        match self.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite(t, wal) => {
                t.commit().await?;
                wal.committed();
            }
            #[cfg(feature = "postgres")]
            Inner::Postgres(t) => t.commit().await?,
        }
        crate::fail::point(crate::fail::COMMITTED).await?;
        for f in self.after {
            f();
        }
        Ok(())
    }

    /// Rolls back now rather than when dropped.
    pub async fn rollback(self) -> Result<()> {
        match self.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite(t, _) => t.rollback().await,
            #[cfg(feature = "postgres")]
            Inner::Postgres(t) => t.rollback().await,
        }
    }

    /// True on Postgres.
    pub fn is_postgres(&self) -> bool {
        match &self.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite(..) => false,
            #[cfg(feature = "postgres")]
            Inner::Postgres(_) => true,
        }
    }

    /// Serialises this transaction with every other one that takes `key`, until it ends: a
    /// transaction advisory lock on Postgres; on SQLite the immediate transaction already is the
    /// only writer (`dispatch §22`). Waits at most 30 s, then [`is_lock_timeout`](super::is_lock_timeout).
    pub async fn lock(&mut self, key: &str) -> Result<()> {
        if self.is_postgres() {
            self.sql(LOCK)
                .bind(crate::locks::key_hash(key))
                .execute()
                .await?;
        }
        Ok(())
    }
}

const LOCK: Sql = Sql {
    sqlite: "select 1 where $1 is null",
    postgres: "select pg_advisory_xact_lock($1)",
};
