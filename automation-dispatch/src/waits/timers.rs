//! The timer queues: delays, deadlines of waits, and re-checks of `wait_until` (`dispatch §17.1`).

use super::recheck::{RecheckAsk, Rechecked, recheck};
use crate::{
    commit::build::{DELAY_QUEUE, TIMEOUT_QUEUE},
    shared::Shared,
    version::Known,
};
use automation_core::LockId;
use plugin_api::{
    Tx,
    queue::{BatchHandler, Consumer, Job, JobError, QueueError, Subscription, Verdict},
};
use serde_json::Value;
use std::{sync::Arc, time::Duration};

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
        let mut answers = recheck(&self.0, tx, &asks).await?.into_iter();
        let now = self.0.clock.now();
        Ok(locks
            .iter()
            .zip(jobs)
            .map(|(lock, job)| match lock.and_then(|_| answers.next()) {
                // A deadline that came early (a clock that was set back): again when it is due.
                Some(Rechecked::StillWaiting(Some(at)))
                    if at > now && !job.job_id.contains(":check:") =>
                {
                    let wait = (at.millis() - now.millis()) as u64;
                    Verdict::Failed(JobError::Defer(Duration::from_millis(wait)))
                }
                Some(Rechecked::Inconclusive) => Verdict::Failed(JobError::retry(
                    "state that the wait reads could not be read",
                )),
                _ => Verdict::Done,
            })
            .collect())
    }
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
