//! How a node starts, what it then weighs, and what it costs while nothing happens. Each is looked at in a process of its
//! own, on a database that another process has filled.

use super::{automations, waiting};
use crate::{
    database::{Scratch, Target},
    jobs::{Measured, Settings, Workload},
    probe::{self, Seen},
    report::{Figure, Row},
    world::{ONE_ACTION, World},
};
use anyhow::Result;
use std::sync::Arc;

/// The workload.
pub const WORKLOAD: Workload = Workload {
    group: "engine",
    name: "start",
    about: "start to ready, memory and idle cost with 100 and 10 000 automations and runs that wait",
    databases: Target::USUAL,
    only: &[],
    run: |target, settings| Box::pin(measure(target, settings)) as Measured,
};

async fn measure(target: Target, settings: Settings) -> Result<Vec<Row>> {
    let waiting = if settings.full { 100_000 } else { 10_000 };
    let scratch = Scratch::create(target).await?;
    let row = |case: &str| Row::new("engine start", case, target.name());
    let mut rows = Vec::new();

    fill(&scratch, async |world| {
        world.automation(ONE_ACTION).await?;
        automations::store(world, 99).await
    })
    .await?;
    let seen = probe::look(&scratch, false).await?;
    rows.push(row("100 automations").with_all(figures(seen, Some(20.0))));

    fill(&scratch, async |world| {
        automations::store(world, 9_900).await
    })
    .await?;
    let seen = probe::look(&scratch, false).await?;
    rows.push(row("10 000 automations").with_all(figures(seen, Some(80.0))));

    fill(&scratch, async |world| {
        world.automation(waiting::PARKING).await?;
        waiting::park(world, waiting).await
    })
    .await?;
    let seen = probe::look(&scratch, true).await?;
    let case = format!("10 000 and {waiting} runs waiting");
    rows.push(row(&case).with_all(figures(seen, None)));
    scratch.discard().await?;
    Ok(rows)
}

/// Fills the database by a node that is gone again afterwards.
async fn fill(scratch: &Scratch, with: impl AsyncFnOnce(&Arc<World>) -> Result<()>) -> Result<()> {
    let world = Arc::new(World::boot(scratch).await?);
    with(&world).await?;
    World::close(world).await;
    Ok(())
}

fn figures(seen: Seen, memory_aim: Option<f64>) -> Vec<Figure> {
    let mut figures = vec![Figure::new("start to ready", seen.ready, "ms")];
    if let Some(memory) = seen.memory {
        let memory = Figure::new("memory", memory, "MB");
        figures.push(match memory_aim {
            Some(aim) => memory.at_most(aim),
            None => memory,
        });
    }
    if let (Some(cpu), Some(commits)) = (seen.idle_cpu, seen.idle_commits) {
        figures.push(Figure::new("idle cpu per second", cpu, "ms").at_most(0.5));
        figures.push(Figure::new("idle commits per second", commits, "1/s").at_most(0.2));
    }
    figures
}
