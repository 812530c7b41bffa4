//! The SQL queue: from an enqueue to the handler, and how fast it drains.
//!
//! Beside each rate stands what a program without the queue reaches with the very same rows: a hundred inserted in one
//! commit and deleted in another, on the queue's own table and indexes in a database of its own.

mod floor;
mod handlers;

use crate::{
    database::{Scratch, Target},
    jobs::{Measured, Settings, Workload},
    load::{self, Rate},
    meter::statements_per,
    report::{Figure, Row},
    samples::Samples,
    stopwatch::{Moment, within},
    turns::in_turns,
    world::World,
};
use anyhow::Result;
use handlers::{Desk, How};
use plugin_api::queue::{NewJob, QueueManager};
use serde_json::json;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

/// The queue's workload.
pub const WORKLOAD: Workload = Workload {
    group: "queue",
    name: "",
    about: "jobs enqueued and handled, under leases and in batches",
    databases: Target::USUAL,
    only: &[],
    run: |target, settings| Box::pin(measure(target, settings)) as Measured,
};

/// How many enqueue calls are on their way at a time, and how many jobs each has.
const LOADS: [(usize, usize); 3] = [(16, 1), (256, 1), (4, 100)];

async fn measure(target: Target, settings: Settings) -> Result<Vec<Row>> {
    let scratch = Scratch::create(target).await?;
    let world = World::boot(&scratch).await?;
    let floor = floor::Floor::new(target).await?;
    let mut rows = Vec::new();
    for how in [How::Leased, How::Batch] {
        let bench = Bench {
            desk: Desk::open(&world, how).await?,
            queues: world.queues()?,
        };
        let time = Duration::from_secs_f64(settings.seconds);
        bench.turn(16, 1, time / 6).await?;
        for (clients, jobs) in LOADS {
            let row = bench.row(&scratch, &floor, clients, jobs, time).await?;
            rows.push(row);
        }
        let (_, samples) = bench.turn(1, 1, time / 2).await?;
        rows.push(
            Row::new(
                "queue",
                format!("{}, one at a time", how.name()),
                target.name(),
            )
            .with(Figure::new("p50", samples.percentile(0.5), "ms"))
            .with(Figure::new("p99", samples.percentile(0.99), "ms")),
        );
        bench.desk.close().await;
    }
    world.shutdown().await;
    floor.discard().await?;
    scratch.discard().await?;
    Ok(rows)
}

struct Bench {
    desk: Arc<Desk>,
    queues: Arc<dyn QueueManager>,
}

impl Bench {
    async fn row(
        &self,
        scratch: &Scratch,
        floor: &floor::Floor,
        clients: usize,
        jobs: usize,
        time: Duration,
    ) -> Result<Row> {
        let turns = in_turns(
            scratch,
            time,
            async |time| floor.rate(time).await,
            async |time| self.turn(clients, jobs, time).await,
        )
        .await?;
        let statements = statements_per("job", async {
            Ok(self.turn(clients, jobs, time / 6).await?.0.done)
        })
        .await?;
        let how = self.desk.how().name();
        let case = match jobs {
            1 => format!("{how}, {clients} in flight"),
            _ => format!("{how}, {clients} × {jobs} in flight"),
        };
        Ok(Row::new("queue", case, scratch.target().name())
            .with(
                Figure::new("enqueued and handled", turns.rate.per_second(), "1/s")
                    .beside(floor::NAME, turns.floor.per_second()),
            )
            .with(Figure::new("p50", turns.samples.percentile(0.5), "ms"))
            .with(Figure::new("p99", turns.samples.percentile(0.99), "ms"))
            .with_all(turns.used.per("job", turns.rate.done))
            .with(statements))
    }

    /// Keeps so many enqueue calls in flight, each followed until all its jobs are handled. Answers also how long jobs
    /// took from the commit of their enqueue to the call of their handler.
    async fn turn(&self, clients: usize, jobs: usize, time: Duration) -> Result<(Rate, Samples)> {
        let (desk, queues) = (self.desk.clone(), self.queues.clone());
        let samples: Arc<Mutex<Samples>> = Arc::default();
        let taken = samples.clone();
        let begun = Moment::now();
        let rate = load::closed(clients, time, move |_, _| {
            let (desk, queues, samples) = (desk.clone(), queues.clone(), samples.clone());
            async move {
                let (handled, new): (Vec<_>, Vec<_>) = (0..jobs)
                    .map(|n| {
                        let (id, handled) = desk.expect();
                        (handled, NewJob::new(payload(n)).id(id))
                    })
                    .unzip();
                queues.enqueue(desk.queue(), new).await?;
                let committed = Moment::now();
                for handled in handled {
                    let called = within("a job to be handled", handled).await??;
                    let took = called.since(committed);
                    samples.lock().expect("samples").push(took);
                }
                Ok(jobs as u64)
            }
        })
        .await?;
        self.empty().await?;
        let rate = Rate {
            done: rate.done,
            time: begun.elapsed(),
        };
        let samples = std::mem::take(&mut *taken.lock().expect("samples"));
        Ok((rate, samples))
    }

    /// Handled jobs may still have to be deleted.
    async fn empty(&self) -> Result<()> {
        within("the queue to be empty", async {
            loop {
                let stats = self.queues.stats(self.desk.queue()).await?;
                if stats.pending + stats.processing == 0 {
                    return Ok(());
                }
            }
        })
        .await?
    }
}

/// What a job carries.
fn payload(n: usize) -> serde_json::Value {
    json!({"n": n, "about": "a payload of ordinary size"})
}
