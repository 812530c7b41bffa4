//! Opening databases: pools, per-plugin schemas, connections with pinned plans.

use super::{Args, Conn, Query, Result, Sql, Tx, tx};

/// Which engine a handle talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// One file, one process.
    Sqlite,
    /// Shared by any number of nodes.
    Postgres,
}

/// `PRAGMA synchronous` of SQLite. `Normal` survives a crash of the process, `Full` also a power cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// The WAL is synced at checkpoints.
    #[default]
    Normal,
    /// The WAL is synced at each commit.
    Full,
}

/// How to open a database.
#[derive(Clone, Debug)]
pub struct DbConfig {
    /// `sqlite://path` or `postgres://user@host/name`.
    pub url: String,
    /// Connections of the main pool on Postgres; readers on SQLite. Default 10.
    pub max_connections: u32,
    /// SQLite only.
    pub synchronous: Synchronous,
}

impl DbConfig {
    /// The defaults for a URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            max_connections: 10,
            synchronous: Synchronous::Normal,
        }
    }
}

#[derive(Clone)]
pub(super) enum Inner {
    #[cfg(feature = "sqlite")]
    Sqlite {
        write: sqlx::SqlitePool,
        read: sqlx::SqlitePool,
        wal: std::sync::Arc<super::wal::Wal>,
    },
    #[cfg(feature = "postgres")]
    Postgres {
        pool: sqlx::PgPool,
        options: Box<sqlx::postgres::PgConnectOptions>,
    },
}

/// A handle on the database; clones share their pools.
#[derive(Clone)]
pub struct Db {
    pub(super) inner: Inner,
}

#[cfg(feature = "postgres")]
fn pg_pool(options: sqlx::postgres::PgConnectOptions, max: u32) -> sqlx::PgPool {
    pg_pool_within(options, max, std::time::Duration::from_secs(30))
}

#[cfg(feature = "postgres")]
fn pg_pool_within(
    options: sqlx::postgres::PgConnectOptions,
    max: u32,
    acquire: std::time::Duration,
) -> sqlx::PgPool {
    sqlx::postgres::PgPoolOptions::new()
        .max_connections(max)
        .min_connections(0)
        .acquire_timeout(acquire)
        .idle_timeout(std::time::Duration::from_secs(120))
        .connect_lazy_with(options)
}

/// How long the first connection may take.
#[cfg(feature = "postgres")]
const REACH_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);

/// Makes one connection outside any pool: a pool tries again until its time is up, and then says
/// only that it is.
#[cfg(feature = "postgres")]
async fn reach(options: &sqlx::postgres::PgConnectOptions) -> Result<()> {
    use sqlx::{ConnectOptions, Connection};
    let clock = crate::SystemClock::new();
    match crate::timeout(&*clock, REACH_WITHIN, options.connect()).await {
        Ok(connected) => connected?.close().await,
        Err(_) => Err(sqlx::Error::Io(std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            format!("no answer within {} s", REACH_WITHIN.as_secs()),
        ))),
    }
}

impl Db {
    /// Opens the database; SQLite files are created. Errors when it cannot be reached within 5 s, or
    /// when the engine of the URL is not compiled in.
    pub async fn open(config: &DbConfig) -> Result<Db> {
        let url = &config.url;
        #[cfg(feature = "postgres")]
        if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            use std::str::FromStr;
            let options = sqlx::postgres::PgConnectOptions::from_str(url)?
                .application_name("signalbox")
                .options([("lock_timeout", "30s"), ("search_path", "signalbox")]);
            reach(&options).await?;
            return Ok(Db {
                inner: Inner::Postgres {
                    pool: pg_pool(options.clone(), config.max_connections),
                    options: Box::new(options),
                },
            });
        }
        #[cfg(feature = "sqlite")]
        if url.starts_with("sqlite:") {
            use sqlx::sqlite::*;
            let options = url
                .parse::<SqliteConnectOptions>()?
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(match config.synchronous {
                    Synchronous::Normal => SqliteSynchronous::Normal,
                    Synchronous::Full => SqliteSynchronous::Full,
                })
                .foreign_keys(true)
                .statement_cache_capacity(512)
                .busy_timeout(std::time::Duration::from_secs(30));
            let write = SqlitePoolOptions::new()
                .max_connections(1)
                .acquire_timeout(std::time::Duration::from_secs(30))
                .connect_with(
                    options
                        .clone()
                        .pragma("wal_autocheckpoint", super::wal::PAGES)
                        .pragma("journal_size_limit", super::wal::KEPT),
                )
                .await?;
            let beside = sqlx::ConnectOptions::connect(&options).await?;
            let wal = std::sync::Arc::new(super::wal::Wal::start(beside));
            let read = SqlitePoolOptions::new()
                .max_connections(config.max_connections.min(8))
                .acquire_timeout(std::time::Duration::from_secs(30))
                .connect_with(options.read_only(true))
                .await?;
            return Ok(Db {
                inner: Inner::Sqlite { write, read, wal },
            });
        }
        Err(sqlx::Error::Configuration(
            "the database URL must begin with sqlite: or postgres:, and that engine must be compiled in".into(),
        ))
    }

    /// The engine behind this handle.
    pub fn engine(&self) -> Engine {
        match &self.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite { .. } => Engine::Sqlite,
            #[cfg(feature = "postgres")]
            Inner::Postgres { .. } => Engine::Postgres,
        }
    }

    /// The handle a plugin gets: on Postgres a small pool whose `search_path` is only the plugin's
    /// schema (`plugins §12.1`), on SQLite the same file.
    pub fn scoped(&self, schema: &str) -> Db {
        match &self.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite { .. } => {
                let _ = schema;
                self.clone()
            }
            #[cfg(feature = "postgres")]
            Inner::Postgres { options, .. } => {
                let options = (**options).clone().options([("search_path", schema)]);
                Db {
                    inner: Inner::Postgres {
                        pool: pg_pool(options.clone(), 6),
                        options: Box::new(options),
                    },
                }
            }
        }
    }

    /// A handle for set-based batch statements: on Postgres its connections keep to index plans
    /// (measured: without that, grouping 16 writers gains nothing), on SQLite the same file.
    pub fn pinned(&self, max_connections: u32) -> Db {
        match &self.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite { .. } => {
                let _ = max_connections;
                self.clone()
            }
            #[cfg(feature = "postgres")]
            Inner::Postgres { options, .. } => {
                let options = (**options).clone().options([
                    ("plan_cache_mode", "force_generic_plan"),
                    ("enable_hashjoin", "off"),
                    ("enable_mergejoin", "off"),
                    ("enable_seqscan", "off"),
                    ("jit", "off"),
                ]);
                Db {
                    inner: Inner::Postgres {
                        pool: pg_pool(options.clone(), max_connections),
                        options: Box::new(options),
                    },
                }
            }
        }
    }

    /// A pool of its own with the same settings: connections that hold locks must never be the
    /// ones the work inside needs (`dispatch §22`).
    pub fn separate(&self, max_connections: u32) -> Db {
        self.separate_within(max_connections, std::time::Duration::from_secs(30))
    }

    /// As [`Db::separate`], but waiting at most `acquire` (real time) for a connection; then
    /// [`DbError::PoolTimedOut`](super::DbError).
    pub fn separate_within(&self, max_connections: u32, acquire: std::time::Duration) -> Db {
        match &self.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite { .. } => {
                let _ = (max_connections, acquire);
                self.clone()
            }
            #[cfg(feature = "postgres")]
            Inner::Postgres { options, .. } => Db {
                inner: Inner::Postgres {
                    pool: pg_pool_within((**options).clone(), max_connections, acquire),
                    options: options.clone(),
                },
            },
        }
    }

    /// The Postgres pool, for what only Postgres has (`LISTEN`, session locks).
    #[cfg(feature = "postgres")]
    pub fn postgres(&self) -> Option<&sqlx::PgPool> {
        match &self.inner {
            Inner::Postgres { pool, .. } => Some(pool),
            #[cfg(feature = "sqlite")]
            Inner::Sqlite { .. } => None,
        }
    }

    /// Begins a transaction (`BEGIN IMMEDIATE` on SQLite).
    pub async fn begin(&self) -> Result<Tx> {
        crate::fail::point(crate::fail::DATABASE).await?;
        Ok(Tx::new(match &self.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite { write, wal, .. } => {
                tx::Inner::Sqlite(write.begin_with("BEGIN IMMEDIATE").await?, wal.clone())
            }
            #[cfg(feature = "postgres")]
            Inner::Postgres { pool, .. } => tx::Inner::Postgres(pool.begin().await?),
        }))
    }

    /// Runs `f` in a transaction: commits on `Ok`, rolls back on `Err`.
    pub async fn tx<T, E: From<sqlx::Error>>(
        &self,
        f: impl AsyncFnOnce(&mut Tx) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut tx = self.begin().await?;
        match f(&mut tx).await {
            Ok(v) => {
                tx.commit().await?;
                Ok(v)
            }
            Err(e) => {
                tx.rollback().await.ok();
                Err(e)
            }
        }
    }

    /// A statement to run on the pool.
    pub fn sql(&self, sql: Sql) -> Query<'_> {
        let args = match &self.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite { .. } => Args::Sqlite(Default::default()),
            #[cfg(feature = "postgres")]
            Inner::Postgres { .. } => Args::Postgres(Default::default()),
        };
        Query::new(Conn::Db(self), sql, args)
    }

    /// Runs a script of several statements without parameters (migrations only).
    pub async fn script(&self, sql: &str) -> Result<()> {
        match &self.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite { write, .. } => sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
                .execute(write)
                .await
                .map(drop),
            #[cfg(feature = "postgres")]
            Inner::Postgres { pool, .. } => sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
                .execute(pool)
                .await
                .map(drop),
        }
    }

    /// Asks the engine to plan a statement without running it; errors when a table, column or
    /// parameter does not exist. For the test that prepares every statement (decision 15).
    pub async fn prepare(&self, sql: Sql) -> Result<()> {
        use sqlx::Executor;
        match &self.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite { write, .. } => {
                use sqlx::SqlSafeStr;
                write.prepare(sql.sqlite.into_sql_str()).await.map(drop)
            }
            #[cfg(feature = "postgres")]
            Inner::Postgres { pool, .. } => {
                use sqlx::SqlSafeStr;
                pool.prepare(sql.postgres.into_sql_str()).await.map(drop)
            }
        }
    }

    /// Closes the pools; later use fails.
    pub async fn close(&self) {
        match &self.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite { write, read, wal } => {
                wal.close().await;
                read.close().await;
                write.close().await;
            }
            #[cfg(feature = "postgres")]
            Inner::Postgres { pool, .. } => pool.close().await,
        }
    }
}

impl Tx {
    /// Runs a script of several statements without parameters inside the transaction (migrations only).
    pub async fn script(&mut self, sql: &str) -> Result<()> {
        match &mut self.inner {
            #[cfg(feature = "sqlite")]
            tx::Inner::Sqlite(t, _) => sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
                .execute(&mut **t)
                .await
                .map(drop),
            #[cfg(feature = "postgres")]
            tx::Inner::Postgres(t) => sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
                .execute(&mut **t)
                .await
                .map(drop),
        }
    }
}
