//! The recurring jobs: one per enabled assignment (`healthcheck §5.1`).

use crate::{
    jitter::{first_delay_ms, jitter_ms},
    store::assignments::{self, Schedulable},
};
use plugin_api::{
    BoxError, Cause, Clock, Conn, Db, Id, RequestContext,
    queue::{NewJob, QueueError, QueueManager, Recurring, RecurringDetails, Schedule},
};
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// The queue of ticks.
pub const QUEUE: &str = "health-checks";
/// The consumer group.
pub const GROUP: &str = "healthcheck.health-check-executor";
/// Beginning of the ids of recurring jobs.
const PREFIX: &str = "healthcheck:";

/// One tick: which assignment to run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tick {
    /// The system.
    pub system_id: String,
    /// The configuration.
    pub configuration_id: Id,
    /// A run that somebody asked for, beside the schedule.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub extra: bool,
    /// What led to an extra run, when an automation asked for it: what comes of it carries the chain on,
    /// so that a check that is run again whenever it fails is found to be a loop. Older nodes neither
    /// write nor read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
}

/// Keeps the recurring jobs in step with the assignments.
#[derive(Clone)]
pub struct Scheduler {
    db: Db,
    clock: Arc<dyn Clock>,
    queues: Arc<dyn QueueManager>,
}

fn job_id(system_id: &str, configuration_id: Id) -> String {
    format!("{PREFIX}{configuration_id}:{system_id}")
}

impl Scheduler {
    /// A scheduler over the plugin's tables.
    pub fn new(db: Db, clock: Arc<dyn Clock>, queues: Arc<dyn QueueManager>) -> Self {
        Self { db, clock, queues }
    }

    /// Brings the recurring job of an assignment in step with what is stored: created, updated or
    /// removed. It looks again after each step, so that of two nodes that change the same assignment
    /// the one that comes last to its job has seen what both have stored. Repeating it changes nothing.
    pub async fn follow(&self, system_id: &str, configuration_id: Id) -> Result<(), BoxError> {
        let at = || Conn::Db(&self.db);
        let mut wanted = assignments::schedulable_one(at(), system_id, configuration_id).await?;
        loop {
            match &wanted {
                Some(a) => self.ensure(a).await?,
                None => self.cancel(system_id, configuration_id).await?,
            }
            let now = assignments::schedulable_one(at(), system_id, configuration_id).await?;
            if now.as_ref().map(interval) == wanted.as_ref().map(interval) {
                return Ok(());
            }
            wanted = now;
        }
    }

    /// Creates or updates a recurring job. One with this interval is left alone: its ticks come, and
    /// moving it could postpone one that waits for its turn.
    async fn ensure(&self, a: &Schedulable) -> Result<(), QueueError> {
        let id = job_id(a.system_id.as_str(), a.configuration_id);
        match self.queues.recurring_details(QUEUE, &id).await? {
            Some(known) if known.schedule == interval(a) => Ok(()),
            _ => self.schedule(a).await,
        }
    }

    async fn schedule(&self, a: &Schedulable) -> Result<(), QueueError> {
        let start = Duration::from_millis(self.first_delay_ms(a));
        let tick = Tick {
            system_id: a.system_id.as_str().to_owned(),
            configuration_id: a.configuration_id,
            extra: false,
            cause: None,
        };
        let data = serde_json::to_value(tick).map_err(|source| QueueError::Encode {
            queue: QUEUE.into(),
            source,
        })?;
        self.queues
            .schedule(
                QUEUE,
                Recurring {
                    job_id: job_id(a.system_id.as_str(), a.configuration_id),
                    data,
                    schedule: interval(a),
                    start_delay: Some(start),
                    priority: 0,
                    // Claims see overlaps themselves, and forget a dead node sooner than its job.
                    skip_overlap: false,
                },
            )
            .await
    }

    /// Removes a recurring job; fine when there is none.
    async fn cancel(&self, system_id: &str, configuration_id: Id) -> Result<(), QueueError> {
        self.queues
            .cancel_recurring(QUEUE, &job_id(system_id, configuration_id))
            .await
    }

    /// Enqueues one run beside the schedule.
    pub async fn run_now(&self, system_id: &str, configuration_id: Id) -> Result<(), QueueError> {
        let tick = Tick {
            system_id: system_id.to_owned(),
            configuration_id,
            extra: true,
            cause: RequestContext::current().cause.as_deref().cloned(),
        };
        let data = serde_json::to_value(tick).map_err(|source| QueueError::Encode {
            queue: QUEUE.into(),
            source,
        })?;
        self.queues.enqueue(QUEUE, vec![NewJob::new(data)]).await?;
        Ok(())
    }

    /// Schedules every enabled assignment and removes jobs that match none. Run at every start. A job
    /// whose next tick comes in time stays, so it moves nothing when a second node starts; one that is
    /// late, because no node was there, begins anew (`healthcheck §5.1.3`).
    pub async fn reconcile(&self) -> Result<(), BoxError> {
        let stored = self.queues.list_recurring(QUEUE).await?;
        let mut stored: HashMap<String, RecurringDetails> = stored
            .into_iter()
            .filter(|r| r.job_id.starts_with(PREFIX))
            .map(|r| (r.job_id.clone(), r))
            .collect();
        for a in assignments::schedulable(Conn::Db(&self.db)).await? {
            let (system_id, id) = (a.system_id.as_str(), a.configuration_id);
            match stored.remove(&job_id(system_id, id)) {
                Some(known) if self.in_time(&known, &a) => continue,
                // Scheduling it again with equal settings would leave it where it is.
                Some(_) => self.cancel(system_id, id).await?,
                None => {}
            }
            self.follow(system_id, id).await?;
        }
        for (job_id, known) in stored {
            match serde_json::from_value::<Tick>(known.data) {
                // Perhaps its assignment came back since it was looked for.
                Ok(tick) => self.follow(&tick.system_id, tick.configuration_id).await?,
                Err(_) => self.queues.cancel_recurring(QUEUE, &job_id).await?,
            }
        }
        Ok(())
    }

    fn in_time(&self, known: &RecurringDetails, a: &Schedulable) -> bool {
        let now = self.clock.now();
        let latest = now.plus_millis(self.first_delay_ms(a) as i64);
        known.schedule == interval(a) && known.next_at > now && known.next_at <= latest
    }

    fn first_delay_ms(&self, a: &Schedulable) -> u64 {
        let now = self.clock.now();
        let elapsed = a.last_run_at.map(|at| now.millis() - at.millis());
        let jitter = jitter_ms(
            &a.configuration_id.to_string(),
            a.system_id.as_str(),
            a.interval_seconds,
        );
        first_delay_ms(elapsed, a.interval_seconds, jitter)
    }
}

fn interval(a: &Schedulable) -> Schedule {
    Schedule::IntervalMs(a.interval_seconds.max(1) as u64 * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_tick_of_an_older_node_is_read_and_one_without_a_cause_is_written_as_it_was() {
        let id = "019bc186-de00-7001-8000-000000000001";
        let older = json!({"systemId": "shop", "configurationId": id, "extra": true});
        let tick: Tick = serde_json::from_value(older.clone()).expect("it is read");
        assert!(tick.extra && tick.cause.is_none());
        assert_eq!(serde_json::to_value(tick).expect("it is written"), older);
    }
}
