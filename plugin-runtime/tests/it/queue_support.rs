//! What the queue and hook tests share: hints between nodes, handlers from closures, a record of
//! what ran when.

use plugin_api::{
    Clock, Ts,
    hints::{HintListener, Hints},
    queue::{BatchHandler, Consumer, Job, JobError, JobHandler, NewJob, QueueManager, Verdict},
};
use plugin_runtime::queue::{MemoryQueues, SqlQueues};
use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};
use test_kit::{TestDb, VirtualClock, eventually, until};
use tokio::sync::Notify;

/// Hints that reach every node of a test.
#[derive(Default)]
pub struct SharedHints(Mutex<HashMap<String, Vec<Weak<Notify>>>>);
impl Hints for SharedHints {
    fn notify(&self, topic: &str) {
        let topics = self.0.lock().unwrap();
        let listeners = topics.get(topic).into_iter().flatten();
        listeners
            .filter_map(Weak::upgrade)
            .for_each(|n| n.notify_one());
    }
    fn listen(&self, topic: &str) -> HintListener {
        let notify = Arc::new(Notify::new());
        notify.notify_one();
        let mut topics = self.0.lock().unwrap();
        let listeners = topics.entry(topic.to_owned()).or_default();
        listeners.push(Arc::downgrade(&notify));
        HintListener { notify }
    }
}

/// A queue service under test with the clock it lives by.
pub struct Fixture {
    pub clock: Arc<VirtualClock>,
    pub queues: Arc<dyn QueueManager>,
    pub hints: Arc<SharedHints>,
    pub db: Option<TestDb>,
}

impl Fixture {
    pub fn memory() -> Self {
        let clock = VirtualClock::new();
        Self {
            queues: MemoryQueues::new(clock.clone()),
            clock,
            hints: Arc::default(),
            db: None,
        }
    }
    pub fn sql(db: TestDb) -> Self {
        let (clock, hints) = (VirtualClock::new(), Arc::<SharedHints>::default());
        let queues = SqlQueues::new(
            db.db().clone(),
            clock.clone(),
            hints.clone(),
            "node-1".into(),
        );
        Self {
            clock,
            queues,
            hints,
            db: Some(db),
        }
    }
    /// The database of a SQL fixture.
    pub fn db(&self) -> &TestDb {
        self.db.as_ref().expect("a SQL fixture")
    }
    /// Another node on the same database, or in memory the same service.
    pub fn second_node(&self) -> Arc<dyn QueueManager> {
        match &self.db {
            None => self.queues.clone(),
            Some(db) => SqlQueues::new(
                db.db().clone(),
                self.clock.clone(),
                self.hints.clone(),
                "node-2".into(),
            ),
        }
    }
    /// Where the clock of every fixture starts.
    pub fn epoch() -> Ts {
        Ts::parse("2026-01-15T12:00:00Z").unwrap()
    }
    pub fn now(&self) -> Ts {
        self.clock.now()
    }
    /// Moves the clock to the instant, once somebody sleeps until exactly then. Earlier sleepers are
    /// woken on the way.
    pub async fn run_to(&self, at: Ts) {
        let what = format!("somebody waits for {at}");
        until(
            async || match self.clock.next_wake() {
                Some(next) if next <= at => {
                    self.clock.set(next);
                    (next == at).then_some(())
                }
                _ => None,
            },
            &what,
        )
        .await;
    }
    /// Waits until no handler's result is outstanding: moving the clock by more than a lease before
    /// that would let another node start the job again.
    pub async fn settled(&self, queue: &str) {
        let what = "every result is written";
        eventually(
            async || self.queues.stats(queue).await.unwrap().processing == 0,
            what,
        )
        .await;
    }
    /// A group whose only slot is taken for good, so that what it is given from now on stays pending.
    /// To be called before other groups consume.
    pub async fn busy_group(&self, queue: &str) {
        let consumer = Consumer::each("t.busy", Record::default().stuck()).concurrency(1);
        self.queues.consume(queue, consumer).await.unwrap();
        let stuck = vec![NewJob::new("stuck".into())];
        self.queues.enqueue(queue, stuck).await.unwrap();
        let taken = async || self.queues.in_flight(queue) == 1;
        eventually(taken, "its only slot is taken").await;
    }
    pub async fn run_for(&self, d: Duration) {
        self.run_to(self.now().plus_millis(d.as_millis() as i64))
            .await;
    }
}

/// Writes a test once and runs it on the memory backend and on both databases.
macro_rules! every_backend {
    ($(async fn $name:ident($f:ident : Fixture) $body:block)*) => {$(
        mod $name {
            use super::*;
            async fn body($f: Fixture) $body
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn memory() { body(Fixture::memory()).await; }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() { body(Fixture::sql(TestDb::sqlite().await)).await; }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() { body(Fixture::sql(TestDb::postgres().await)).await; }
        }
    )*};
}
pub(crate) use every_backend;

/// A handler from a closure.
pub fn handler<F, Fut>(f: F) -> Arc<dyn JobHandler>
where
    F: Fn(Job) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), JobError>> + Send + 'static,
{
    struct H<F>(F);
    #[async_trait::async_trait]
    impl<F, Fut> JobHandler for H<F>
    where
        F: Fn(Job) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), JobError>> + Send + 'static,
    {
        async fn handle(&self, job: Job) -> Result<(), JobError> {
            (self.0)(job).await
        }
    }
    Arc::new(H(f))
}

/// A batch handler from a closure that decides without the transaction.
pub fn batch<F>(f: F) -> Arc<dyn BatchHandler>
where
    F: Fn(&[Job]) -> Result<Vec<Verdict>, JobError> + Send + Sync + 'static,
{
    struct B<F>(F);
    #[async_trait::async_trait]
    impl<F> BatchHandler for B<F>
    where
        F: Fn(&[Job]) -> Result<Vec<Verdict>, JobError> + Send + Sync + 'static,
    {
        async fn handle(
            &self,
            _tx: &mut plugin_api::Tx,
            jobs: &[Job],
        ) -> Result<Vec<Verdict>, JobError> {
            (self.0)(jobs)
        }
    }
    Arc::new(B(f))
}

/// What ran, in order; clones share it.
#[derive(Clone, Default)]
pub struct Record(Arc<Mutex<Vec<String>>>);
impl Record {
    pub fn add(&self, entry: impl Into<String>) {
        self.0.lock().unwrap().push(entry.into());
    }
    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
    pub fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
    /// Waits for so many entries and answers them.
    pub async fn wait(&self, n: usize) -> Vec<String> {
        let what = format!("{n} entries");
        until(async || (self.len() >= n).then(|| self.all()), &what).await
    }
    /// A handler that records text and attempt of each job and never ends by itself; that it was
    /// ended it records too.
    pub fn stuck(&self) -> Arc<dyn JobHandler> {
        struct Ended(Record);
        impl Drop for Ended {
            fn drop(&mut self) {
                self.0.add("ended");
            }
        }
        let record = self.clone();
        handler(move |job| {
            record.add(format!("{} {}", text(&job), job.attempt));
            let held = Ended(record.clone());
            async move {
                let _held = held;
                std::future::pending().await
            }
        })
    }
    /// A handler that records the text of each job's data and succeeds.
    pub fn handler(&self) -> Arc<dyn JobHandler> {
        let record = self.clone();
        handler(move |job| {
            record.add(text(&job));
            async { Ok(()) }
        })
    }
}

/// The text of a job's data.
pub fn text(job: &Job) -> String {
    job.data.as_str().unwrap_or_default().to_owned()
}
