//! Ticks of `automation.cron` and `automation.interval`: one recurring job for each trigger of each
//! automation, so that a tick reaches the one it was scheduled for and nobody else
//! (`dispatch §5.1`, R-16). The schedule lives in the queue; exactly one node takes each tick.

use crate::version;
use automation_core::{
    builtin::{CronConfig, IntervalConfig},
    registry::{Fire, Teardown, TriggerIdentity, TriggerSetup},
};
use plugin_api::{
    BoxError,
    queue::{
        Consumer, Job, JobError, JobHandler, QueueError, QueueManager, Recurring, Retries,
        Schedule, Subscription,
    },
};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

/// The queue of ticks.
pub const QUEUE: &str = "automation-builtin-triggers";
/// Its consumer group.
pub const GROUP: &str = "automation-builtin-triggers-worker";

/// Armed schedules of this node. Made at `register`, bound to the queues at `init`.
#[derive(Default)]
pub struct Schedules {
    queues: OnceLock<Arc<dyn QueueManager>>,
    fires: Mutex<HashMap<String, Fire>>,
}

impl Schedules {
    /// Gives it the queues.
    pub fn bind(&self, queues: Arc<dyn QueueManager>) {
        self.queues.get_or_init(|| queues);
    }

    fn queues(&self) -> Result<&Arc<dyn QueueManager>, BoxError> {
        self.queues
            .get()
            .ok_or_else(|| "schedules cannot be armed before `init`".into())
    }

    /// Cancels schedules that no enabled automation has any more: what was changed while no node ran.
    pub async fn cancel_orphans(&self) -> Result<(), BoxError> {
        let queues = self.queues()?;
        for recurring in queues.list_recurring(QUEUE).await? {
            let known = self
                .fires
                .lock()
                .expect("schedules")
                .contains_key(&recurring.job_id);
            if !known && recurring.job_id.starts_with("builtin:") {
                queues.cancel_recurring(QUEUE, &recurring.job_id).await?;
            }
        }
        Ok(())
    }

    async fn arm(
        self: &Arc<Self>,
        kind: &str,
        schedule: Schedule,
        start_delay: Option<Duration>,
        identity: TriggerIdentity,
        fire: Fire,
    ) -> Result<Box<dyn Teardown>, BoxError> {
        let job_id = format!(
            "builtin:{kind}:{}:{}",
            identity.automation_id, identity.trigger_id
        );
        let queues = self.queues()?;
        self.fires
            .lock()
            .expect("schedules")
            .insert(job_id.clone(), fire);
        let armed = queues.recurring_details(QUEUE, &job_id).await?;
        // An unchanged schedule is not armed again: its rhythm survives restarts and other edits.
        if armed.is_none_or(|a| a.schedule != schedule) {
            queues
                .schedule(
                    QUEUE,
                    Recurring {
                        job_id: job_id.clone(),
                        data: version::mark(json!({"jobId": job_id})),
                        schedule,
                        start_delay,
                        priority: 0,
                        skip_overlap: false,
                    },
                )
                .await?;
        }
        Ok(Box::new(Armed {
            schedules: self.clone(),
            job_id,
        }))
    }
}

struct Armed {
    schedules: Arc<Schedules>,
    job_id: String,
}

#[async_trait::async_trait]
impl Teardown for Armed {
    async fn teardown(&self) {
        self.schedules
            .fires
            .lock()
            .expect("schedules")
            .remove(&self.job_id);
        if let Ok(queues) = self.schedules.queues()
            && let Err(error) = queues.cancel_recurring(QUEUE, &self.job_id).await
        {
            tracing::warn!(job_id = self.job_id, %error, "A schedule could not be cancelled; its ticks find no automation.");
        }
    }
}

/// Arms `automation.cron`.
pub struct Cron(pub Arc<Schedules>);
/// Arms `automation.interval`.
pub struct Interval(pub Arc<Schedules>);

#[async_trait::async_trait]
impl TriggerSetup for Cron {
    async fn setup(
        &self,
        config: Value,
        identity: TriggerIdentity,
        fire: Fire,
    ) -> Result<Box<dyn Teardown>, BoxError> {
        let config: CronConfig = serde_json::from_value(config)?;
        let schedule = Schedule::Cron(config.cron_pattern);
        self.0.arm("cron", schedule, None, identity, fire).await
    }
}

#[async_trait::async_trait]
impl TriggerSetup for Interval {
    async fn setup(
        &self,
        config: Value,
        identity: TriggerIdentity,
        fire: Fire,
    ) -> Result<Box<dyn Teardown>, BoxError> {
        let config: IntervalConfig = serde_json::from_value(config)?;
        let seconds = u64::from(config.interval_seconds);
        let schedule = Schedule::IntervalMs(seconds * 1000);
        // The first tick comes one interval after it is armed, never at once.
        let delay = Some(Duration::from_secs(seconds));
        self.0
            .arm("interval", schedule, delay, identity, fire)
            .await
    }
}

struct Ticks(Arc<Schedules>);

#[async_trait::async_trait]
impl JobHandler for Ticks {
    async fn handle(&self, job: Job) -> Result<(), JobError> {
        version::check(&job)?;
        let Some(id) = job.data.get("jobId").and_then(Value::as_str) else {
            return Err(JobError::permanent("a tick without its job id"));
        };
        let fire = self.0.fires.lock().expect("schedules").get(id).cloned();
        let Some(fire) = fire else {
            tracing::debug!(job_id = id, "A tick found its trigger disarmed.");
            return Ok(());
        };
        let payload = json!({"firedAt": job.due_at.to_text()});
        let occurrence = format!("{id}@{}", job.due_at.millis());
        fire(payload, occurrence, job.due_at)
            .await
            .map_err(JobError::Retry)
    }
}

/// Starts consuming ticks. They are never retried: a missed tick is better than a double one.
pub async fn run(
    schedules: &Arc<Schedules>,
    queues: &Arc<dyn QueueManager>,
) -> Result<Subscription, QueueError> {
    let handler = Arc::new(Ticks(schedules.clone()));
    let consumer = Consumer::each(GROUP, handler).retries(Retries::Limited(0));
    queues.consume(QUEUE, consumer).await
}
