//! Two nodes on one database, beside one node on another.
//!
//! Both nodes live in this process, so they share what processors there are with the server: two should be at least as
//! fast as one, not twice.

use super::stage::{Stage, latencies};
use crate::{
    database::Target,
    jobs::{Measured, Settings, Workload},
    load::{self, Rate},
    report::{Figure, Row},
    samples::Samples,
    turns::in_turns,
    world::{World, thing},
};
use anyhow::Result;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

/// The workload.
pub const WORKLOAD: Workload = Workload {
    group: "engine",
    name: "nodes",
    about: "two nodes on one Postgres, beside one node",
    databases: &[Target::Postgres],
    only: &[Target::Postgres, Target::PostgresAsync],
    run: |target, settings| Box::pin(measure(target, settings)) as Measured,
};

async fn measure(target: Target, settings: Settings) -> Result<Vec<Row>> {
    let one = Stage::one_automation(target, settings).await?;
    let two = Stage::one_automation(target, settings).await?;
    let second = World::join(&two.scratch, two.world.progress().clone()).await?;
    let pair = [two.world.clone(), Arc::new(second)];
    ticks(&pair, 16, two.time / 6).await?;
    let mut rows = Vec::new();
    for in_flight in [16, 256] {
        let turns = in_turns(
            &two.scratch,
            two.time,
            async |time| Ok(one.ticks(in_flight, time).await?.0),
            async |time| ticks(&pair, in_flight, time).await,
        )
        .await?;
        rows.push(
            Row::new(
                "engine nodes",
                format!("two nodes, {in_flight} in flight"),
                target.name(),
            )
            .with(
                Figure::new("runs", turns.rate.per_second(), "1/s")
                    .beside("one node", turns.floor.per_second())
                    .at_least_of_floor(1.0),
            )
            .with_all(latencies(&turns.samples))
            .with_all(turns.used.per("run", turns.rate.done)),
        );
    }
    let [first, second] = pair;
    World::close(second).await;
    drop(first);
    one.close().await?;
    two.close().await?;
    Ok(rows)
}

/// As one node's ticks, with the changes spread over the nodes.
async fn ticks(
    nodes: &[Arc<World>; 2],
    in_flight: usize,
    time: Duration,
) -> Result<(Rate, Samples)> {
    let calls: Arc<Mutex<Samples>> = Arc::default();
    let (nodes, taken) = (nodes.clone(), calls.clone());
    let rate = load::closed(in_flight, time, move |client, _| {
        let (node, calls) = (nodes[client % 2].clone(), calls.clone());
        async move {
            let timing = node.tick(&thing(client)).await?;
            calls.lock().expect("samples").push(timing.call);
            Ok(1)
        }
    })
    .await?;
    let calls = std::mem::take(&mut *taken.lock().expect("samples"));
    Ok((rate, calls))
}
