//! Throw-away databases to measure on, and how careful each is with data.

mod client;
mod counters;

pub use client::{Client, bind};
pub use counters::Counters;

use anyhow::{Context, Result};
use plugin_api::{
    Clock, Db, SystemClock,
    db::{DbConfig, Synchronous},
};
use std::{
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

/// Names the server on which databases are made; `cargo xtask bench` sets it.
pub const POSTGRES_VARIABLE: &str = "SIGNALBOX_TEST_POSTGRES";

/// A database engine with its durability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// SQLite that survives the death of the process (`synchronous=NORMAL`, the default).
    Sqlite,
    /// SQLite that survives a power cut (`synchronous=FULL`).
    SqliteFull,
    /// Postgres as it comes: a commit is on disk.
    Postgres,
    /// Postgres whose newest commits a crash of the server may lose (`synchronous_commit=off`).
    PostgresAsync,
}

impl Target {
    /// Every one.
    pub const ALL: [Target; 4] = [
        Target::Sqlite,
        Target::SqliteFull,
        Target::Postgres,
        Target::PostgresAsync,
    ];
    /// The two that people begin with.
    pub const USUAL: &'static [Target] = &[Target::Sqlite, Target::Postgres];

    /// As the command line and the rows name it.
    pub fn name(self) -> &'static str {
        match self {
            Target::Sqlite => "sqlite",
            Target::SqliteFull => "sqlite-full",
            Target::Postgres => "postgres",
            Target::PostgresAsync => "postgres-async",
        }
    }

    /// True on Postgres.
    pub fn is_postgres(self) -> bool {
        matches!(self, Target::Postgres | Target::PostgresAsync)
    }

    /// The value of the one that aims are stated for: each engine with its default durability.
    pub fn pick<T>(self, postgres: T, sqlite: T) -> Option<T> {
        match self {
            Target::Postgres => Some(postgres),
            Target::Sqlite => Some(sqlite),
            Target::SqliteFull | Target::PostgresAsync => None,
        }
    }
}

/// A database that goes with the value, on Postgres with [`Scratch::discard`].
pub struct Scratch {
    target: Target,
    url: String,
    place: Place,
}

enum Place {
    /// Somebody else's.
    Elsewhere,
    Folder {
        _folder: tempfile::TempDir,
    },
    Server {
        url: String,
        name: String,
    },
}

impl Scratch {
    /// Creates an empty database. SQLite files are made under the system's temporary folder, which should be on a disk.
    ///
    /// # Errors
    /// When the server is not named or does not answer.
    pub async fn create(target: Target) -> Result<Self> {
        if !target.is_postgres() {
            let folder = tempfile::Builder::new()
                .prefix("signalbox-bench-")
                .tempdir()?;
            return Ok(Self {
                target,
                url: format!("sqlite://{}", folder.path().join("bench.db").display()),
                place: Place::Folder { _folder: folder },
            });
        }
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let server = std::env::var(POSTGRES_VARIABLE).with_context(|| {
            format!("{POSTGRES_VARIABLE} is not set: run `cargo xtask bench`, which starts a server, or choose `--database sqlite`")
        })?;
        let name = format!(
            "signalbox_bench_{}_{}_{}",
            std::process::id(),
            SERIAL.fetch_add(1, Ordering::Relaxed),
            SystemClock::new().now().millis()
        );
        let admin = Db::open(&DbConfig::new(&server)).await?;
        admin
            .script(&format!("create database {name} template template0"))
            .await?;
        if target == Target::PostgresAsync {
            let off = format!("alter database {name} set synchronous_commit = off");
            admin.script(&off).await?;
        }
        admin.close().await;
        Ok(Self {
            target,
            url: with_database(&server, &name),
            place: Place::Server { url: server, name },
        })
    }

    /// A database that another process made and removes.
    pub fn existing(target: Target, url: &str) -> Self {
        Self {
            target,
            url: url.to_owned(),
            place: Place::Elsewhere,
        }
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it is.
    pub fn target(&self) -> Target {
        self.target
    }

    /// Opens it as a node does, with the usual settings and pools of its own.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn open(&self) -> Result<Db> {
        let mut config = DbConfig::new(&self.url);
        if self.target == Target::SqliteFull {
            config.synchronous = Synchronous::Full;
        }
        Ok(Db::open(&config).await?)
    }

    /// Connects to it without the engine's handle, so many times.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn clients(&self, clients: usize) -> Result<Vec<Client>> {
        Client::connect(self.target, &self.url, clients).await
    }

    /// How much it has done so far.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn counters(&self) -> Result<Counters> {
        if self.target.is_postgres() {
            let mut clients = self.clients(1).await?;
            return counters::postgres(&mut clients[0]).await;
        }
        let file = self.url.trim_start_matches("sqlite://");
        Ok(counters::sqlite(Path::new(&format!("{file}-shm"))))
    }

    /// Removes it.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn discard(self) -> Result<()> {
        if let Place::Server { url, name } = &self.place {
            let admin = Db::open(&DbConfig::new(url)).await?;
            admin
                .script(&format!("drop database if exists {name} with (force)"))
                .await?;
            admin.close().await;
        }
        Ok(())
    }
}

/// The server's URL with another database name.
fn with_database(server: &str, name: &str) -> String {
    let (base, query) = match server.split_once('?') {
        Some((base, query)) => (base, format!("?{query}")),
        None => (server, String::new()),
    };
    let after_scheme = base.find("://").map_or(0, |at| at + 3);
    let end = base[after_scheme..]
        .find('/')
        .map_or(base.len(), |at| after_scheme + at);
    format!("{}/{name}{query}", &base[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_replaces_the_one_the_server_is_named_with() {
        for (server, url) in [
            ("postgres://u:p@h:1/postgres", "postgres://u:p@h:1/x"),
            ("postgres://u@h", "postgres://u@h/x"),
            (
                "postgres://u@h/db?sslmode=disable",
                "postgres://u@h/x?sslmode=disable",
            ),
        ] {
            assert_eq!(with_database(server, "x"), url);
        }
    }
}
