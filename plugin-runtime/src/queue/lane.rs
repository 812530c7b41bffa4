//! What the loops of one (queue, group) have in common: what to wait for, what is due, how to stop.

use super::{
    decide::{KEEP_MS, LEASE_MS},
    manager::{Core, Counters},
    recurring, sql,
    stop::Stop,
    topic,
};
use futures::FutureExt;
use plugin_api::{
    Ts, Tx,
    db::{DbError, is_schema_mismatch},
    hints::HintListener,
    queue::{Consumer, Job, Retries},
    status::LoopReporter,
};
use std::sync::Arc;
use tokio::sync::watch;

/// A consuming loop's state apart from its handler.
pub(super) struct Lane {
    pub core: Arc<Core>,
    pub counters: Arc<Counters>,
    pub retries: Retries,
    pub queue: String,
    pub group: String,
    pub hint: HintListener,
    pub stop: watch::Receiver<Stop>,
    status: LoopReporter,
    /// The next delay, lease or tick known of.
    wakes_at: Option<Ts>,
    looked_at: Ts,
    /// False until the first outlook: ticks that passed before are old, those after are late.
    watched: bool,
    failures: u32,
}

impl Lane {
    pub fn new(
        core: Arc<Core>,
        counters: Arc<Counters>,
        queue: &str,
        consumer: &Consumer,
        stop: watch::Receiver<Stop>,
    ) -> Self {
        let group = consumer.group.clone();
        Self {
            hint: core.hints.listen(&topic(queue)),
            status: core.status.register(format!("queue.{queue}.{group}")),
            core,
            counters,
            retries: consumer.retries,
            queue: queue.to_owned(),
            group,
            stop,
            looked_at: Ts::from_millis(0),
            wakes_at: None,
            watched: false,
            failures: 0,
        }
    }

    pub fn now(&self) -> Ts {
        self.core.clock.now()
    }

    pub fn stopping(&self) -> Stop {
        *self.stop.borrow()
    }

    /// Waits for nothing longer than until `at`.
    pub fn wake_by(&mut self, at: Ts) {
        self.wakes_at = Some(self.wakes_at.map_or(at, |w| w.min(at)));
    }

    /// When to look again without a hint: the earliest thing known, or after a day, to say that the
    /// group lives.
    pub fn deadline(&self) -> Ts {
        let daily = self.now().plus_millis(KEEP_MS / 7);
        self.wakes_at.map_or(daily, |w| w.min(daily))
    }

    /// True when something known of is due.
    pub fn is_due(&self) -> bool {
        self.wakes_at.is_some_and(|at| at <= self.now())
    }

    /// True when a hint came since the last wait; takes it. After a claim that found some jobs and
    /// then no more, a hint says that there are more already: under load an outlook is not taken
    /// after every claim, but once a second.
    pub fn hinted(&self) -> bool {
        self.hint.wait().now_or_never().is_some()
    }

    /// A pass went well and handled so many jobs.
    pub fn passed(&mut self, handled: usize) {
        self.failures = 0;
        self.status.pass(self.now(), handled as u64, None);
    }

    /// A pass failed: logs it, then waits 1, 2, 4 … at most 30 s, or until asked to stop.
    pub async fn failed(&mut self, error: &DbError) {
        self.failures += 1;
        let wait = 1000 * (1i64 << (self.failures - 1).min(5)).min(30);
        if is_schema_mismatch(error) {
            tracing::error!(queue = self.queue, group = self.group, %error, wait_ms = wait, "A statement does not fit the tables: a newer program may have migrated the database. The work is left to newer nodes, and tried again.");
        } else {
            tracing::warn!(queue = self.queue, group = self.group, %error, wait_ms = wait, "A queue pass failed and is tried again.");
        }
        self.status.failed(self.now(), error);
        let until = self.now().plus_millis(wait);
        tokio::select! {
            () = self.core.clock.sleep_until(until) => {}
            Ok(()) = self.stop.changed() => {}
        }
    }

    /// After a claim that found less than it asked for: does what is due (delays over, leases
    /// expired, ticks, jobs that waited for a group) and answers true when that or somebody else
    /// made jobs ready; else remembers what to wait for.
    pub async fn outlook(&mut self, found_some: bool) -> Result<bool, DbError> {
        let now = self.now();
        let o: sql::Outlook = self
            .core
            .db
            .sql(sql::OUTLOOK)
            .bind(self.queue.as_str())
            .bind(self.group.as_str())
            .one()
            .await?;
        let due = |at: Option<Ts>| at.is_some_and(|at| at <= now);
        if due(o.tick) {
            let grace = if self.watched { i64::MAX } else { LEASE_MS };
            recurring::make_ticks(&self.core, &self.queue, now, grace).await?;
        }
        // On Postgres an enqueue that began before the first group registered may end after it.
        let mut adopted = false;
        if o.orphans {
            let mut tx = self.core.db.begin().await?;
            adopted = adopt(&mut tx, &self.queue, now).await? > 0;
            tx.commit().await?;
            self.core.hints.notify(&topic(&self.queue));
        }
        let promoted = due(o.due) && self.promote(now).await? > 0;
        self.watched = true;
        self.looked_at = now;
        self.wakes_at = [o.due, o.tick].into_iter().flatten().min();
        if adopted || promoted || due(o.tick) || (o.ready && found_some) {
            return Ok(true);
        }
        if o.ready || due(o.due) {
            // Somebody else holds these rows in an open transaction, which may roll back.
            self.wakes_at = Some(now.plus_millis(1000));
        }
        self.core.housekeeping.run(&self.core, now).await?;
        Ok(false)
    }

    /// Before a claim: what became due must not wait until a busy queue is empty. Costs nothing
    /// until the deadline known of has passed, or a second after the last outlook.
    pub async fn keep_watch(&mut self) -> Result<(), DbError> {
        let now = self.now();
        let due = self.wakes_at.is_some_and(|at| at <= now);
        if due || now >= self.looked_at.plus_millis(1000) {
            self.outlook(true).await?;
        }
        Ok(())
    }

    async fn promote(&self, now: Ts) -> Result<u64, DbError> {
        self.core
            .db
            .sql(sql::PROMOTE)
            .bind(self.queue.as_str())
            .bind(self.group.as_str())
            .bind(now)
            .execute()
            .await
    }
}

/// Registers a group and gives it the jobs that waited for one, in one transaction: an enqueue sees
/// a job id either among those or in the group.
pub(super) async fn register(
    core: &Core,
    queue: &str,
    group: &str,
    now: Ts,
) -> Result<(), DbError> {
    let mut tx = core.db.begin().await?;
    tx.sql(sql::REGISTER_GROUP)
        .bind(queue)
        .bind(group)
        .bind(now)
        .execute()
        .await?;
    adopt(&mut tx, queue, now).await?;
    tx.commit().await
}

async fn adopt(tx: &mut Tx, queue: &str, now: Ts) -> Result<u64, DbError> {
    let adopted = tx.sql(sql::ADOPT).bind(queue).bind(now).execute().await?;
    if !tx.is_postgres() {
        tx.sql(sql::FORGET_ORPHANS).bind(queue).execute().await?;
    }
    Ok(adopted)
}

impl sql::Claimed {
    /// Counted executions, this one included.
    pub fn executions(&self) -> u32 {
        (self.attempt - self.defers).max(1) as u32
    }
    /// The job as the handler gets it.
    pub fn into_job(self) -> Job {
        Job {
            attempt: self.executions(),
            job_id: self.job_id.into_string(),
            data: self.data.0,
            enqueued_at: self.enqueued_at,
            due_at: self.due_at,
        }
    }
}

/// Puts claimed rows into the order they are handled in; `returning` has none.
pub(super) fn in_order(mut rows: Vec<sql::Claimed>) -> Vec<sql::Claimed> {
    rows.sort_by_key(|r| (std::cmp::Reverse(r.priority), r.seq));
    rows
}
