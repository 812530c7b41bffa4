//! Group commit (design §3.2): whatever is waiting becomes one transaction, and each run gets its
//! own answer. While one batch is being committed the next one gathers, so commits are shared
//! exactly as much as the database is the bottleneck, and a lone run waits for nobody.

use super::{Applier, RunCommit, Verdict, apply::ApplyError};
use plugin_api::{Clock, Db, db::DbError, fail};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tokio::sync::{mpsc, oneshot};

/// Runs in one transaction at most.
const MAX_BATCH: usize = 256;
/// Tries of a single commit that the database refuses for a passing reason (a deadlock with a
/// deletion, a moment without connection).
const TRIES: u32 = 3;

/// Why a commit has no verdict. The run's lease runs out, and whoever takes it over goes on from
/// the last checkpoint.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// The database refused this run's rows.
    #[error("the rows of the run were refused: {0}")]
    Refused(String),
    /// The process is stopping.
    #[error("the committer has stopped")]
    Stopped,
}

type Waiting = (RunCommit, oneshot::Sender<Result<Verdict, CommitError>>);

/// Hands commits to the transaction that is gathering. Cheap to clone.
#[derive(Clone)]
pub struct Committer {
    queue: mpsc::Sender<Waiting>,
    batches: Arc<AtomicU64>,
    commits: Arc<AtomicU64>,
}

impl Committer {
    /// Starts the committing task. `db` should pin index plans ([`Db::pinned`]).
    pub fn start(db: Db, applier: Applier, clock: Arc<dyn Clock>) -> Self {
        let (queue, mut waiting) = mpsc::channel::<Waiting>(4096);
        let (batches, commits) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (b, c) = (batches.clone(), commits.clone());
        plugin_api::spawn(async move {
            let mut batch = Vec::with_capacity(MAX_BATCH);
            while waiting.recv_many(&mut batch, MAX_BATCH).await > 0 {
                b.fetch_add(1, Ordering::Relaxed);
                c.fetch_add(batch.len() as u64, Ordering::Relaxed);
                let (commits, answers): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
                match commit(&db, &applier, &*clock, &commits).await {
                    Ok(verdicts) => {
                        for (answer, verdict) in answers.into_iter().zip(verdicts) {
                            answer.send(Ok(verdict)).ok();
                        }
                    }
                    // One bad run costs only itself.
                    Err(error) => {
                        tracing::debug!(%error, runs = commits.len(), "A commit of several runs failed and is split.");
                        for (one, answer) in commits.iter().zip(answers) {
                            answer.send(single(&db, &applier, &*clock, one).await).ok();
                        }
                    }
                }
            }
        });
        Self {
            queue,
            batches,
            commits,
        }
    }

    /// Writes; ends when the transaction has committed, or the commit was refused.
    pub async fn commit(&self, commit: RunCommit) -> Result<Verdict, CommitError> {
        let (answer, verdict) = oneshot::channel();
        self.queue
            .send((commit, answer))
            .await
            .map_err(|_| CommitError::Stopped)?;
        verdict.await.map_err(|_| CommitError::Stopped)?
    }

    /// Transactions and commits so far.
    pub fn counters(&self) -> (u64, u64) {
        (
            self.batches.load(Ordering::Relaxed),
            self.commits.load(Ordering::Relaxed),
        )
    }
}

async fn commit(
    db: &Db,
    applier: &Applier,
    clock: &dyn Clock,
    commits: &[RunCommit],
) -> Result<Vec<Verdict>, ApplyError> {
    fail::point("dispatch.commit.before")
        .await
        .map_err(DbError::from)?;
    let mut tx = db.begin().await?;
    let verdicts = match applier.apply(&mut tx, clock.now(), commits).await {
        Ok(verdicts) => verdicts,
        Err(e) => {
            tx.rollback().await.ok();
            return Err(e);
        }
    };
    tx.commit().await?;
    fail::point("dispatch.commit.after")
        .await
        .map_err(DbError::from)?;
    Ok(verdicts)
}

async fn single(
    db: &Db,
    applier: &Applier,
    clock: &dyn Clock,
    one: &RunCommit,
) -> Result<Verdict, CommitError> {
    let mut tried = 0;
    loop {
        tried += 1;
        match commit(db, applier, clock, std::slice::from_ref(one)).await {
            Ok(verdicts) => return verdicts.first().copied().ok_or(CommitError::Stopped),
            Err(error) if tried < TRIES => {
                tracing::debug!(%error, run_id = %one.head.run_id, "A commit failed and is tried again.");
                clock
                    .sleep(std::time::Duration::from_millis(50 << tried))
                    .await;
            }
            Err(error) => return Err(CommitError::Refused(error.to_string())),
        }
    }
}
