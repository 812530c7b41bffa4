//! Writing SQLite's log back into its database beside the writer, not in front of it.
//!
//! SQLite's default is that whoever commits the thousandth page copies the log back and waits for the
//! disk twice meanwhile: every writer then waits for 10 ms and more, many times a second under load. A
//! connection of its own does that here, as often as before, so that a power cut loses no more than it
//! would. The writer itself copies only when a log has grown although it was copied all the time,
//! because somebody was always writing; what is left to copy is then little.

use sqlx::{Connection, sqlite::SqliteConnection};
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::{
    sync::{Mutex, watch},
    task::JoinHandle,
};

/// Pages of the log at which the writer copies it itself and begins it anew: 64 MB.
pub(super) const PAGES: &str = "16000";
/// Bytes of the log's file that stay when it begins anew.
pub(super) const KEPT: &str = "67108864";
/// Commits after which the log is copied: some thousand pages.
const COMMITS: u32 = 64;

/// Tells of commits, and holds the task that copies.
pub(super) struct Wal {
    commits: AtomicU32,
    /// True: the database is closed.
    tell: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Wal {
    /// Starts copying over a connection of its own. The task ends with [`Wal::close`], or with the last
    /// handle on the database.
    pub fn start(connection: SqliteConnection) -> Self {
        let (tell, told) = watch::channel(false);
        Self {
            commits: AtomicU32::new(0),
            tell,
            task: Mutex::new(Some(crate::spawn(copy(connection, told)))),
        }
    }

    /// A transaction that may have written has committed.
    pub fn committed(&self) {
        if self.commits.fetch_add(1, Ordering::Relaxed) % COMMITS == COMMITS - 1 {
            self.tell.send_replace(false);
        }
    }

    /// Waits for the copy under way; nothing is copied any more.
    pub async fn close(&self) {
        self.tell.send_replace(true);
        if let Some(task) = self.task.lock().await.take() {
            task.await.ok();
        }
    }
}

async fn copy(mut connection: SqliteConnection, mut told: watch::Receiver<bool>) {
    // Ends when the database is closed, or nobody has a handle on it any more.
    while told.changed().await.is_ok() && !*told.borrow_and_update() {
        // Waits for nobody: what a reader or the writer still needs is left for the next time.
        let copied = sqlx::query("pragma wal_checkpoint(passive)");
        if let Err(error) = copied.execute(&mut connection).await {
            tracing::warn!(%error, "The log of the database could not be copied back; the writer does it when the log has grown.");
        }
    }
    connection.close().await.ok();
}

#[cfg(test)]
mod tests {
    use crate::db::{Db, DbConfig, Sql};

    const fn both(text: &'static str) -> Sql {
        Sql {
            sqlite: text,
            postgres: text,
        }
    }
    const PUT: Sql = both("insert into things (text) values ($1)");
    const COUNT: Sql = both("select count(*) from things");

    #[tokio::test]
    async fn the_log_is_copied_while_the_writer_writes_on() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("db");
        let config = DbConfig::new(format!("sqlite://{}", file.display()));
        let db = Db::open(&config).await.unwrap();
        db.script("create table things (text text not null)")
            .await
            .unwrap();
        let size = || std::fs::metadata(&file).map_or(0, |m| m.len());
        let (before, mut written) = (size(), 0);
        // The file grows only when the log is copied; the writer never does that for so few pages.
        while size() <= before {
            assert!(written < 10_000, "the log is not copied");
            db.sql(PUT).bind("x".repeat(2000)).execute().await.unwrap();
            let mut tx = db.begin().await.unwrap();
            tx.sql(PUT).bind("x".repeat(2000)).execute().await.unwrap();
            tx.commit().await.unwrap();
            written += 2;
        }
        assert_eq!(db.sql(COUNT).one::<i64>().await.unwrap(), written);
        db.close().await;
        let log = dir.path().join("db-wal");
        assert!(!log.exists(), "whoever closes last leaves no log behind");
        let again = Db::open(&config).await.unwrap();
        assert_eq!(again.sql(COUNT).one::<i64>().await.unwrap(), written);
    }
}
