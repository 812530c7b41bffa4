//! The boot barrier: events emitted before it are rows that wait (`plugins §3.4`).

use super::{queue_of, sql};
use plugin_api::{
    Clock, Db, Doc, Tx,
    db::DbError,
    fail,
    queue::{NewJob, QueueError, QueueManager},
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

const BATCH: i64 = 500;

/// Why events could not move on.
#[derive(Debug, thiserror::Error)]
pub(super) enum MoveError {
    #[error("events held back during the boot could not be read: {0}")]
    Db(#[from] DbError),
    #[error(transparent)]
    Queue(#[from] QueueError),
}

pub(super) struct Staging {
    pub db: Db,
    pub clock: Arc<dyn Clock>,
    pub queues: Arc<dyn QueueManager>,
    pub node: String,
    pub open: AtomicBool,
}

impl Staging {
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Stores an event until the barrier opens; in a transaction of its own when `tx` is none.
    pub async fn stage(
        self: &Arc<Self>,
        tx: Option<&mut Tx>,
        hook: &str,
        envelope: Doc,
    ) -> Result<(), DbError> {
        let now = self.clock.now();
        let query = match tx {
            None => self.db.sql(sql::STAGE),
            Some(tx) => {
                // The barrier may open before the transaction ends; then nobody else looks again.
                let me = self.clone();
                tx.after_commit(move || {
                    if me.is_open() {
                        plugin_api::spawn(async move { me.move_late().await });
                    }
                });
                tx.sql(sql::STAGE)
            }
        };
        query
            .bind(now)
            .bind(self.node.as_str())
            .bind(hook)
            .bind(envelope)
            .execute()
            .await
            .map(drop)
    }

    async fn move_late(&self) {
        if let Err(error) = self.move_on().await {
            tracing::error!(%error, "An event stored while the barrier opened waits for the next beat of a node, or the next start.");
        }
    }

    /// Opens for good, once every group of this boot is there.
    pub async fn open(&self) -> Result<(), MoveError> {
        self.move_on().await?;
        fail::point("hook.opens").await.map_err(DbError::from)?;
        self.open.store(true, Ordering::Release);
        // A transaction may have committed since the last look, and seen the barrier closed. One that
        // this look misses commits after it, hence finds the barrier open and looks itself.
        self.move_on().await
    }

    /// Hands what was staged to the groups there are now, in order: by this boot, and by boots that
    /// died.
    pub async fn move_on(&self) -> Result<(), MoveError> {
        loop {
            let mut tx = self.db.begin().await?;
            let staged: Vec<sql::Staged> = tx
                .sql(sql::STAGED)
                .bind(self.node.as_str())
                .bind(BATCH)
                .all()
                .await?;
            if staged.is_empty() {
                tx.rollback().await?;
                return Ok(());
            }
            let seqs: Vec<_> = staged.iter().map(|s| sql::Seq { seq: s.seq }).collect();
            let mut rest = staged.into_iter().peekable();
            while let Some(first) = rest.next() {
                let mut jobs = vec![NewJob::new(first.data.0)];
                while let Some(next) = rest.next_if(|s| s.hook == first.hook) {
                    jobs.push(NewJob::new(next.data.0));
                }
                let queue = queue_of(first.hook.as_str());
                self.queues.enqueue_in(&mut tx, &queue, jobs).await?;
            }
            tx.sql(sql::UNSTAGE).rows(&seqs).execute().await?;
            tx.commit().await?;
        }
    }
}
