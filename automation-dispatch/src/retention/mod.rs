//! History that stays bounded: what old rows go, and how.
//!
//! One loop a node, once an hour. Each pass takes a few hundred rows at a time, each batch in a
//! transaction of its own and found through an index, with a pause between batches; so it never holds
//! a lock for long and never reads a table through. Deletes are idempotent and skip what another node
//! is deleting at the same time, so nodes need not agree on whose turn it is.
//!
//! | What | Kept |
//! |---|---|
//! | runs, with steps, artifacts and log | [`Retention::runs_days`] after their end, and the newest [`Retention::runs_per_automation`] |
//! | definition versions | the newest 50, and those a run refers to |
//! | decisions | the newest [`Retention::decisions_per_automation`], for [`Retention::decisions_days`] |
//! | the occurrence ledger, what windows have counted | 24 h (`dispatch §1`) |
//!
//! A run that is not over is never touched. Transitions are forgotten by the entity layer, dead
//! letters by the queue.

mod aged;
mod decisions;
mod runs;
mod sql;
mod versions;

pub use aged::in_sweep;
pub use sql::ALL;

use crate::{engine::Engine, shared::Shared};
use futures::FutureExt;
use plugin_api::{BoxError, Db, LoopReporter, Ts, db::DbError};
use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

/// Between the end of a pass and the next.
const INTERVAL: Duration = Duration::from_secs(3600);
/// Between the start of the process and the first pass, which is not to slow the start.
const FIRST: Duration = Duration::from_secs(300);
/// Between two batches.
const PAUSE: Duration = Duration::from_millis(50);
/// Rows of one transaction at most.
const BATCH: i64 = 500;
/// Automations looked at by one statement.
const PAGE: i64 = 200;
const DAY_MS: i64 = 86_400_000;

/// How much history is kept (settings of the host).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Days after its end that a run is kept.
    pub runs_days: u32,
    /// Newest runs of each automation that are kept however old they are.
    pub runs_per_automation: u32,
    /// Days that the newest open artifact of an automation, context key and type keeps its run: it is
    /// what a later run of that key consumes (`dispatch §13.13`).
    pub open_artifacts_days: u32,
    /// Newest decisions of each automation that are kept; 0: none are recorded.
    pub decisions_per_automation: u32,
    /// Days that a decision is kept.
    pub decisions_days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            runs_days: 30,
            runs_per_automation: 100,
            open_artifacts_days: 365,
            decisions_per_automation: 200,
            decisions_days: 30,
        }
    }
}

/// How many rows a pass deleted; steps, artifacts and log lines go with their runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Runs.
    pub runs: u64,
    /// Definition versions.
    pub versions: u64,
    /// Decisions.
    pub decisions: u64,
    /// Rows of the occurrence ledger.
    pub ledger: u64,
    /// Occurrences that windows have counted.
    pub windows: u64,
}

impl Pruned {
    fn rows(self) -> u64 {
        self.runs + self.versions + self.decisions + self.ledger + self.windows
    }
}

impl Engine {
    /// How much history is kept.
    pub fn retention(&self) -> Retention {
        self.shared.retention
    }

    /// One pass over all history, now and without pauses.
    ///
    /// # Errors
    /// When the database refuses; what was deleted before stays deleted.
    pub async fn prune(&self) -> Result<Pruned, DbError> {
        pass(&Job::of(&self.shared, Duration::ZERO)).await
    }
}

/// Prunes once an hour until the task is stopped.
pub async fn run(shared: Arc<Shared>, status: LoopReporter) {
    let mut wait = FIRST;
    loop {
        shared.clock.sleep(wait).await;
        wait = INTERVAL;
        let job = Job::of(&shared, PAUSE);
        match AssertUnwindSafe(pass(&job)).catch_unwind().await {
            Ok(Ok(pruned)) => {
                status.pass(shared.clock.now(), pruned.rows(), None);
                if pruned != Pruned::default() {
                    tracing::info!(
                        runs = pruned.runs,
                        versions = pruned.versions,
                        decisions = pruned.decisions,
                        ledger = pruned.ledger,
                        windows = pruned.windows,
                        "Old history was forgotten."
                    );
                }
            }
            Ok(Err(error)) => {
                status.failed(shared.clock.now(), &error);
                tracing::warn!(%error, "Old history could not be forgotten; the next pass tries again.");
            }
            Err(_) => status.failed(shared.clock.now(), &"the pass panicked"),
        }
    }
}

/// What a pass works with.
struct Job {
    shared: Arc<Shared>,
    db: Db,
    keep: Retention,
    now: Ts,
    pause: Duration,
}

impl Job {
    fn of(shared: &Arc<Shared>, pause: Duration) -> Self {
        Self {
            shared: shared.clone(),
            db: shared.db.clone(),
            keep: shared.retention,
            now: shared.clock.now(),
            pause,
        }
    }

    fn days_ago(&self, days: u32) -> Ts {
        self.now.plus_millis(-i64::from(days) * DAY_MS)
    }

    /// Lets others at the database.
    async fn pause(&self) {
        if !self.pause.is_zero() {
            self.shared.clock.sleep(self.pause).await;
        }
    }

    /// Whether there may be more after a batch that deleted so many rows; lets others at the database
    /// first.
    async fn goes_on(&self, deleted: u64) -> bool {
        let more = deleted >= BATCH as u64;
        if more {
            self.pause().await;
        }
        more
    }

    /// The next page of automations, behind the last id of the one before.
    async fn page(&self, after: &mut uuid::Uuid) -> Result<Option<Vec<uuid::Uuid>>, DbError> {
        let query = self.db.sql(sql::AUTOMATIONS).bind(plugin_api::Id(*after));
        let page: Vec<plugin_api::Id> = query.bind(PAGE).all().await?;
        let ids: Vec<uuid::Uuid> = page.iter().map(|id| id.0).collect();
        let Some(last) = ids.last() else {
            return Ok(None);
        };
        if !after.is_nil() {
            self.pause().await;
        }
        *after = *last;
        Ok(Some(ids))
    }
}

/// Everything once. A part that fails does not keep the others from their turn; the first failure is
/// answered.
async fn pass(job: &Job) -> Result<Pruned, DbError> {
    let ledger = aged::prune(job, sql::PRUNE_LEDGER).await;
    let windows = aged::prune(job, sql::PRUNE_WINDOWS).await;
    let runs = runs::prune(job).await;
    // Versions come after the runs that referred to them.
    let versions = versions::prune(job).await;
    let decisions = decisions::prune(job).await;
    Ok(Pruned {
        runs: runs?,
        versions: versions?,
        decisions: decisions?,
        ledger: ledger?,
        windows: windows?,
    })
}

/// The sweeper's share, a batch a cycle (`dispatch §21.4`), so that no hour is waited for.
async fn one_batch(shared: &Arc<Shared>) -> Result<u64, BoxError> {
    let job = Job::of(shared, Duration::ZERO);
    let mut gone = 0;
    for prune in aged::ALL {
        gone += aged::batch(&job, prune).await?;
    }
    Ok(gone)
}
