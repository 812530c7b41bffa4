//! Writing the fates of started jobs: one statement when all were handled, else one transaction.

use super::{
    decide::{Fate, fate},
    lane::Lane,
    sql,
    stop::Stop,
    topic,
};
use plugin_api::{
    Text, Ts,
    db::{DbError, Tx},
    fail,
    masking::{MaskSet, Masked},
    queue::JobError,
};
use std::sync::atomic::Ordering;

/// A started job whose handler has ended.
pub(super) struct Ended {
    pub seq: i64,
    pub attempt: i32,
    pub executions: u32,
    pub job_id: String,
    pub result: Result<(), JobError>,
}

/// The cause of a dead letter. Jobs belong to no run; code that works for one masks its own errors
/// before it returns them.
pub(super) fn cause(text: String) -> Masked<String> {
    MaskSet::empty().mask_text(text)
}

#[derive(Default)]
struct Fates {
    done: Vec<sql::Fence>,
    again: Vec<sql::Again>,
    dead: Vec<sql::Dead>,
}

impl Lane {
    /// Decides about leased jobs and writes what became of those that failed, the others with them.
    /// When all were handled nothing is written yet: `done` goes with the next claim, or with
    /// [`Lane::complete`]. On an error nothing was decided.
    pub async fn settle(
        &mut self,
        ended: &mut Vec<Ended>,
        done: &mut Vec<sql::Fence>,
    ) -> Result<(), DbError> {
        // One lock order for everybody.
        ended.sort_by_key(|e| e.seq);
        let mut fates = self.fates(ended);
        if fates.again.is_empty() && fates.dead.is_empty() {
            done.append(&mut fates.done);
        } else {
            fates.done.append(&mut done.clone());
            fail::point("queue.settle").await?;
            let mut tx = self.core.db.begin().await?;
            write(&mut tx, &fates, self.now()).await?;
            tx.commit().await?;
            done.clear();
            self.report(ended, &fates);
        }
        ended.clear();
        Ok(())
    }

    /// Deletes handled jobs.
    pub async fn complete(&self, done: &mut Vec<sql::Fence>) -> Result<(), DbError> {
        fail::point("queue.settle").await?;
        done.sort_by_key(|f| f.seq);
        let db = &self.core.db;
        db.sql(sql::COMPLETE).rows(done).execute().await?;
        self.completed(done);
        Ok(())
    }

    /// Counts handled jobs once they are deleted.
    pub fn completed(&self, done: &mut Vec<sql::Fence>) {
        let n = done.len() as u64;
        self.counters.completed.fetch_add(n, Ordering::Relaxed);
        done.clear();
    }

    /// Writes the fate of one job of a batch that was rolled back.
    pub async fn settle_single(&mut self, ended: Ended) -> Result<(), DbError> {
        let ended = [ended];
        let fates = self.fates(&ended);
        let mut tx = self.core.db.begin().await?;
        let start = [sql::Fence {
            seq: ended[0].seq,
            attempt: ended[0].attempt,
        }];
        let started = tx.sql(sql::START_THESE).rows(&start).execute().await?;
        if started == 0 {
            // Another node took it meanwhile.
            return tx.rollback().await;
        }
        write(&mut tx, &fates, self.now()).await?;
        tx.commit().await?;
        self.report(&ended, &fates);
        Ok(())
    }

    fn fates(&self, ended: &[Ended]) -> Fates {
        let now = self.now();
        let mut fates = Fates::default();
        for e in ended {
            let (seq, attempt) = (e.seq, e.attempt);
            match fate(&e.result, e.executions, self.retries, now) {
                Fate::Done => fates.done.push(sql::Fence { seq, attempt }),
                Fate::Again { run_at, deferred } => fates.again.push(sql::Again {
                    seq,
                    attempt,
                    run_at,
                    deferred: deferred.into(),
                }),
                Fate::Dead(text) => fates.dead.push(sql::Dead {
                    seq,
                    attempt,
                    cause: Text::new(cause(text).into_inner()),
                }),
            }
        }
        fates
    }

    fn report(&mut self, ended: &[Ended], fates: &Fates) {
        let done = fates.done.len() as u64;
        self.counters.completed.fetch_add(done, Ordering::Relaxed);
        for a in &fates.again {
            self.wake_by(a.run_at);
        }
        if self.stopping() != Stop::No && !fates.again.is_empty() {
            // Others know these jobs only as leased, and would look when the lease ends.
            self.core.hints.notify(&topic(&self.queue));
        }
        for d in &fates.dead {
            if let Some(e) = ended.iter().find(|e| e.seq == d.seq) {
                self.dead(&e.job_id, e.executions, d.cause.as_str());
            }
        }
        for e in ended {
            if let (Err(JobError::Retry(error)), false) =
                (&e.result, fates.dead.iter().any(|d| d.seq == e.seq))
            {
                tracing::warn!(queue = self.queue, group = self.group, job_id = e.job_id, attempt = e.executions, %error, "A job failed and is tried again.");
            }
        }
    }

    /// The log line of a dead letter (`plugins §7.3`).
    pub fn dead(&self, job_id: &str, executions: u32, cause: &str) {
        tracing::error!(
            queue = self.queue,
            group = self.group,
            job_id,
            executions,
            cause,
            "A job failed for good and is kept as a dead letter."
        );
    }
}

async fn write(tx: &mut Tx, fates: &Fates, now: Ts) -> Result<(), DbError> {
    let mut gone = fates.done.clone();
    if !fates.dead.is_empty() {
        tx.sql(sql::BURY)
            .bind(now)
            .rows(&fates.dead)
            .execute()
            .await?;
        gone.extend(fates.dead.iter().map(|d| sql::Fence {
            seq: d.seq,
            attempt: d.attempt,
        }));
    }
    if !gone.is_empty() {
        tx.sql(sql::COMPLETE).rows(&gone).execute().await?;
    }
    if !fates.again.is_empty() {
        tx.sql(sql::AGAIN).rows(&fates.again).execute().await?;
    }
    Ok(())
}
