//! Handlers that do nothing but tell the benchmark.

use crate::{stopwatch::Moment, world::World};
use anyhow::Result;
use plugin_api::{
    Tx,
    queue::{BatchHandler, Consumer, Job, JobError, JobHandler, Subscription, Verdict},
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::oneshot;

/// How jobs are handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// One by one, each under a lease: for work with side effects.
    Leased,
    /// Many in one transaction: for work that is only rows.
    Batch,
}

impl How {
    /// As rows name it.
    pub fn name(self) -> &'static str {
        match self {
            How::Leased => "leased",
            How::Batch => "batch",
        }
    }

    fn queue(self) -> &'static str {
        match self {
            How::Leased => "bench.leased",
            How::Batch => "bench.batch",
        }
    }
}

/// Leased jobs handled at once.
const SLOTS: usize = 64;
/// Jobs of one transaction at most.
const BATCH: usize = 200;

/// Where handled jobs are reported.
pub struct Desk {
    how: How,
    serial: AtomicU64,
    waiting: Mutex<HashMap<String, oneshot::Sender<Moment>>>,
    subscription: OnceLock<Subscription>,
}

/// Ends when the job has been handled, with the moment its handler was called.
pub type Handled = oneshot::Receiver<Moment>;

impl Desk {
    /// Starts consuming.
    ///
    /// # Errors
    /// When the queue refuses.
    pub async fn open(world: &World, how: How) -> Result<Arc<Self>> {
        let desk = Arc::new(Self {
            how,
            serial: AtomicU64::new(0),
            waiting: Mutex::default(),
            subscription: OnceLock::new(),
        });
        let handler = Arc::new(Handler(desk.clone()));
        let consumer = match how {
            How::Leased => Consumer::each("bench.leased", handler).concurrency(SLOTS),
            How::Batch => Consumer::batch("bench.batch", BATCH, handler),
        };
        let subscription = world.queues()?.consume(how.queue(), consumer).await?;
        let _ = desk.subscription.set(subscription);
        Ok(desk)
    }

    /// Stops consuming.
    pub async fn close(&self) {
        if let Some(subscription) = self.subscription.get() {
            subscription.unsubscribe().await;
        }
    }

    /// How its jobs are handled.
    pub fn how(&self) -> How {
        self.how
    }

    /// Its queue.
    pub fn queue(&self) -> &'static str {
        self.how.queue()
    }

    /// The id of a job to come, and how to learn that it was handled.
    pub fn expect(&self) -> (String, Handled) {
        let id = format!("job-{}", self.serial.fetch_add(1, Ordering::Relaxed));
        let (sender, handled) = oneshot::channel();
        let mut waiting = self.waiting.lock().expect("waiting");
        waiting.insert(id.clone(), sender);
        (id, handled)
    }

    fn handled(&self, id: &str, called: Moment) {
        let sender = self.waiting.lock().expect("waiting").remove(id);
        if let Some(sender) = sender {
            // Whoever does not wait any more does not need to know.
            let _ = sender.send(called);
        }
    }
}

struct Handler(Arc<Desk>);

#[async_trait::async_trait]
impl JobHandler for Handler {
    async fn handle(&self, job: Job) -> Result<(), JobError> {
        self.0.handled(&job.job_id, Moment::now());
        Ok(())
    }
}

#[async_trait::async_trait]
impl BatchHandler for Handler {
    async fn handle(&self, tx: &mut Tx, jobs: &[Job]) -> Result<Vec<Verdict>, JobError> {
        let called = Moment::now();
        let ids: Vec<String> = jobs.iter().map(|j| j.job_id.clone()).collect();
        let desk = self.0.clone();
        tx.after_commit(move || ids.iter().for_each(|id| desk.handled(id, called)));
        Ok(jobs.iter().map(|_| Verdict::Done).collect())
    }
}
