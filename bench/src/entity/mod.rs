//! From the change of an entity to the action that it causes.
//!
//! The whole way: the change with its history and its outgoing row, routing, gates, the run, the call, the run's end.
//! Beside each rate stands a program without the engine that writes the very same rows into the same tables, a hundred
//! events to a batch.

mod floor;

use crate::{
    database::{Scratch, Target},
    jobs::{Measured, Settings, Workload},
    load::Rate,
    meter::statements_per,
    report::{Figure, Row},
    samples::Samples,
    turns::in_turns,
    world::{ONE_ACTION, World, thing},
};
use anyhow::Result;
use std::{sync::Arc, time::Duration};

/// The workload.
pub const WORKLOAD: Workload = Workload {
    group: "entity",
    name: "",
    about: "an entity changes, an action is called, its run ends",
    databases: Target::USUAL,
    only: &[],
    run: |target, settings| Box::pin(measure(target, settings)) as Measured,
};

async fn measure(target: Target, settings: Settings) -> Result<Vec<Row>> {
    let scratch = Scratch::create(target).await?;
    let world = Arc::new(World::boot(&scratch).await?);
    world.automation(ONE_ACTION).await?;
    world.make_things((0..256).map(thing)).await?;
    let floor = floor::Floor::new(target).await?;
    let time = Duration::from_secs_f64(settings.seconds);
    // What is made once, such as prepared statements, is made before anything is measured.
    sustained(&world, 16, time / 6).await?;
    let mut rows = Vec::new();
    for in_flight in [16, 256] {
        let turns = in_turns(
            &scratch,
            time,
            async |time| floor.rate(time).await,
            async |time| sustained(&world, in_flight, time).await,
        )
        .await?;
        let statements = statements_per("event", async {
            Ok(sustained(&world, in_flight, time / 6).await?.0.done)
        })
        .await?;
        let done = Figure::new("changes to ended runs", turns.rate.per_second(), "1/s");
        rows.push(
            Row::new("entity", format!("{in_flight} in flight"), target.name())
                .with(done.beside(floor::NAME, turns.floor.per_second()))
                .with_all(latencies(&turns.samples))
                .with_all(turns.used.per("event", turns.rate.done))
                .with(statements),
        );
    }
    let (_, calls) = sustained(&world, 1, time / 2).await?;
    rows.push(Row::new("entity", "one at a time", target.name()).with_all(latencies(&calls)));
    World::close(world).await;
    floor.discard().await?;
    scratch.discard().await?;
    Ok(rows)
}

fn latencies(calls: &Samples) -> [Figure; 2] {
    [
        Figure::new("p50 change → action", calls.percentile(0.5), "ms"),
        Figure::new("p99 change → action", calls.percentile(0.99), "ms"),
    ]
}

/// Keeps so many events in flight, each followed until its run is over. Answers also how long they took from the commit of
/// the change to the call of the action.
pub async fn sustained(
    world: &Arc<World>,
    in_flight: usize,
    time: Duration,
) -> Result<(Rate, Samples)> {
    world
        .sustain(
            in_flight,
            time,
            |world, id| async move { world.tick(&id).await },
        )
        .await
}
