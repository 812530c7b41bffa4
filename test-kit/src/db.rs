//! A database per test: a file in a temporary folder, or a fresh Postgres database copied from a
//! template that holds the framework's tables (made once per text of the migrations), dropped again
//! at the end of the test.

use migrations::{FRAMEWORK, Migrator, Owner, checksum};
use plugin_api::{
    Db, SystemClock,
    db::{DbConfig, Engine, Sql},
};
use std::sync::atomic::{AtomicU32, Ordering};

/// Names the server on which tests make their databases; `cargo xtask test` sets it.
pub const POSTGRES_VARIABLE: &str = "SIGNALBOX_TEST_POSTGRES";

/// A database that lives as long as the test.
pub struct TestDb {
    db: Db,
    url: String,
    _cleanup: Cleanup,
}

enum Cleanup {
    Folder { _folder: tempfile::TempDir },
    Database { _database: DropDatabase },
}

struct DropDatabase {
    server: String,
    name: String,
}

impl Drop for DropDatabase {
    /// Drops the database from a thread of its own: the test's runtime may be ending.
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let admin = Db::open(&config(&server)).await.map_err(as_io)?;
                let sql = format!("drop database if exists {name} with (force)");
                let dropped = admin.script(&sql).await.map_err(as_io);
                admin.close().await;
                dropped
            })
        });
        if let Ok(Err(error)) = thread.join() {
            eprintln!(
                "The test database {name} could not be dropped: {error}",
                name = self.name
            );
        }
    }
}

fn as_io(e: plugin_api::db::DbError) -> std::io::Error {
    std::io::Error::other(e)
}

fn config(url: &str) -> DbConfig {
    DbConfig::new(url)
}

impl TestDb {
    /// A SQLite file with the framework's tables.
    pub async fn sqlite() -> Self {
        let db = Self::empty_sqlite().await;
        migrate(db.db()).await;
        db
    }

    /// A SQLite file without tables.
    pub async fn empty_sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = format!("sqlite://{}", folder.path().join("test.db").display());
        let db = Db::open(&config(&url)).await.expect("SQLite opens");
        Self {
            db,
            url,
            _cleanup: Cleanup::Folder { _folder: folder },
        }
    }

    /// A Postgres database with the framework's tables.
    ///
    /// # Panics
    /// When `SIGNALBOX_TEST_POSTGRES` is not set.
    pub async fn postgres() -> Self {
        let server = server();
        let template = template(&server).await;
        Self::create(server, Some(&template)).await
    }

    /// A Postgres database without tables.
    ///
    /// # Panics
    /// When `SIGNALBOX_TEST_POSTGRES` is not set.
    pub async fn empty_postgres() -> Self {
        Self::create(server(), None).await
    }

    async fn create(server: String, template: Option<&str>) -> Self {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let unique = SystemClock::new();
        let stamp = plugin_api::Clock::now(&*unique).millis();
        let name = format!("signalbox_test_{}_{serial}_{stamp}", std::process::id());
        let from = template.unwrap_or("template0");
        let admin = Db::open(&config(&server))
            .await
            .expect("the test server answers");
        admin
            .script(&format!("create database {name} template {from}"))
            .await
            .expect("a test database is created");
        admin.close().await;
        let url = with_database(&server, &name);
        let db = Db::open(&config(&url))
            .await
            .expect("the test database opens");
        Self {
            db,
            url,
            _cleanup: Cleanup::Database {
                _database: DropDatabase { server, name },
            },
        }
    }

    /// The handle.
    pub fn db(&self) -> &Db {
        &self.db
    }
    /// Its URL, for a second process.
    pub fn url(&self) -> &str {
        &self.url
    }
    /// The engine.
    pub fn engine(&self) -> Engine {
        self.db.engine()
    }
    /// True on Postgres.
    pub fn is_postgres(&self) -> bool {
        self.engine() == Engine::Postgres
    }
    /// A second handle with pools of its own, as another node or a restarted process would open.
    pub async fn reopen(&self) -> Db {
        Db::open(&config(&self.url))
            .await
            .expect("the database opens again")
    }
}

fn server() -> String {
    std::env::var(POSTGRES_VARIABLE).unwrap_or_else(|_| {
        panic!("{POSTGRES_VARIABLE} is not set: run `cargo xtask test`, which starts a server for the tests")
    })
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

async fn migrate(db: &Db) {
    Migrator::new(db.clone(), SystemClock::new())
        .run(&Owner::framework())
        .await
        .expect("the framework's migrations run");
}

const TEMPLATE_EXISTS: Sql = Sql {
    sqlite: "select 1",
    postgres: "select count(*) from pg_database where datname = $1",
};

/// The name of the template database, made when it is missing. Its name holds the checksum of all
/// migrations, so that a changed text makes a new one; concurrent test processes wait for the first.
async fn template(server: &str) -> String {
    use sha2::{Digest, Sha256};
    let mut all = Sha256::new();
    for m in FRAMEWORK {
        all.update(checksum(m, Engine::Postgres));
    }
    let hash: String = all.finalize()[..8]
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let name = format!("signalbox_template_{hash}");
    let admin = Db::open(&config(server))
        .await
        .expect("the test server answers");
    let exists = async || {
        let found = admin
            .sql(TEMPLATE_EXISTS)
            .bind(name.clone())
            .one::<i64>()
            .await;
        found.expect("the server lists its databases") > 0
    };
    if !exists().await {
        let mut lock = admin.begin().await.expect("a transaction");
        lock.lock("signalbox.test_template")
            .await
            .expect("the lock of the template");
        if !exists().await {
            let draft = format!("{name}_draft");
            for sql in [
                format!("drop database if exists {draft} with (force)"),
                format!("create database {draft} template template0"),
            ] {
                admin.script(&sql).await.expect("the template is created");
            }
            let db = Db::open(&config(&with_database(server, &draft)))
                .await
                .expect("the template opens");
            migrate(&db).await;
            db.close().await;
            admin
                .script(&format!("alter database {draft} rename to {name}"))
                .await
                .expect("the template gets its name");
        }
        lock.commit().await.expect("the lock is released");
    }
    admin.close().await;
    name
}

/// Prepares every statement and panics with the whole list of those that the database refuses
/// (decision 15). For a plugin's own tables pass the plugin's scoped handle.
pub async fn prepare_all(db: &Db, statements: &[(&str, Sql)]) {
    let mut failures = Vec::new();
    for (name, sql) in statements {
        if let Err(error) = db.prepare(*sql).await {
            failures.push(format!("{name}: {error}"));
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} statements cannot be prepared on {:?}:\n{}",
        failures.len(),
        statements.len(),
        db.engine(),
        failures.join("\n")
    );
}

/// Writes a test once and runs it on both engines, as `name::sqlite` and `name::postgres`.
///
/// ```
/// use test_kit::{TestDb, both_engines};
/// both_engines! {
///     async fn a_row_survives(db: TestDb) {
///         assert!(!db.url().is_empty());
///     }
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! both_engines {
    ($($(#[$m:meta])* async fn $name:ident($db:ident : $db_type:ty) $body:block)*) => {$(
        $(#[$m])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;
            async fn body($db: $db_type) $body
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                Box::pin(body($crate::TestDb::sqlite().await)).await;
            }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                Box::pin(body($crate::TestDb::postgres().await)).await;
            }
        }
    )*};
}
