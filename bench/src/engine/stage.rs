//! What most workloads begin with: one node on a database of its own, with one automation, and the floors beside it.

use crate::{
    database::{Scratch, Target},
    floor::Floor,
    jobs::Settings,
    load::Rate,
    meter::statements_per,
    report::{Figure, Row},
    samples::Samples,
    turns::{Turns, in_turns},
    usage,
    world::{ONE_ACTION, Timing, World, thing},
};
use anyhow::Result;
use std::{future::Future, sync::Arc, time::Duration};

/// How many things there are at least; each client of a closed loop has one of its own.
pub const THINGS: usize = 256;

/// A node with its floors.
pub struct Stage {
    /// The node's database.
    pub scratch: Scratch,
    /// The node.
    pub world: Arc<World>,
    /// What the database gives without it.
    pub floor: Floor,
    /// How long a measurement takes.
    pub time: Duration,
}

impl Stage {
    /// A node without automations, with [`THINGS`].
    ///
    /// # Errors
    /// When the boot fails.
    pub async fn empty(target: Target, settings: Settings) -> Result<Self> {
        let scratch = Scratch::create(target).await?;
        let world = World::boot(&scratch).await?;
        world.make_things((0..THINGS).map(thing)).await?;
        Ok(Self {
            floor: Floor::new(target).await?,
            time: Duration::from_secs_f64(settings.seconds),
            world: Arc::new(world),
            scratch,
        })
    }

    /// Ticks here in turns with ticks on another stage, which is the floor.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn beside(&self, floor: &Stage, in_flight: usize) -> Result<Turns> {
        in_turns(
            &self.scratch,
            self.time,
            async |time| Ok(floor.ticks(in_flight, time).await?.0),
            async |time| self.ticks(in_flight, time).await,
        )
        .await
    }

    /// A node whose one automation calls one action for each tick, warmed up.
    ///
    /// # Errors
    /// When the boot fails.
    pub async fn one_automation(target: Target, settings: Settings) -> Result<Self> {
        let stage = Self::empty(target, settings).await?;
        stage.world.automation(ONE_ACTION).await?;
        stage.warm_up().await?;
        Ok(stage)
    }

    /// What is made once, such as connections and prepared statements, is made before anything is measured.
    ///
    /// # Errors
    /// When an event is lost.
    pub async fn warm_up(&self) -> Result<()> {
        self.ticks(16, self.time / 6).await.map(drop)
    }

    /// Keeps so many ticks in flight for a time; answers also how long each took from its commit to the call of its action.
    ///
    /// # Errors
    /// When an event is lost.
    pub async fn ticks(&self, in_flight: usize, time: Duration) -> Result<(Rate, Samples)> {
        ticks(&self.world, in_flight, time).await
    }

    /// A row about events of one sort, so many in flight, beside floor A.
    ///
    /// # Errors
    /// When an event is lost.
    pub async fn row<F, Fut>(
        &self,
        benchmark: &str,
        in_flight: usize,
        aim: Option<f64>,
        event: F,
    ) -> Result<Row>
    where
        F: Fn(Arc<World>, String) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = Result<Timing>> + Send,
    {
        let sustain = async |time| self.world.sustain(in_flight, time, event).await;
        let floor = async |time| self.floor.a(time).await;
        let turns = in_turns(&self.scratch, self.time, floor, sustain).await?;
        let counted = statements_per("run", async { Ok(sustain(self.time / 6).await?.0.done) });
        let statements = counted.await?;
        let case = format!("{in_flight} in flight");
        Ok(Row::new(benchmark, case, self.scratch.target().name())
            .with(runs(&turns, aim))
            .with_all(latencies(&turns.samples))
            .with_all(turns.used.per("run", turns.rate.done))
            .with(statements)
            .with_all(peak_memory()))
    }

    /// Stops the node and removes the databases.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn close(self) -> Result<()> {
        World::close(self.world).await;
        self.floor.discard().await?;
        self.scratch.discard().await
    }
}

/// Keeps so many ticks in flight on a node.
///
/// # Errors
/// When an event is lost.
pub async fn ticks(
    world: &Arc<World>,
    in_flight: usize,
    time: Duration,
) -> Result<(Rate, Samples)> {
    let tick = |world: Arc<World>, id: String| async move { world.tick(&id).await };
    world.sustain(in_flight, time, tick).await
}

/// Runs a second beside floor A, and how much of it they should be.
pub fn runs(turns: &Turns, aim: Option<f64>) -> Figure {
    let figure = Figure::new("runs", turns.rate.per_second(), "1/s")
        .beside(crate::floor::A, turns.floor.per_second());
    match aim {
        Some(aim) => figure.at_least_of_floor(aim),
        None => figure,
    }
}

/// The two figures everybody asks for.
pub fn latencies(calls: &Samples) -> [Figure; 2] {
    [
        Figure::new("p50 change → action", calls.percentile(0.5), "ms"),
        Figure::new("p99 change → action", calls.percentile(0.99), "ms"),
    ]
}

/// The most memory this process had.
pub fn peak_memory() -> Option<Figure> {
    let memory = usage::peak_memory()?;
    Some(Figure::new("peak memory", memory, "MB").note("with the benchmark's clients and floors"))
}
