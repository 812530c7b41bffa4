//! Queues: competing consumers per group, every group gets every job, at least once (`plugins §7`).
//!
//! Two ways to consume. [`Consumer::each`] runs a handler per job under a lease of 30 s that is
//! renewed while it runs: for work with side effects. [`Consumer::batch`] takes up to N jobs,
//! decides and deletes them in one transaction (design §3.2): for work that is only rows.

use crate::{
    db::{DbError, Tx},
    error::BoxError,
    values::Ts,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{marker::PhantomData, sync::Arc, time::Duration};

/// Why a handler did not finish a job.
///
/// Deliberately no `std::error::Error`, so that `?` turns any error into a retryable one.
#[derive(Debug)]
pub enum JobError {
    /// Try again with back-off; counts as an attempt.
    Retry(BoxError),
    /// Never try again: dead letter at once.
    Permanent(BoxError),
    /// Again after this time; does not count as an attempt.
    Defer(Duration),
}

impl std::fmt::Display for JobError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            JobError::Retry(e) | JobError::Permanent(e) => e.fmt(f),
            JobError::Defer(d) => write!(f, "deferred for {d:?}"),
        }
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for JobError {
    fn from(e: E) -> Self {
        JobError::Retry(Box::new(e))
    }
}
impl JobError {
    /// A permanent failure with a text.
    pub fn permanent(text: impl Into<String>) -> Self {
        JobError::Permanent(text.into().into())
    }
    /// A retryable failure with a text.
    pub fn retry(text: impl Into<String>) -> Self {
        JobError::Retry(text.into().into())
    }
}

/// Why a queue operation failed.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The database refused.
    #[error("queue {queue}: {source}")]
    Db {
        /// The queue.
        queue: String,
        /// The cause.
        source: DbError,
    },
    /// The payload does not serialise.
    #[error("queue {queue}: the job does not serialise: {source}")]
    Encode {
        /// The queue.
        queue: String,
        /// The cause.
        source: serde_json::Error,
    },
    /// Neither or both of interval and cron, an interval under 1 s, or a bad cron text.
    #[error("recurring job {job_id}: {reason}")]
    Schedule {
        /// The recurring job.
        job_id: String,
        /// What is wrong and what to write instead.
        reason: String,
    },
    /// The backend is full, stopped, or cannot do this.
    #[error("queue {queue}: {reason}")]
    Refused {
        /// The queue.
        queue: String,
        /// Why.
        reason: String,
    },
}

/// A job to enqueue.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// The payload.
    pub data: Value,
    /// De-duplication: while a job with this id is not yet started the enqueue does nothing. None: a random UUID.
    pub job_id: Option<String>,
    /// Not before this instant. None: at once.
    pub run_at: Option<Ts>,
    /// Higher first; first in, first out inside one priority.
    pub priority: i32,
}

impl NewJob {
    /// A job that may run at once.
    pub fn new(data: Value) -> Self {
        Self {
            data,
            job_id: None,
            run_at: None,
            priority: 0,
        }
    }
    /// With an id for de-duplication.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.job_id = Some(id.into());
        self
    }
    /// Not before an instant.
    pub fn at(mut self, at: Ts) -> Self {
        self.run_at = Some(at);
        self
    }
    /// With a priority.
    pub fn priority(mut self, p: i32) -> Self {
        self.priority = p;
        self
    }
}

/// A job as a handler gets it.
#[derive(Clone, Debug)]
pub struct Job {
    /// The job id (given or generated); stable across redelivery.
    pub job_id: String,
    /// The payload.
    pub data: Value,
    /// 1 on the first execution, counted per group.
    pub attempt: u32,
    /// When it was enqueued.
    pub enqueued_at: Ts,
    /// When it was due: the enqueue time, `run_at`, or the scheduled instant of a recurring tick.
    pub due_at: Ts,
}

impl Job {
    /// Decodes the payload. A payload that does not decode is permanent: it will never decode.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, JobError> {
        T::deserialize(&self.data)
            .map_err(|e| JobError::permanent(format!("malformed job {}: {e}", self.job_id)))
    }
}

/// What a batch handler says of one job.
#[derive(Debug)]
pub enum Verdict {
    /// Handled; the row goes with the transaction.
    Done,
    /// Not handled; treated like the error of a single handler.
    Failed(JobError),
}

/// Handles one job under its lease.
#[async_trait::async_trait]
pub trait JobHandler: Send + Sync + 'static {
    /// Must be idempotent. Never blocks on a wait: it stores the wait and returns.
    async fn handle(&self, job: Job) -> Result<(), JobError>;
}

/// Handles a batch inside the transaction that takes and deletes its jobs.
#[async_trait::async_trait]
pub trait BatchHandler: Send + Sync + 'static {
    /// One verdict per job, in order. An error rolls everything back; the batch is then split, so
    /// that one bad job costs only itself.
    async fn handle(&self, tx: &mut Tx, jobs: &[Job]) -> Result<Vec<Verdict>, JobError>;
}

/// Limit of redeliveries after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retries {
    /// At most this many, so `n + 1` executions; then dead letter.
    Limited(u32),
    /// For ever, with back-off capped at 60 s.
    Unlimited,
}

/// How jobs of a group are handled.
#[derive(Clone)]
pub enum Handler {
    /// One by one under leases.
    Each(Arc<dyn JobHandler>),
    /// In batches of at most `max` in one transaction each. SQL backend only.
    Batch {
        /// Largest batch.
        max: usize,
        /// The handler.
        handler: Arc<dyn BatchHandler>,
    },
}

/// A consumer registration.
#[derive(Clone)]
pub struct Consumer {
    /// The consumer group, `<plugin>.<name>`.
    pub group: String,
    /// Default 3.
    pub retries: Retries,
    /// Jobs handled at once by this process (leased handlers). Default 10.
    pub concurrency: usize,
    /// The code.
    pub handler: Handler,
}

impl Consumer {
    /// One job at a time under a lease.
    pub fn each(group: impl Into<String>, handler: Arc<dyn JobHandler>) -> Self {
        Self {
            group: group.into(),
            retries: Retries::Limited(3),
            concurrency: 10,
            handler: Handler::Each(handler),
        }
    }
    /// Batches in one transaction.
    pub fn batch(group: impl Into<String>, max: usize, handler: Arc<dyn BatchHandler>) -> Self {
        Self {
            group: group.into(),
            retries: Retries::Limited(3),
            concurrency: 1,
            handler: Handler::Batch { max, handler },
        }
    }
    /// With another retry limit.
    pub fn retries(mut self, r: Retries) -> Self {
        self.retries = r;
        self
    }
    /// With another concurrency.
    pub fn concurrency(mut self, n: usize) -> Self {
        self.concurrency = n;
        self
    }
}

/// When a recurring job ticks.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Every so many milliseconds (≥ 1000) on a fixed wall-clock grid.
    IntervalMs(u64),
    /// Five cron fields, UTC.
    Cron(String),
}

/// A recurring job. The same `job_id` again updates it and drops pending ticks.
#[derive(Clone, Debug)]
pub struct Recurring {
    /// Its id, unique in the queue.
    pub job_id: String,
    /// Payload of every tick.
    pub data: Value,
    /// When.
    pub schedule: Schedule,
    /// Delay of the first tick; none: at once (interval) or at the next match (cron).
    pub start_delay: Option<Duration>,
    /// Priority of the ticks.
    pub priority: i32,
    /// Skip a tick while the one before is still pending or running.
    pub skip_overlap: bool,
}

/// A recurring job as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct RecurringDetails {
    /// Its id.
    pub job_id: String,
    /// Payload of every tick.
    pub data: Value,
    /// When.
    pub schedule: Schedule,
    /// The next tick.
    pub next_at: Ts,
}

/// Counters of a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct QueueStats {
    /// Waiting to start.
    pub pending: u64,
    /// Under a lease.
    pub processing: u64,
    /// Handled since the process started.
    pub completed: u64,
    /// Dead letters kept.
    pub failed: u64,
    /// Registered groups.
    pub consumer_groups: u64,
}

/// How much work of a queue waits to be taken.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct QueueDepth {
    /// The queue.
    pub queue: String,
    /// Jobs that are due and not started; delayed ones do not count.
    pub waiting: u64,
    /// Since when the oldest of them has been due.
    #[serde(serialize_with = "crate::values::rfc3339::serialize")]
    pub oldest: Ts,
}

/// Ends a subscription or consumer; idempotent, never disturbs others.
#[async_trait::async_trait]
pub trait Unsubscribe: Send + Sync {
    /// Stops delivery to this handler in this process.
    async fn unsubscribe(&self);
}
/// A running subscription. Dropping it changes nothing; it ends when told to or at shutdown.
pub type Subscription = Arc<dyn Unsubscribe>;

/// The queue service behind every typed handle; object-safe.
#[async_trait::async_trait]
pub trait QueueManager: Send + Sync {
    /// Enqueues in a transaction of its own; answers the job ids.
    async fn enqueue(&self, queue: &str, jobs: Vec<NewJob>) -> Result<Vec<String>, QueueError>;
    /// Enqueues in the caller's transaction: the jobs exist if and only if it commits (`plugins §7.6`).
    async fn enqueue_in(
        &self,
        tx: &mut Tx,
        queue: &str,
        jobs: Vec<NewJob>,
    ) -> Result<Vec<String>, QueueError>;
    /// Starts consuming.
    async fn consume(&self, queue: &str, consumer: Consumer) -> Result<Subscription, QueueError>;
    /// Creates or updates a recurring job.
    async fn schedule(&self, queue: &str, recurring: Recurring) -> Result<(), QueueError>;
    /// Removes a recurring job and its pending ticks; unknown ids are fine.
    async fn cancel_recurring(&self, queue: &str, job_id: &str) -> Result<(), QueueError>;
    /// All recurring jobs of a queue.
    async fn list_recurring(&self, queue: &str) -> Result<Vec<RecurringDetails>, QueueError>;
    /// One recurring job.
    async fn recurring_details(
        &self,
        queue: &str,
        job_id: &str,
    ) -> Result<Option<RecurringDetails>, QueueError>;
    /// Jobs this process is handling now.
    fn in_flight(&self, queue: &str) -> usize;
    /// Counters.
    async fn stats(&self, queue: &str) -> Result<QueueStats, QueueError>;
    /// Queues in which work waits, by name; empty when everything is taken.
    async fn depths(&self) -> Result<Vec<QueueDepth>, QueueError>;
    /// True when the backend answers.
    async fn test_connection(&self) -> Result<(), QueueError>;
    /// Takes no new work and waits for running handlers (30 s, then their leases are released).
    async fn stop(&self);
}

/// A typed handle on one queue; cheap to clone.
pub struct Queue<T> {
    name: String,
    manager: Arc<dyn QueueManager>,
    marker: PhantomData<fn(T)>,
}
impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            manager: self.manager.clone(),
            marker: PhantomData,
        }
    }
}

impl<T: Serialize + Send + Sync + 'static> Queue<T> {
    /// A handle by name; prefix it with the plugin id.
    pub fn new(manager: Arc<dyn QueueManager>, name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            manager,
            marker: PhantomData,
        }
    }
    fn job(&self, data: &T) -> Result<NewJob, QueueError> {
        Ok(NewJob::new(serde_json::to_value(data).map_err(
            |source| QueueError::Encode {
                queue: self.name.clone(),
                source,
            },
        )?))
    }
    /// Enqueues one job; `with` sets its options.
    pub async fn enqueue(
        &self,
        data: &T,
        with: impl FnOnce(NewJob) -> NewJob + Send,
    ) -> Result<String, QueueError> {
        let job = with(self.job(data)?);
        Ok(self.manager.enqueue(&self.name, vec![job]).await?.remove(0))
    }
    /// Enqueues one job in a transaction.
    pub async fn enqueue_in(
        &self,
        tx: &mut Tx,
        data: &T,
        with: impl FnOnce(NewJob) -> NewJob + Send,
    ) -> Result<String, QueueError> {
        let job = with(self.job(data)?);
        Ok(self
            .manager
            .enqueue_in(tx, &self.name, vec![job])
            .await?
            .remove(0))
    }
    /// The queue's name.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// The untyped service.
    pub fn manager(&self) -> &Arc<dyn QueueManager> {
        &self.manager
    }
}
