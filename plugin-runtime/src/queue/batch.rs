//! The loop of a batch handler: takes, decides and deletes its jobs in one transaction.
//!
//! An error rolls all of it back. The batch is then split into halves down to single jobs, so that a
//! bad job costs only itself: it alone gets a failed attempt, the others are handled at once.

use super::{
    decide::{Fate, fate},
    each::panic_text,
    lane::{Lane, in_order},
    manager::Counters,
    settle::{Ended, cause},
    sql,
    stop::Stop,
};
use futures::FutureExt;
use plugin_api::{
    RequestContext, Text,
    db::{DbError, Tx},
    fail,
    queue::{BatchHandler, Job, JobError, Verdict},
};
use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering},
};

pub(super) struct BatchLane {
    lane: Lane,
    handler: Arc<dyn BatchHandler>,
    max: usize,
}

/// Why a batch did not commit.
enum Failed {
    /// The database: nothing was decided, the whole batch is tried again later.
    Db(DbError),
    /// The handler.
    Handler(JobError),
}
impl From<DbError> for Failed {
    fn from(e: DbError) -> Self {
        Self::Db(e)
    }
}

/// Counts jobs as in flight while it lives.
struct InFlight(Arc<Counters>, usize);
impl InFlight {
    fn new(counters: &Arc<Counters>, jobs: usize) -> Self {
        counters.in_flight.fetch_add(jobs, Ordering::Relaxed);
        Self(counters.clone(), jobs)
    }
}
impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(self.1, Ordering::Relaxed);
    }
}

impl BatchLane {
    pub fn new(lane: Lane, max: usize, handler: Arc<dyn BatchHandler>) -> Self {
        Self {
            lane,
            handler,
            max: max.max(1),
        }
    }

    /// Runs until told to stop; a batch in progress is finished first, unless aborted.
    pub async fn run(mut self) {
        let mut stop = self.lane.stop.clone();
        tokio::select! {
            biased;
            _ = stop.wait_for(|s| *s == Stop::Abort) => {}
            () = self.passes() => {}
        }
    }

    async fn passes(&mut self) {
        while self.lane.stopping() == Stop::No {
            if let Err(error) = self.pass().await {
                self.lane.failed(&error).await;
                continue;
            }
            let until = self.lane.deadline();
            tokio::select! {
                () = self.lane.hint.wait() => {}
                () = self.lane.core.clock.sleep_until(until) => {}
                _ = self.lane.stop.changed() => {}
            }
        }
    }

    /// Handles batches until the queue is empty.
    async fn pass(&mut self) -> Result<(), DbError> {
        while self.lane.stopping() == Stop::No {
            self.lane.keep_watch().await?;
            let found = self.batch().await?;
            self.lane.passed(found);
            let more = found == self.max || found > 0 && self.lane.hinted();
            if !more && !self.lane.outlook(found > 0).await? {
                break;
            }
        }
        Ok(())
    }

    async fn batch(&mut self) -> Result<usize, DbError> {
        let mut tx = self.lane.core.batches.begin().await?;
        let rows: Vec<sql::Claimed> = tx
            .sql(sql::TAKE)
            .bind(self.lane.queue.as_str())
            .bind(self.lane.group.as_str())
            .bind(self.max as i64)
            .all()
            .await?;
        if rows.is_empty() {
            tx.rollback().await?;
            return Ok(0);
        }
        let rows = in_order(rows);
        let found = rows.len();
        let _in_flight = InFlight::new(&self.lane.counters, found);
        match self.attempt(tx, &rows).await {
            Ok(()) => Ok(found),
            Err(Failed::Db(error)) => Err(error),
            Err(Failed::Handler(error)) => self.split(rows, error).await.map(|()| found),
        }
    }

    /// Lets the handler decide about rows that `tx` has taken, and commits.
    async fn attempt(&mut self, mut tx: Tx, rows: &[sql::Claimed]) -> Result<(), Failed> {
        let jobs: Vec<Job> = rows.iter().cloned().map(sql::Claimed::into_job).collect();
        let run = RequestContext::system().scope(self.handler.handle(&mut tx, &jobs));
        let verdicts = match AssertUnwindSafe(run).catch_unwind().await {
            Ok(Ok(v)) if v.len() == rows.len() => Ok(v),
            Ok(Ok(v)) => Err(JobError::permanent(format!(
                "the handler answered {} verdicts for {} jobs",
                v.len(),
                rows.len()
            ))),
            Ok(Err(error)) => Err(error),
            Err(panic) => Err(JobError::retry(format!(
                "the handler panicked: {}",
                panic_text(panic.as_ref())
            ))),
        };
        match verdicts {
            Ok(verdicts) => {
                self.write(&mut tx, rows, verdicts).await?;
                fail::point("queue.batch.before_commit")
                    .await
                    .map_err(DbError::from)?;
                tx.commit().await?;
                fail::point("queue.batch.after_commit")
                    .await
                    .map_err(DbError::from)?;
                Ok(())
            }
            Err(error) => {
                tx.rollback().await?;
                Err(Failed::Handler(error))
            }
        }
    }

    /// Stores the jobs of a batch that failed one by one; the others are gone with the transaction.
    async fn write(
        &mut self,
        tx: &mut Tx,
        rows: &[sql::Claimed],
        verdicts: Vec<Verdict>,
    ) -> Result<(), DbError> {
        let now = self.lane.now();
        let (mut returned, mut buried, mut done) = (Vec::new(), Vec::new(), 0);
        for (row, verdict) in rows.iter().zip(verdicts) {
            let result = match verdict {
                Verdict::Done => Ok(()),
                Verdict::Failed(e) => Err(e),
            };
            match fate(&result, row.executions(), self.lane.retries, now) {
                Fate::Done => done += 1,
                Fate::Again { run_at, deferred } => {
                    self.lane.wake_by(run_at);
                    returned.push(sql::Returned {
                        seq: row.seq,
                        job_id: row.job_id.clone(),
                        data: row.data.clone(),
                        priority: row.priority,
                        run_at,
                        due_at: row.due_at,
                        enqueued_at: row.enqueued_at,
                        attempt: row.attempt,
                        defers: row.defers + i32::from(deferred),
                        recurring: row.recurring.clone(),
                    });
                }
                Fate::Dead(text) => {
                    let cause = Text::new(cause(text).into_inner());
                    self.lane
                        .dead(row.job_id.as_str(), row.executions(), cause.as_str());
                    buried.push(sql::Buried {
                        seq: row.seq,
                        enqueued_at: row.enqueued_at,
                        attempts: row.executions() as i32,
                        job_id: row.job_id.clone(),
                        cause,
                        data: row.data.clone(),
                    });
                }
            }
        }
        let (queue, group) = (self.lane.queue.clone(), self.lane.group.clone());
        if !returned.is_empty() {
            tx.sql(sql::GIVE_BACK)
                .bind(queue.as_str())
                .bind(group.as_str())
                .rows(&returned)
                .execute()
                .await?;
        }
        if !buried.is_empty() {
            tx.sql(sql::BURY_TAKEN)
                .bind(queue.as_str())
                .bind(group.as_str())
                .bind(now)
                .rows(&buried)
                .execute()
                .await?;
        }
        let counters = self.lane.counters.clone();
        tx.after_commit(move || {
            counters.completed.fetch_add(done, Ordering::Relaxed);
        });
        Ok(())
    }

    /// Tries the parts of a failed batch, left to right, halving until single jobs remain.
    async fn split(&mut self, rows: Vec<sql::Claimed>, error: JobError) -> Result<(), DbError> {
        let mut failed = vec![(rows, error)];
        let mut parts: Vec<Vec<sql::Claimed>> = Vec::new();
        loop {
            if let Some((rows, error)) = failed.pop() {
                if let [row] = rows.as_slice() {
                    let ended = Ended {
                        seq: row.seq,
                        attempt: row.attempt,
                        executions: row.executions(),
                        job_id: row.job_id.as_str().to_owned(),
                        result: Err(error),
                    };
                    self.lane.settle_single(ended).await?;
                } else {
                    tracing::debug!(queue = self.lane.queue, group = self.lane.group, jobs = rows.len(), %error, "A batch failed and is split.");
                    let mut left = rows;
                    let right = left.split_off(left.len() / 2);
                    parts.push(right);
                    parts.push(left);
                }
            }
            let Some(part) = parts.pop() else {
                return Ok(());
            };
            let fences: Vec<_> = part
                .iter()
                .map(|r| sql::Fence {
                    seq: r.seq,
                    attempt: r.attempt,
                })
                .collect();
            let mut tx = self.lane.core.batches.begin().await?;
            let rows: Vec<sql::Claimed> = tx.sql(sql::TAKE_THESE).rows(&fences).all().await?;
            if rows.is_empty() {
                tx.rollback().await?;
                continue;
            }
            let rows = in_order(rows);
            match self.attempt(tx, &rows).await {
                Ok(()) => {}
                Err(Failed::Db(error)) => return Err(error),
                Err(Failed::Handler(error)) => failed.push((rows, error)),
            }
        }
    }
}
