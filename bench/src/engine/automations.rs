//! Many automations of which one listens to the event: routing must not notice the others.

use super::stage::Stage;
use crate::{
    database::Target,
    jobs::{Measured, Settings, Workload},
    report::{Figure, Row},
    world::World,
};
use anyhow::Result;
use std::sync::Arc;

/// The workload.
pub const WORKLOAD: Workload = Workload {
    group: "engine",
    name: "automations",
    about: "1 000 and 10 000 automations of which one matches, beside one automation",
    databases: Target::USUAL,
    only: &[],
    run: |target, settings| Box::pin(measure(target, settings)) as Measured,
};

/// An automation on an event that never comes.
const OTHER: &str = "triggers: [{event: bench.other}]\nactions: [{action: bench.call, config: {}}]";

async fn measure(target: Target, settings: Settings) -> Result<Vec<Row>> {
    let one = Stage::one_automation(target, settings).await?;
    let many = Stage::one_automation(target, settings).await?;
    let (mut rows, mut there) = (Vec::new(), 1);
    for automations in [1_000, 10_000] {
        store(&many.world, automations - there).await?;
        there = automations;
        many.warm_up().await?;
        for in_flight in [16, 256] {
            let turns = many.beside(&one, in_flight).await?;
            let runs = Figure::new("runs", turns.rate.per_second(), "1/s")
                .beside("one automation", turns.floor.per_second())
                .at_least_of_floor(0.98);
            let case = format!("{automations} automations, {in_flight} in flight");
            rows.push(Row::new("engine automations", case, target.name()).with(runs));
        }
    }
    one.close().await?;
    many.close().await?;
    Ok(rows)
}

/// Stores so many automations that never fire.
///
/// # Errors
/// When the database refuses.
pub async fn store(world: &Arc<World>, automations: usize) -> Result<()> {
    const AT_ONCE: usize = 16;
    let tasks: Vec<_> = (0..AT_ONCE)
        .map(|task| {
            let world = world.clone();
            plugin_api::spawn(async move {
                for _ in (task..automations).step_by(AT_ONCE) {
                    world.automation(OTHER).await?;
                }
                Ok::<(), anyhow::Error>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}
