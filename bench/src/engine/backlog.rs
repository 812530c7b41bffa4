//! A backlog: many changes stand in the outbox at once, and the engine works until nothing is left.

use super::stage::{Stage, peak_memory};
use crate::{
    database::Target,
    floor,
    jobs::{Measured, Settings, Workload},
    load::Rate,
    meter::{metered, statements_per},
    report::{Figure, Row},
    stopwatch::{LIMIT, pause},
    world::{World, thing},
};
use anyhow::{Result, ensure};
use std::time::Duration;

/// The workload.
pub const WORKLOAD: Workload = Workload {
    group: "engine",
    name: "backlog",
    about: "20 000 changes at once (100 000 with --full), beside floor B",
    databases: &Target::ALL,
    only: &[],
    run: |target, settings| Box::pin(measure(target, settings)) as Measured,
};

async fn measure(target: Target, settings: Settings) -> Result<Vec<Row>> {
    let events = if settings.full { 100_000 } else { 20_000 };
    let stage = Stage::one_automation(target, settings).await?;
    drain(&stage.world, 1000, "w").await?;
    let mut floor = stage.floor.b(stage.time / 2).await?;
    let drained = metered(&stage.scratch, drain(&stage.world, events, "b"));
    let (rate, used) = drained.await?;
    floor.add(stage.floor.b(stage.time / 2).await?);
    let counted = statements_per("run", async {
        Ok(drain(&stage.world, 2000, "s").await?.done)
    });
    let statements = counted.await?;
    let runs = Figure::new("runs", rate.per_second(), "1/s").beside(floor::B, floor.per_second());
    let runs = match target.pick(0.4, 0.25) {
        Some(aim) => runs.at_least_of_floor(aim),
        None => runs,
    };
    let row = Row::new("engine backlog", format!("{events} events"), target.name())
        .with(runs)
        .with_all(used.per("run", rate.done))
        .with(statements)
        .with_all(peak_memory());
    stage.close().await?;
    Ok(vec![row])
}

/// One change of each of so many things, until their runs have ended.
async fn drain(world: &World, events: u64, prefix: &str) -> Result<Rate> {
    let things: Vec<String> = (0..events)
        .map(|n| thing(format_args!("{prefix}{n}")))
        .collect();
    let before = world.progress().calls();
    let begun = world.fill_outbox(&things, None).await?;
    let mut called = 0;
    let mut progressed = begun;
    loop {
        let now = world.progress().calls() - before;
        if now >= events {
            break;
        }
        if now > called {
            (called, progressed) = (now, crate::stopwatch::Moment::now());
        }
        ensure!(
            progressed.elapsed() < LIMIT,
            "no action was called for {LIMIT:?}; {called} of {events} were"
        );
        pause(Duration::from_millis(2)).await;
    }
    world.settle().await?;
    Ok(Rate {
        done: events,
        time: begun.elapsed(),
    })
}
