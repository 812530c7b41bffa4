//! The interpreter: a batch of commits to few set-based statements, with one verdict each.

use super::{
    build::{Fence, RunCommit},
    log_bound,
    rows::*,
    sql,
};
use crate::{
    drive::LeaseTimes,
    guards::{self, Guard},
    walk::decide::Rest,
};
use automation_core::RunId;
use plugin_api::{
    Doc, Text, Ts, Tx,
    db::DbError,
    queue::{NewJob, QueueError, QueueManager},
};
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

/// What became of one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Written; the run goes on under its lease.
    Held,
    /// Written; the run rests and its lease is free.
    Resting,
    /// Written, but a lock was fired meanwhile: the run keeps its lease and goes on with that.
    Fired,
    /// Written; the run is over.
    Finished,
    /// Nothing was written: the run was cancelled, deleted, or taken over.
    Lost,
    /// Written: the run waits for its turn.
    Queued,
    /// Nothing was written: a run with this dedup key exists.
    Duplicate,
}

/// Why a batch could not be written; nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The database refused.
    #[error("run rows: {0}")]
    Db(#[from] DbError),
    /// A timer could not be enqueued.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// What applying needs beside the transaction.
#[derive(Clone)]
pub struct Applier {
    /// This process.
    pub node: Arc<str>,
    /// For timers.
    pub queues: Arc<dyn QueueManager>,
    /// How long the leases last that commits take and extend.
    pub lease: LeaseTimes,
}

/// What becomes of a commit: `alive` when its fence holds, or its run was made or begun by it;
/// `fired` when a lock of the run carries a mark that this commit does not consume.
pub fn verdict(fence: &Fence, rest: &Rest, alive: bool, fired: bool) -> Verdict {
    match (fence, rest) {
        (Fence::Epoch(_) | Fence::Turn(_), _) if !alive => Verdict::Lost,
        (Fence::New(_), _) if !alive => Verdict::Duplicate,
        (_, Rest::Pending) => Verdict::Queued,
        (_, Rest::Finished { .. }) => Verdict::Finished,
        (_, Rest::Walking) => Verdict::Held,
        (_, Rest::Suspended) if fired && !guards::taken_out(Guard::FiredAtRest) => Verdict::Fired,
        (_, Rest::Suspended) => Verdict::Resting,
    }
}

impl Applier {
    /// Writes the commits inside `tx`; one verdict each, in order.
    pub async fn apply(
        &self,
        tx: &mut Tx,
        now: Ts,
        commits: &[RunCommit],
    ) -> Result<Vec<Verdict>, ApplyError> {
        let held = self.hold(tx, commits).await?;
        let mut created = create_runs(tx, commits).await?;
        created.extend(start_pending(tx, commits).await?);
        let alive = |c: &RunCommit| match c.fence {
            Fence::Epoch(_) => held.contains(&c.head.run_id),
            Fence::New(_) | Fence::Turn(_) => created.contains(&c.head.run_id),
        };
        unlock(tx, commits.iter().filter(|c| alive(c))).await?;
        let fired = fired_runs(tx, commits, &held).await?;
        let verdicts: Vec<Verdict> = commits
            .iter()
            .map(|c| verdict(&c.fence, &c.rest, alive(c), fired.contains(&c.head.run_id)))
            .collect();
        let live: Vec<(&RunCommit, Verdict)> = commits
            .iter()
            .zip(verdicts.iter().copied())
            .filter(|(_, v)| !matches!(v, Verdict::Lost | Verdict::Duplicate))
            .collect();
        if !live.is_empty() {
            self.states(tx, now, &live).await?;
            details(tx, &live).await?;
            statuses(tx, now, &live).await?;
            self.jobs(tx, &live).await?;
        }
        Ok(verdicts)
    }

    async fn hold(&self, tx: &mut Tx, commits: &[RunCommit]) -> Result<HashSet<RunId>, DbError> {
        let mut fences: Vec<FenceRow> = commits
            .iter()
            .filter_map(|c| match c.fence {
                Fence::Epoch(epoch) => Some(FenceRow {
                    run_id: c.head.run_id,
                    epoch,
                }),
                Fence::New(_) | Fence::Turn(_) => None,
            })
            .collect();
        if fences.is_empty() {
            return Ok(HashSet::new());
        }
        fences.sort_by_key(|f| f.run_id);
        let held: Vec<RunId> = tx
            .sql(sql::HOLD)
            .bind(self.node.to_string())
            .rows(&fences)
            .all()
            .await?;
        Ok(held.into_iter().collect())
    }

    async fn states(
        &self,
        tx: &mut Tx,
        now: Ts,
        live: &[(&RunCommit, Verdict)],
    ) -> Result<(), DbError> {
        let (mut new, mut old) = (Vec::new(), Vec::new());
        for (c, verdict) in live {
            let lease = match verdict {
                Verdict::Finished | Verdict::Queued => continue,
                Verdict::Resting => None,
                _ => Some((self.node.to_string(), now.plus_millis(self.lease.ttl_ms()))),
            };
            let (lease_owner, lease_expires_at) = lease.unzip();
            match c.fence {
                Fence::New(_) | Fence::Turn(_) => new.push(StateRow {
                    run_id: c.head.run_id,
                    scope_snapshot: c.snapshot.clone(),
                    last_action_path: c.last_path.clone(),
                    at: now,
                    lease_owner,
                    lease_expires_at,
                }),
                Fence::Epoch(_) => old.push(CheckpointRow {
                    run_id: c.head.run_id,
                    scope_snapshot: c.snapshot.clone(),
                    last_action_path: c.last_path.clone(),
                    cursors: c.cursors.clone(),
                    lease_owner,
                    lease_expires_at,
                }),
            }
        }
        if !new.is_empty() {
            tx.sql(sql::INSERT_STATES).rows(&new).execute().await?;
        }
        if !old.is_empty() {
            tx.sql(sql::CHECKPOINT)
                .bind(self.node.to_string())
                .bind(now)
                .rows(&old)
                .execute()
                .await?;
        }
        Ok(())
    }

    async fn jobs(&self, tx: &mut Tx, live: &[(&RunCommit, Verdict)]) -> Result<(), QueueError> {
        let mut by_queue: BTreeMap<&str, Vec<NewJob>> = BTreeMap::new();
        for (c, _) in live {
            for (queue, job) in &c.jobs {
                by_queue.entry(queue).or_default().push(job.clone());
            }
        }
        for (queue, jobs) in by_queue {
            self.queues.enqueue_in(tx, queue, jobs).await?;
        }
        Ok(())
    }
}

async fn create_runs(tx: &mut Tx, commits: &[RunCommit]) -> Result<HashSet<RunId>, DbError> {
    let rows: Vec<RunRow> = commits
        .iter()
        .filter_map(|c| match &c.fence {
            Fence::New(new) => Some(run_row(c, new)),
            Fence::Epoch(_) | Fence::Turn(_) => None,
        })
        .collect();
    if rows.is_empty() {
        return Ok(HashSet::new());
    }
    let made: Vec<RunId> = tx.sql(sql::INSERT_RUNS).rows(&rows).all().await?;
    Ok(made.into_iter().collect())
}

/// Runs whose turn has come; those that were cancelled meanwhile stay as they are.
async fn start_pending(tx: &mut Tx, commits: &[RunCommit]) -> Result<Vec<RunId>, DbError> {
    let rows: Vec<TurnRow> = commits
        .iter()
        .filter_map(|c| {
            let Fence::Turn(at) = c.fence else {
                return None;
            };
            let (status, error_code, finished_at) = begun(&c.rest, at);
            Some(TurnRow {
                id: c.head.run_id,
                status: status.to_owned(),
                error_code,
                error_message: c.message.clone(),
                started_at: at,
                finished_at,
            })
        })
        .collect();
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    tx.sql(sql::START_PENDING).rows(&rows).all().await
}

/// Status, code and end of a run after its first decision.
pub(crate) fn begun(rest: &Rest, at: Ts) -> (&'static str, Option<String>, Option<Ts>) {
    match rest {
        Rest::Pending => ("pending", None, None),
        Rest::Walking => ("running", None, None),
        Rest::Suspended => ("waiting", None, None),
        Rest::Finished { status, code, .. } => (status, code.map(str::to_owned), Some(at)),
    }
}

fn run_row(c: &RunCommit, new: &super::build::NewRun) -> RunRow {
    let (status, code, finished_at) = begun(&c.rest, new.started_at);
    RunRow {
        id: c.head.run_id,
        automation_id: c.head.automation_id,
        trigger_id: new.trigger_id.clone(),
        trigger_event_id: new.event_id.clone(),
        trigger_payload: Doc((*new.payload).clone()),
        context_key: c.head.context_key.clone().map(Text::new),
        status: status.to_owned(),
        error_code: code,
        error_message: c.message.clone(),
        actor: Doc::of(&new.actor).expect("an actor serialises"),
        definition_version: new.definition_version,
        cause: Doc::of(&new.cause).ok(),
        dedup_key: new.dedup_key.clone().map(Text::new),
        started_at: new.started_at,
        finished_at,
    }
}

/// Locks that these very commits consume go first: they are fired, and must not keep a run awake.
async fn unlock<'a>(
    tx: &mut Tx,
    commits: impl Iterator<Item = &'a RunCommit>,
) -> Result<(), DbError> {
    let ids: Vec<uuid::Uuid> = commits
        .flat_map(|c| c.unlocked.iter().map(|l| l.uuid()))
        .collect();
    if !ids.is_empty() {
        tx.sql(sql::DELETE_LOCKS).ids(&ids).execute().await?;
    }
    Ok(())
}

async fn fired_runs(
    tx: &mut Tx,
    commits: &[RunCommit],
    held: &HashSet<RunId>,
) -> Result<HashSet<RunId>, DbError> {
    let resting: Vec<uuid::Uuid> = commits
        .iter()
        .filter(|c| matches!(c.rest, Rest::Suspended) && held.contains(&c.head.run_id))
        .map(|c| c.head.run_id.uuid())
        .collect();
    if resting.is_empty() {
        return Ok(HashSet::new());
    }
    let fired: Vec<RunId> = tx.sql(sql::FIRED_RUNS).ids(&resting).all().await?;
    Ok(fired.into_iter().collect())
}

/// Steps, artifacts, locks and logs.
async fn details(tx: &mut Tx, live: &[(&RunCommit, Verdict)]) -> Result<(), DbError> {
    macro_rules! rows {
        ($field:ident, $sql:expr) => {
            let rows: Vec<_> = live
                .iter()
                .flat_map(|(c, _)| c.$field.iter().cloned())
                .collect();
            if !rows.is_empty() {
                tx.sql($sql).rows(&rows).execute().await?;
            }
        };
    }
    rows!(steps, sql::UPSERT_STEPS);
    rows!(artifacts, sql::UPSERT_ARTIFACTS);
    rows!(locks, sql::INSERT_LOCKS);
    rows!(wakes, sql::INSERT_WAKES);
    rows!(checked, sql::CHECKED);
    rows!(logs, sql::INSERT_LOGS);
    let logging = live.iter().filter(|(c, _)| !c.logs.is_empty());
    log_bound::cut(tx, logging.map(|(c, _)| c.head.run_id.uuid()).collect()).await?;
    Ok(())
}

/// Statuses of runs that existed before.
async fn statuses(tx: &mut Tx, now: Ts, live: &[(&RunCommit, Verdict)]) -> Result<(), DbError> {
    let ids = |wanted: fn(&RunCommit, Verdict) -> bool| -> Vec<uuid::Uuid> {
        live.iter()
            .filter(|(c, v)| matches!(c.fence, Fence::Epoch(_)) && wanted(c, *v))
            .map(|(c, _)| c.head.run_id.uuid())
            .collect()
    };
    let resting = ids(|c, v| v == Verdict::Resting && !c.resumed);
    if !resting.is_empty() {
        tx.sql(sql::SET_WAITING).ids(&resting).execute().await?;
    }
    let running = ids(|c, v| c.resumed && matches!(v, Verdict::Held | Verdict::Fired));
    if !running.is_empty() {
        tx.sql(sql::SET_RUNNING).ids(&running).execute().await?;
    }
    let finished: Vec<FinishRow> = live
        .iter()
        .filter(|(c, _)| matches!(c.fence, Fence::Epoch(_)))
        .filter_map(|(c, _)| match &c.rest {
            Rest::Finished { status, code, .. } => Some(FinishRow {
                run_id: c.head.run_id,
                status: (*status).to_owned(),
                error_code: code.map(str::to_owned),
                error_message: c.message.clone(),
                finished_at: now,
            }),
            _ => None,
        })
        .collect();
    if finished.is_empty() {
        return Ok(());
    }
    tx.sql(sql::FINISH).rows(&finished).execute().await?;
    if !tx.is_postgres() {
        let over: Vec<uuid::Uuid> = finished.iter().map(|f| f.run_id.uuid()).collect();
        for of_runs in [sql::DELETE_LOCKS_OF_RUNS, sql::DELETE_STATES] {
            tx.sql(of_runs).ids(&over).execute().await?;
        }
    }
    for (c, _) in live {
        if let (Some((status, code, text)), Rest::Finished { .. }) = (c.close_open, &c.rest) {
            tx.sql(sql::CLOSE_STEPS)
                .bind(status.to_owned())
                .bind(code.to_owned())
                .bind(Text::new(text))
                .bind(now)
                .ids(&[c.head.run_id.uuid()])
                .execute()
                .await?;
        }
    }
    Ok(())
}
