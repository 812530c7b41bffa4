//! The SQL queue service: enqueueing, consuming, recurring jobs, counters, stopping.

use super::{
    HOOK_PREFIX,
    batch::BatchLane,
    each::EachLane,
    housekeeping::Housekeeping,
    lane::{Lane, register},
    recurring, sql,
    stop::{Loops, Stop, Stopper},
    topic,
};
use async_trait::async_trait;
use plugin_api::{
    Clock, Db, Doc, Text, Tx,
    db::DbError,
    hints::Hints,
    queue::{
        Consumer, Handler, NewJob, QueueDepth, QueueError, QueueManager, QueueStats, Recurring,
        RecurringDetails, Subscription, Unsubscribe,
    },
    status::StatusBoard,
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};
use tokio::sync::watch;

/// What this process counts of one queue.
#[derive(Default)]
pub(super) struct Counters {
    pub completed: AtomicU64,
    pub in_flight: AtomicUsize,
}

/// What lanes share.
pub(super) struct Core {
    /// Short set-based statements, on connections with pinned plans.
    pub db: Db,
    /// Transactions of batch handlers; a pool of its own, so that a handler can enqueue.
    pub batches: Db,
    pub clock: Arc<dyn Clock>,
    pub hints: Arc<dyn Hints>,
    pub node_id: String,
    pub status: StatusBoard,
    pub housekeeping: Housekeeping,
}

/// Queues in the framework's database.
pub struct SqlQueues {
    core: Arc<Core>,
    counters: Mutex<HashMap<String, Arc<Counters>>>,
    loops: Loops,
}

pub(super) fn db_error(queue: &str) -> impl FnOnce(DbError) -> QueueError {
    let queue = queue.to_owned();
    |source| QueueError::Db { queue, source }
}

impl SqlQueues {
    /// A service on a migrated database. `node_id` names this process in logs.
    pub fn new(db: Db, clock: Arc<dyn Clock>, hints: Arc<dyn Hints>, node_id: String) -> Arc<Self> {
        Self::reporting_to(StatusBoard::default(), db, clock, hints, node_id)
    }

    /// As [`SqlQueues::new`], with lanes that report as `queue.<queue>.<group>`.
    pub fn reporting_to(
        status: StatusBoard,
        db: Db,
        clock: Arc<dyn Clock>,
        hints: Arc<dyn Hints>,
        node_id: String,
    ) -> Arc<Self> {
        let housekeeping = Housekeeping::new(clock.now());
        Arc::new(Self {
            core: Arc::new(Core {
                db: db.pinned(6),
                batches: db.pinned(8),
                clock,
                hints,
                node_id,
                status,
                housekeeping,
            }),
            counters: Mutex::default(),
            loops: Loops::default(),
        })
    }

    /// Keeps dead letters for so many days instead of 7.
    pub fn keep_dead_letters(&self, days: u32) {
        self.core
            .housekeeping
            .keep_dead(i64::from(days) * 24 * 3_600_000);
    }

    fn counters(&self, queue: &str) -> Arc<Counters> {
        let mut counters = self.counters.lock().expect("no panic while held");
        counters.entry(queue.to_owned()).or_default().clone()
    }

    /// Rows and ids of new jobs.
    fn rows(&self, jobs: Vec<NewJob>) -> (Vec<sql::Insert>, Vec<String>) {
        let now = self.core.clock.now();
        jobs.into_iter()
            .map(|job| {
                let named = job.job_id.is_some();
                let id = job
                    .job_id
                    .unwrap_or_else(|| self.core.clock.new_uuid().to_string());
                let row = sql::Insert {
                    job_id: Text::new(id.clone()),
                    named,
                    data: Doc(job.data),
                    priority: job.priority,
                    run_at: job.run_at.unwrap_or(now),
                };
                (row, id)
            })
            .unzip()
    }

    fn start(&self, queue: &str, consumer: &Consumer) -> Result<Vec<Arc<Stopper>>, QueueError> {
        let lane = |stop: watch::Receiver<Stop>| {
            let (core, counters) = (self.core.clone(), self.counters(queue));
            Lane::new(core, counters, queue, consumer, stop)
        };
        let many = match &consumer.handler {
            Handler::Each(_) => 1,
            Handler::Batch { .. } => consumer.concurrency.max(1),
        };
        let started = (0..many).map(|_| match &consumer.handler {
            Handler::Each(handler) => self.loops.start(queue, |stop| {
                EachLane::new(lane(stop), consumer.concurrency, handler.clone()).run()
            }),
            Handler::Batch { max, handler } => self.loops.start(queue, |stop| {
                BatchLane::new(lane(stop), *max, handler.clone()).run()
            }),
        });
        started.collect()
    }
}

struct StopLanes {
    core: Arc<Core>,
    queue: String,
    group: String,
    lanes: Vec<Arc<Stopper>>,
}

#[async_trait]
impl Unsubscribe for StopLanes {
    async fn unsubscribe(&self) {
        let stopped = self.lanes.iter().filter(|l| l.stop(Stop::Draining)).count();
        if stopped > 0 {
            self.core.housekeeping.forget(&self.queue, &self.group);
        }
    }
}

#[async_trait]
impl QueueManager for SqlQueues {
    async fn enqueue(&self, queue: &str, jobs: Vec<NewJob>) -> Result<Vec<String>, QueueError> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let (rows, ids) = self.rows(jobs);
        self.core
            .db
            .sql(sql::ENQUEUE)
            .bind(queue)
            .bind(self.core.clock.now())
            .bind(!queue.starts_with(HOOK_PREFIX))
            .rows(&rows)
            .execute()
            .await
            .map_err(db_error(queue))?;
        self.core.hints.notify(&topic(queue));
        Ok(ids)
    }

    async fn enqueue_in(
        &self,
        tx: &mut Tx,
        queue: &str,
        jobs: Vec<NewJob>,
    ) -> Result<Vec<String>, QueueError> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let (rows, ids) = self.rows(jobs);
        tx.sql(sql::ENQUEUE)
            .bind(queue)
            .bind(self.core.clock.now())
            .bind(!queue.starts_with(HOOK_PREFIX))
            .rows(&rows)
            .execute()
            .await
            .map_err(db_error(queue))?;
        let (hints, topic) = (self.core.hints.clone(), topic(queue));
        tx.after_commit(move || hints.notify(&topic));
        Ok(ids)
    }

    async fn consume(&self, queue: &str, consumer: Consumer) -> Result<Subscription, QueueError> {
        if consumer.group.trim().is_empty() {
            return Err(QueueError::Refused {
                queue: queue.into(),
                reason: "the consumer has no group; write <plugin>.<name>".into(),
            });
        }
        register(&self.core, queue, &consumer.group, self.core.clock.now())
            .await
            .map_err(db_error(queue))?;
        let lanes = self.start(queue, &consumer)?;
        self.core.housekeeping.consume(queue, &consumer.group);
        Ok(Arc::new(StopLanes {
            core: self.core.clone(),
            queue: queue.to_owned(),
            group: consumer.group,
            lanes,
        }))
    }

    async fn schedule(&self, queue: &str, recurring: Recurring) -> Result<(), QueueError> {
        recurring::schedule(&self.core, queue, recurring).await
    }

    async fn cancel_recurring(&self, queue: &str, job_id: &str) -> Result<(), QueueError> {
        recurring::cancel(&self.core, queue, job_id)
            .await
            .map_err(db_error(queue))
    }

    async fn list_recurring(&self, queue: &str) -> Result<Vec<RecurringDetails>, QueueError> {
        let rows: Vec<sql::Stored> = self
            .core
            .db
            .sql(sql::RECURRING_LIST)
            .bind(queue)
            .all()
            .await
            .map_err(db_error(queue))?;
        Ok(rows.into_iter().map(recurring::details).collect())
    }

    async fn recurring_details(
        &self,
        queue: &str,
        job_id: &str,
    ) -> Result<Option<RecurringDetails>, QueueError> {
        let row: Option<sql::Stored> = self
            .core
            .db
            .sql(sql::RECURRING_GET)
            .bind(queue)
            .bind(job_id)
            .optional()
            .await
            .map_err(db_error(queue))?;
        Ok(row.map(recurring::details))
    }

    fn in_flight(&self, queue: &str) -> usize {
        self.counters(queue).in_flight.load(Ordering::Relaxed)
    }

    async fn stats(&self, queue: &str) -> Result<QueueStats, QueueError> {
        let c: sql::Counts = self
            .core
            .db
            .sql(sql::STATS)
            .bind(queue)
            .one()
            .await
            .map_err(db_error(queue))?;
        let count = |n: i64| n.max(0) as u64;
        Ok(QueueStats {
            pending: count(c.pending),
            processing: count(c.processing),
            completed: self.counters(queue).completed.load(Ordering::Relaxed),
            failed: count(c.failed),
            consumer_groups: count(c.consumer_groups),
        })
    }

    async fn depths(&self) -> Result<Vec<QueueDepth>, QueueError> {
        let depths = self.core.db.sql(sql::DEPTHS).bind(self.core.clock.now());
        let rows: Result<Vec<sql::Depth>, _> = depths.all().await;
        let rows = rows.map_err(db_error("*"))?.into_iter();
        Ok(rows
            .map(|r| QueueDepth {
                queue: r.queue.into_string(),
                waiting: r.waiting.max(0) as u64,
                oldest: r.oldest,
            })
            .collect())
    }

    async fn test_connection(&self) -> Result<(), QueueError> {
        let answer: Result<i64, _> = self.core.db.sql(sql::PING).one().await;
        answer.map(drop).map_err(db_error("*"))
    }

    async fn stop(&self) {
        let core = &self.core;
        self.loops.stop(core.clock.as_ref(), &core.node_id).await;
    }
}
