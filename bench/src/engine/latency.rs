//! How long after the commit of a change its action is called, while the engine is not what sets the pace.

use super::stage::{Stage, latencies};
use crate::{
    database::Target,
    jobs::{Measured, Settings, Workload},
    load,
    report::Row,
    samples::Samples,
    world::thing,
};
use anyhow::Result;
use std::time::Duration;

/// The workload.
pub const WORKLOAD: Workload = Workload {
    group: "engine",
    name: "latency",
    about: "change to action: one at a time, 100 a second, half of the sustained rate",
    databases: Target::USUAL,
    only: &[],
    run: |target, settings| Box::pin(measure(target, settings)) as Measured,
};

/// Things that events go round: none has two on its way at these rates.
const THINGS: u64 = 2048;

async fn measure(target: Target, settings: Settings) -> Result<Vec<Row>> {
    let stage = Stage::one_automation(target, settings).await?;
    let more = (super::stage::THINGS as u64..THINGS).map(thing);
    stage.world.make_things(more).await?;
    let row = |case: &str| Row::new("engine latency", case, target.name());
    let (_, alone) = stage.ticks(1, stage.time).await?;
    let hundred = at_rate(&stage, 100.0, stage.time).await?;
    let [p50, p99] = latencies(&hundred);
    let hundred = match target.pick((2.0, 5.0), (0.4, 2.0)) {
        Some((aim50, aim99)) => [p50.at_most(aim50), p99.at_most(aim99)],
        None => [p50, p99],
    };
    let (sustained, _) = stage.ticks(16, stage.time / 2).await?;
    let half = sustained.per_second() / 2.0;
    let at_half = at_rate(&stage, half, stage.time).await?;
    let rows = vec![
        row("one at a time").with_all(latencies(&alone)),
        row("100 events a second").with_all(hundred),
        row(&format!("half of sustained: {half:.0} a second")).with_all(latencies(&at_half)),
    ];
    stage.close().await?;
    Ok(rows)
}

async fn at_rate(stage: &Stage, per_second: f64, time: Duration) -> Result<Samples> {
    let world = &stage.world;
    load::open(per_second, time, |n| {
        let world = world.clone();
        async move { Ok(world.tick(&thing(n % THINGS)).await?.call) }
    })
    .await
}
