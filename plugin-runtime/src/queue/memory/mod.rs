//! Queues in memory, for tests: nothing survives the process (`plugins §7`, backends).
//!
//! The rules are those of the SQL queue, decided by the same pure code; there are no leases, because
//! handlers die with the rows. Batch consumers need a transaction and are refused.

mod state;
mod worker;

use super::{
    schedule::Grid,
    stop::{Loops, Stop, Stopper},
};
use async_trait::async_trait;
use plugin_api::{
    Clock, Tx,
    queue::{
        Consumer, Handler, NewJob, QueueDepth, QueueError, QueueManager, QueueStats, Recurring,
        RecurringDetails, Subscription, Unsubscribe,
    },
};
use state::State;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::Notify;
use worker::Worker;

/// Jobs kept at most; then enqueueing is an error.
const CAPACITY: usize = 10_000;
/// Jobs one consumer may handle at once, at most.
const MAX_CONCURRENCY: usize = 100;

/// What the service shares with its workers.
struct Core {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

impl Core {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while held")
    }
}

/// Queues in this process's memory.
pub struct MemoryQueues {
    core: Arc<Core>,
    loops: Loops,
}

impl MemoryQueues {
    /// An empty service.
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            core: Arc::new(Core {
                clock,
                state: Mutex::default(),
            }),
            loops: Loops::default(),
        })
    }
}

fn refused(queue: &str, reason: impl Into<String>) -> QueueError {
    QueueError::Refused {
        queue: queue.into(),
        reason: reason.into(),
    }
}

struct StopWorker {
    core: Arc<Core>,
    queue: String,
    wake: Arc<Notify>,
    worker: Arc<Stopper>,
}
#[async_trait]
impl Unsubscribe for StopWorker {
    async fn unsubscribe(&self) {
        self.worker.stop(Stop::Draining);
        self.core.state().unlisten(&self.queue, &self.wake);
    }
}

#[async_trait]
impl QueueManager for MemoryQueues {
    async fn enqueue(&self, queue: &str, jobs: Vec<NewJob>) -> Result<Vec<String>, QueueError> {
        let jobs = with_ids(jobs, self.core.clock.as_ref());
        let ids = jobs.iter().map(|(id, ..)| id.clone()).collect();
        let now = self.core.clock.now();
        self.core.state().enqueue(queue, jobs, now)?;
        Ok(ids)
    }

    /// The jobs exist once `tx` has committed. Room is checked now, not at the commit.
    async fn enqueue_in(
        &self,
        tx: &mut Tx,
        queue: &str,
        jobs: Vec<NewJob>,
    ) -> Result<Vec<String>, QueueError> {
        let jobs = with_ids(jobs, self.core.clock.as_ref());
        let ids = jobs.iter().map(|(id, ..)| id.clone()).collect();
        self.core.state().room(queue, jobs.len())?;
        let (core, queue) = (self.core.clone(), queue.to_owned());
        tx.after_commit(move || {
            let now = core.clock.now();
            let stored = core.state().enqueue(&queue, jobs, now);
            if let Err(error) = stored {
                tracing::error!(%error, "Jobs of a committed transaction were lost: the memory queue filled up meanwhile.");
            }
        });
        Ok(ids)
    }

    async fn consume(&self, queue: &str, consumer: Consumer) -> Result<Subscription, QueueError> {
        let Handler::Each(handler) = &consumer.handler else {
            return Err(refused(
                queue,
                "the memory backend has no transactions for batch consumers; use the sql backend",
            ));
        };
        if consumer.group.trim().is_empty() {
            return Err(refused(
                queue,
                "the consumer has no group; write <plugin>.<name>",
            ));
        }
        let wake = Arc::new(Notify::new());
        let worker = self.loops.start(queue, |stop| {
            let now = self.core.clock.now();
            let mut state = self.core.state();
            state.listen(queue, &consumer.group, wake.clone(), now);
            Worker::new(
                self.core.clone(),
                queue.to_owned(),
                &consumer,
                consumer.concurrency.clamp(1, MAX_CONCURRENCY),
                handler.clone(),
                wake.clone(),
                stop,
            )
            .run()
        })?;
        Ok(Arc::new(StopWorker {
            core: self.core.clone(),
            queue: queue.to_owned(),
            wake,
            worker,
        }))
    }

    async fn schedule(&self, queue: &str, recurring: Recurring) -> Result<(), QueueError> {
        let error = |reason: String| QueueError::Schedule {
            job_id: recurring.job_id.clone(),
            reason,
        };
        let delay = recurring.start_delay.unwrap_or_default();
        let ahead_ms = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
        let now = self.core.clock.now();
        let grid = Grid::new(&recurring.schedule).map_err(error)?;
        let first = grid.first(now, ahead_ms).map_err(error)?;
        let furthest = grid.furthest(now, ahead_ms).map_err(error)?;
        let mut state = self.core.state();
        state.schedule(queue, recurring, grid, first, furthest);
        Ok(())
    }

    async fn cancel_recurring(&self, queue: &str, job_id: &str) -> Result<(), QueueError> {
        self.core.state().cancel(queue, job_id);
        Ok(())
    }

    async fn list_recurring(&self, queue: &str) -> Result<Vec<RecurringDetails>, QueueError> {
        Ok(self.core.state().recurring(queue))
    }

    async fn recurring_details(
        &self,
        queue: &str,
        job_id: &str,
    ) -> Result<Option<RecurringDetails>, QueueError> {
        let all = self.core.state().recurring(queue);
        Ok(all.into_iter().find(|r| r.job_id == job_id))
    }

    fn in_flight(&self, queue: &str) -> usize {
        self.core.state().stats(queue).processing as usize
    }

    async fn stats(&self, queue: &str) -> Result<QueueStats, QueueError> {
        Ok(self.core.state().stats(queue))
    }

    async fn depths(&self) -> Result<Vec<QueueDepth>, QueueError> {
        Ok(self.core.state().depths(self.core.clock.now()))
    }

    async fn test_connection(&self) -> Result<(), QueueError> {
        Ok(())
    }

    async fn stop(&self) {
        self.loops.stop(self.core.clock.as_ref(), "memory").await;
    }
}

/// Jobs with their ids; true when the id was given.
fn with_ids(jobs: Vec<NewJob>, clock: &dyn Clock) -> Vec<(String, bool, NewJob)> {
    jobs.into_iter()
        .map(|mut job| {
            let named = job.job_id.is_some();
            let id = job
                .job_id
                .take()
                .unwrap_or_else(|| clock.new_uuid().to_string());
            (id, named, job)
        })
        .collect()
}
