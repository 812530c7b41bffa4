//! The loop of a leased handler: one job at a time per slot, side effects allowed.
//!
//! A pass acknowledges what ended since the last one, renews the leases in flight when it is time,
//! and claims as many jobs as there are free slots. A lease that is no longer ours means that
//! somebody else has the job: its handler is ended.

use super::{
    decide::{LEASE_MS, RENEW_MS, exhausted},
    lane::{Lane, in_order},
    settle::Ended,
    sql,
    stop::Stop,
    topic,
};
use futures::FutureExt;
use plugin_api::{
    RequestContext, Ts,
    db::{DbError, Engine},
    fail,
    queue::{Job, JobError, JobHandler},
};
use std::{
    collections::{HashMap, HashSet},
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering},
};
use tokio::{sync::mpsc, task::AbortHandle};

struct Flying {
    attempt: i32,
    job_id: String,
    task: AbortHandle,
}

pub(super) struct EachLane {
    lane: Lane,
    handler: Arc<dyn JobHandler>,
    slots: usize,
    flight: HashMap<i64, Flying>,
    ended: Vec<Ended>,
    /// Handled and not yet deleted.
    done: Vec<sql::Fence>,
    report: mpsc::UnboundedSender<Ended>,
    reports: mpsc::UnboundedReceiver<Ended>,
    renew_at: Ts,
    /// True while there may be jobs to claim.
    look: bool,
}

impl EachLane {
    pub fn new(lane: Lane, slots: usize, handler: Arc<dyn JobHandler>) -> Self {
        let (report, reports) = mpsc::unbounded_channel();
        Self {
            renew_at: lane.now().plus_millis(RENEW_MS),
            lane,
            handler,
            slots: slots.max(1),
            flight: HashMap::new(),
            ended: Vec::new(),
            done: Vec::new(),
            report,
            reports,
            look: true,
        }
    }

    /// Runs until told to stop and nothing is in flight.
    pub async fn run(mut self) {
        loop {
            if self.lane.stopping() == Stop::Abort {
                return self.release().await;
            }
            match self.pass().await {
                Ok(handled) => self.lane.passed(handled),
                Err(error) => {
                    self.lane.failed(&error).await;
                    continue;
                }
            }
            let settled = self.ended.is_empty() && self.done.is_empty();
            if self.lane.stopping() != Stop::No && self.flight.is_empty() && settled {
                return;
            }
            self.wait().await;
        }
    }

    async fn wait(&mut self) {
        let free = self.flight.len() < self.slots && self.lane.stopping() == Stop::No;
        if self.look && free || !self.ended.is_empty() || !self.done.is_empty() {
            return;
        }
        let mut until = self.lane.deadline();
        if !free {
            until = self.renew_at;
        } else if !self.flight.is_empty() {
            until = until.min(self.renew_at);
        }
        tokio::select! {
            biased;
            Some(e) = self.reports.recv() => self.landed(e),
            Ok(()) = self.lane.stop.changed() => {}
            () = self.lane.hint.wait(), if free => self.look = true,
            () = self.lane.core.clock.sleep_until(until) => {
                self.look |= self.lane.is_due();
            }
        }
    }

    fn landed(&mut self, e: Ended) {
        // A handler whose lease was lost has been forgotten; its result counts for nothing.
        if self
            .flight
            .get(&e.seq)
            .is_some_and(|f| f.attempt == e.attempt)
        {
            self.flight.remove(&e.seq);
            self.lane.counters.in_flight.fetch_sub(1, Ordering::Relaxed);
            self.ended.push(e);
        }
    }

    /// Answers how many jobs it settled.
    async fn pass(&mut self) -> Result<usize, DbError> {
        while let Ok(e) = self.reports.try_recv() {
            self.landed(e);
        }
        let handled = self.ended.len();
        if handled > 0 {
            self.lane.settle(&mut self.ended, &mut self.done).await?;
        }
        if self.lane.now() >= self.renew_at {
            self.renew().await?;
        }
        while self.look && self.lane.stopping() == Stop::No && self.flight.len() < self.slots {
            self.lane.keep_watch().await?;
            let free = self.slots - self.flight.len();
            let found = self.claim(free).await?;
            if found < free && (found == 0 || !self.lane.hinted()) {
                self.look = self.lane.outlook(found > 0).await?;
            }
        }
        if !self.done.is_empty() {
            self.lane.complete(&mut self.done).await?;
        }
        Ok(handled)
    }

    async fn claim(&mut self, free: usize) -> Result<usize, DbError> {
        let db = &self.lane.core.db;
        let postgres = db.engine() == Engine::Postgres;
        if !postgres && !self.done.is_empty() {
            self.lane.complete(&mut self.done).await?;
        }
        let claim = db
            .sql(sql::CLAIM)
            .bind(self.lane.queue.as_str())
            .bind(self.lane.group.as_str())
            .bind(free as i64)
            .bind(self.lane.now().plus_millis(LEASE_MS));
        let rows: Vec<sql::Claimed> = if postgres {
            self.done.sort_by_key(|f| f.seq);
            fail::point("queue.settle").await?;
            let rows = claim.rows(&self.done).all().await?;
            self.lane.completed(&mut self.done);
            rows
        } else {
            claim.all().await?
        };
        let found = rows.len();
        if self.flight.is_empty() {
            self.renew_at = self.lane.now().plus_millis(RENEW_MS);
        }
        if self.lane.stopping() != Stop::No {
            // Told so meanwhile: no handler starts any more.
            self.give_back(&rows).await?;
            return Ok(found);
        }
        for row in in_order(rows) {
            self.start(row);
        }
        Ok(found)
    }

    async fn give_back(&self, rows: &[sql::Claimed]) -> Result<(), DbError> {
        let fences = rows.iter().map(|r| (r.seq, r.attempt));
        self.again(fences.collect(), 1).await
    }

    /// Makes started jobs due at once, for whoever looks next.
    async fn again(&self, mut fences: Vec<(i64, i32)>, deferred: i32) -> Result<(), DbError> {
        if fences.is_empty() {
            return Ok(());
        }
        fences.sort_unstable();
        let run_at = self.lane.now();
        let again: Vec<_> = fences
            .into_iter()
            .map(|(seq, attempt)| sql::Again {
                seq,
                attempt,
                run_at,
                deferred,
            })
            .collect();
        let core = &self.lane.core;
        core.db.sql(sql::AGAIN).rows(&again).execute().await?;
        core.hints.notify(&topic(&self.lane.queue));
        Ok(())
    }

    fn start(&mut self, row: sql::Claimed) {
        let mut end = Ended {
            seq: row.seq,
            attempt: row.attempt,
            executions: row.executions(),
            job_id: row.job_id.as_str().to_owned(),
            result: Ok(()),
        };
        if exhausted(end.executions - 1, self.lane.retries) {
            end.result = Err(JobError::permanent(
                "the lease of its last execution expired: its node died or lost the database",
            ));
            self.ended.push(end);
            return;
        }
        let (seq, attempt, job_id) = (end.seq, end.attempt, end.job_id.clone());
        let (report, handler, job) = (self.report.clone(), self.handler.clone(), row.into_job());
        let task = plugin_api::spawn(async move {
            end.result = guarded(handler.as_ref(), job).await;
            report.send(end).ok();
        })
        .abort_handle();
        self.lane.counters.in_flight.fetch_add(1, Ordering::Relaxed);
        let flying = Flying {
            attempt,
            job_id,
            task,
        };
        // A lease of ours may have run out, and the job have come back to us before we noticed.
        if let Some(lost) = self.flight.insert(seq, flying) {
            lose(&self.lane, &lost);
        }
    }

    fn fences(&self) -> Vec<sql::Fence> {
        let mut fences: Vec<_> = self
            .flight
            .iter()
            .map(|(&seq, f)| sql::Fence {
                seq,
                attempt: f.attempt,
            })
            .collect();
        fences.sort_by_key(|f| f.seq);
        fences
    }

    async fn renew(&mut self) -> Result<(), DbError> {
        let now = self.lane.now();
        if !self.flight.is_empty() {
            fail::point("queue.renew").await?;
            let held: Vec<sql::Held> = self
                .lane
                .core
                .db
                .sql(sql::RENEW)
                .bind(now.plus_millis(LEASE_MS))
                .rows(&self.fences())
                .all()
                .await?;
            let held: HashSet<i64> = held.into_iter().map(|h| h.seq).collect();
            let lane = &self.lane;
            self.flight.retain(|seq, f| {
                let ours = held.contains(seq);
                if !ours {
                    lose(lane, f);
                }
                ours
            });
        }
        self.renew_at = now.plus_millis(RENEW_MS);
        Ok(())
    }

    /// Ends the handlers still running and gives their jobs to whoever looks next.
    async fn release(mut self) {
        while let Ok(e) = self.reports.try_recv() {
            self.landed(e);
        }
        let (ended, done) = (&mut self.ended, &mut self.done);
        if self.lane.settle(ended, done).await.is_ok() && !done.is_empty() {
            self.lane.complete(done).await.ok();
        }
        for f in self.flight.values() {
            f.task.abort();
            self.lane.counters.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
        let fences = self.flight.iter().map(|(&seq, f)| (seq, f.attempt));
        if let Err(error) = self.again(fences.collect(), 0).await {
            tracing::warn!(queue = self.lane.queue, group = self.lane.group, %error, "Leases could not be released; they expire within 30 s.");
        }
    }
}

/// Ends the handler of a job that is no longer ours.
fn lose(lane: &Lane, f: &Flying) {
    f.task.abort();
    lane.counters.in_flight.fetch_sub(1, Ordering::Relaxed);
    tracing::warn!(
        queue = lane.queue,
        group = lane.group,
        job_id = f.job_id,
        "A lease was lost; the handler was ended."
    );
}

/// Runs a handler as the system; a panic is a failure like any other.
pub(super) async fn guarded(handler: &dyn JobHandler, job: Job) -> Result<(), JobError> {
    let run = RequestContext::system().scope(handler.handle(job));
    AssertUnwindSafe(run)
        .catch_unwind()
        .await
        .unwrap_or_else(|panic| {
            let text = panic_text(panic.as_ref());
            Err(JobError::retry(format!("the handler panicked: {text}")))
        })
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no text")
}
