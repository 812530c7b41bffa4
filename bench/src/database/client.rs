//! A connection of a program written by hand: no pool, no handle, nothing between it and the driver.
//!
//! Floors are measured with it, so that they show what the database gives and not what the engine's handle costs. On
//! SQLite all clients share the one connection that may write, as every program must.

use super::Target;
use anyhow::Result;
use plugin_api::db::{Args, Param, Sql};
use sqlx::{
    Arguments, AssertSqlSafe, Connection, Executor, Row, postgres::PgConnection,
    sqlite::SqliteConnection,
};
use std::sync::Arc;
use tokio::sync::Mutex;

/// One client of a database.
pub enum Client {
    /// Shares the writing connection.
    Sqlite(Arc<Mutex<SqliteConnection>>),
    /// Has one of its own.
    Postgres(PgConnection),
}

/// Binds the next parameter.
pub fn bind(args: &mut Args, value: impl Param) {
    match args {
        Args::Sqlite(args) => args.add(value),
        Args::Postgres(args) => args.add(value),
    }
    .expect("values encode without error");
}

impl Client {
    /// So many clients of a database.
    pub(super) async fn connect(target: Target, url: &str, clients: usize) -> Result<Vec<Self>> {
        if target.is_postgres() {
            let mut connected = Vec::with_capacity(clients);
            for _ in 0..clients {
                connected.push(Self::Postgres(PgConnection::connect(url).await?));
            }
            return Ok(connected);
        }
        use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
        let options = url
            .parse::<SqliteConnectOptions>()?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(match target {
                Target::SqliteFull => SqliteSynchronous::Full,
                _ => SqliteSynchronous::Normal,
            })
            .foreign_keys(true)
            .busy_timeout(std::time::Duration::from_secs(30));
        let writer = SqliteConnection::connect_with(&options).await?;
        let writer = Arc::new(Mutex::new(writer));
        Ok((0..clients).map(|_| Self::Sqlite(writer.clone())).collect())
    }

    /// Runs a script without parameters.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn script(&mut self, sql: &str) -> Result<()> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match self {
            Self::Sqlite(connection) => {
                sql.execute(&mut *connection.lock().await).await.map(drop)?
            }
            Self::Postgres(connection) => sql.execute(&mut *connection).await.map(drop)?,
        }
        Ok(())
    }

    /// Runs a statement with the parameters that `with` binds. On SQLite a text may hold several statements, which share
    /// their parameters: a whole transaction then costs one trip to the thread that owns the connection.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn run(&mut self, sql: Sql, with: impl FnOnce(&mut Args)) -> Result<()> {
        match self {
            Self::Sqlite(connection) => {
                let mut args = Args::Sqlite(Default::default());
                with(&mut args);
                if let Args::Sqlite(args) = args {
                    let query = sqlx::query_with::<sqlx::Sqlite, _>(sql.sqlite, args);
                    connection.lock().await.execute(query).await?;
                }
            }
            Self::Postgres(connection) => {
                let mut args = Args::Postgres(Default::default());
                with(&mut args);
                if let Args::Postgres(args) = args {
                    let query = sqlx::query_with::<sqlx::Postgres, _>(sql.postgres, args);
                    connection.execute(query).await?;
                }
            }
        }
        Ok(())
    }

    /// The whole numbers of the only row of a Postgres query.
    pub(super) async fn numbers(&mut self, sql: &'static str, columns: usize) -> Result<Vec<i64>> {
        let Self::Postgres(connection) = self else {
            anyhow::bail!("only Postgres is asked for numbers");
        };
        let row = connection.fetch_one(sql).await?;
        (0..columns).map(|i| Ok(row.try_get(i)?)).collect()
    }
}
