//! The timer queues: delays, deadlines of waits, and re-checks of `wait_until` (`dispatch §17.1`).

use super::recheck::{RecheckAsk, Rechecked, recheck_unless};
use crate::{
    commit::build::{DELAY_QUEUE, TIMEOUT_QUEUE},
    shared::Shared,
    version::Known,
};
use automation_core::LockId;
use plugin_api::{
    Ts, Tx,
    queue::{BatchHandler, Consumer, Job, JobError, QueueError, Subscription, Verdict},
};
use serde_json::Value;
use std::{collections::HashSet, sync::Arc, time::Duration};

/// In the id of a job that looks at a wait, before the instant it was armed for.
const CHECK: &str = ":check:";

struct Timers(Arc<Shared>);

#[async_trait::async_trait]
impl BatchHandler for Timers {
    async fn handle(&self, tx: &mut Tx, jobs: &[Job]) -> Result<Vec<Verdict>, JobError> {
        let locks: Vec<Option<LockId>> = jobs.iter().map(lock_of).collect();
        let asks: Vec<RecheckAsk> = locks
            .iter()
            .flatten()
            .map(|lock| RecheckAsk {
                lock: *lock,
                changed: None,
            })
            .collect();
        let mut by_timer: HashSet<LockId> = asks.iter().map(|a| a.lock).collect();
        for (lock, _) in locks.iter().zip(jobs).filter(|(_, j)| !is_check(j)) {
            lock.map(|lock| by_timer.remove(&lock));
        }
        let answers = recheck_unless(&self.0, tx, &asks, &by_timer).await?;
        let mut answers = answers.into_iter();
        let now = self.0.clock.now();
        Ok(locks
            .iter()
            .zip(jobs)
            .map(|(lock, job)| match lock.and_then(|_| answers.next()) {
                // A deadline that came early (a clock that was set back): again when it is due.
                Some(Rechecked::StillWaiting(Some(at))) if at > now && !is_check(job) => {
                    later(at, now)
                }
                // The timer that the lock counts on came early; any other look is superseded.
                Some(Rechecked::Armed(at)) if looks_at(job) == Some(at) => later(at, now),
                // A look that found nothing readable has armed the next one.
                Some(Rechecked::Inconclusive) if !is_check(job) => Verdict::Failed(
                    JobError::retry("state that the wait reads could not be read"),
                ),
                _ => Verdict::Done,
            })
            .collect())
    }
}

fn later(at: Ts, now: Ts) -> Verdict {
    let wait = (at.millis() - now.millis()).max(1) as u64;
    Verdict::Failed(JobError::Defer(Duration::from_millis(wait)))
}

/// True for a look at a wait that time alone may end; false for a deadline.
fn is_check(job: &Job) -> bool {
    job.job_id.contains(CHECK)
}

/// The instant that a look was armed for.
fn looks_at(job: &Job) -> Option<Ts> {
    let (_, at) = job.job_id.rsplit_once(CHECK)?;
    at.parse().ok().map(Ts::from_millis)
}

fn lock_of(job: &Job) -> Option<LockId> {
    let id = job.data.get("waitLockId").and_then(Value::as_str);
    let parsed = id.and_then(|t| t.parse().ok());
    if parsed.is_none() {
        tracing::warn!(job_id = job.job_id, "A malformed timer job was dropped.");
    }
    parsed
}

/// Starts consuming both timer queues.
pub async fn run(shared: &Arc<Shared>) -> Result<Vec<Subscription>, QueueError> {
    let mut running = Vec::new();
    for (queue, group) in [
        (DELAY_QUEUE, "automation-delay-resume"),
        (TIMEOUT_QUEUE, "automation-wait-timeout"),
    ] {
        let consumer = Consumer::batch(group, 100, Arc::new(Known(Timers(shared.clone()))));
        running.push(shared.queues.consume(queue, consumer).await?);
    }
    Ok(running)
}
