//! Group commit (design §3.2): whatever is waiting becomes one transaction, and each run gets its
//! own answer. While one batch is being committed the next one gathers, so commits are shared
//! exactly as much as the database is the bottleneck, and a lone run waits for nobody.

use super::{Applier, RunCommit, Verdict, apply::ApplyError};
use plugin_api::{
    Clock, Db,
    db::{DbError, is_unavailable},
    fail, timeout,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// Runs in one transaction at most.
const MAX_BATCH: usize = 256;
/// Tries of a single commit that the database refuses for a passing reason (a deadlock with a
/// deletion).
const TRIES: u32 = 3;
/// Pauses between tries while the database is not there.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

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

impl From<DbError> for CommitError {
    fn from(e: DbError) -> Self {
        Self::Refused(e.to_string())
    }
}

impl ApplyError {
    /// The database is not there: nothing is wrong with the commit.
    fn is_unavailable(&self) -> bool {
        match self {
            ApplyError::Db(e)
            | ApplyError::Queue(plugin_api::queue::QueueError::Db { source: e, .. }) => {
                is_unavailable(e)
            }
            ApplyError::Queue(_) => false,
        }
    }
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
                let gathered = std::mem::take(&mut batch);
                answer(&db, &applier, &*clock, gathered).await;
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

/// Commits what was gathered and answers each run. While the database is not there it is tried
/// again for as long as anybody waits: a driver whose lease can no longer be relied on has gone, and a
/// shorter absence must not make anybody repeat an action that was already called.
async fn answer(db: &Db, applier: &Applier, clock: &dyn Clock, gathered: Vec<Waiting>) {
    let (mut commits, mut answers): (Vec<_>, Vec<_>) = gathered.into_iter().unzip();
    let mut pause = FIRST_PAUSE;
    loop {
        match within_lease(applier, clock, commit(db, applier, clock, &commits)).await {
            Ok(verdicts) => {
                for (answer, verdict) in answers.into_iter().zip(verdicts) {
                    answer.send(Ok(verdict)).ok();
                }
                return;
            }
            Err(error) if error.is_unavailable() => {
                tracing::warn!(%error, runs = commits.len(), "Checkpoints cannot be written; it is tried again.");
                clock.sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                let waiting = commits.into_iter().zip(answers);
                (commits, answers) = waiting.filter(|(_, a)| !a.is_closed()).unzip();
                if commits.is_empty() {
                    return;
                }
            }
            // One bad run costs only itself.
            Err(error) => {
                tracing::debug!(%error, runs = commits.len(), "A commit of several runs failed and is split.");
                for (one, answer) in commits.iter().zip(answers) {
                    let one = within_lease(applier, clock, single(db, applier, clock, one));
                    answer.send(one.await).ok();
                }
                return;
            }
        }
    }
}

/// A commit that takes as long as a lease may be relied on has no driver any more, and must not hold
/// up those that come after it.
async fn within_lease<T, E: From<DbError>>(
    applier: &Applier,
    clock: &dyn Clock,
    commit: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    match timeout(clock, applier.lease.hold(), commit).await {
        Ok(done) => done,
        Err(_) => Err(DbError::PoolTimedOut.into()),
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
