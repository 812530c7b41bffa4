//! A thousand automations on one event, each with a filter that reads live health; the last of them passes.

use super::stage::{Stage, latencies, ticks};
use crate::{
    database::Target,
    jobs::{Measured, Settings, Workload},
    meter::statements_per,
    report::{Figure, Row},
};
use anyhow::Result;

/// The workload.
pub const WORKLOAD: Workload = Workload {
    group: "engine",
    name: "filters",
    about: "1 000 automations on one event, each with a filter on live health",
    databases: Target::USUAL,
    only: &[],
    run: |target, settings| Box::pin(measure(target, settings)) as Measured,
};

const FILTERS: usize = 1_000;

fn filtered(status: &str) -> String {
    format!(
        "triggers: [{{event: bench.ticked, filter: 'health.system.status == \"{status}\"'}}]\nconcurrency_scope: context_key\nactions: [{{action: bench.call, config: {{}}}}]"
    )
}

async fn measure(target: Target, settings: Settings) -> Result<Vec<Row>> {
    let one = Stage::empty(target, settings).await?;
    one.world.automation(&filtered("healthy")).await?;
    one.warm_up().await?;
    let many = Stage::empty(target, settings).await?;
    for _ in 1..FILTERS {
        many.world.automation(&filtered("unhealthy")).await?;
    }
    many.world.automation(&filtered("healthy")).await?;
    many.warm_up().await?;
    let mut rows = Vec::new();
    for in_flight in [1, 16] {
        let alone = ticks(&one.world, in_flight, one.time / 3).await?.1;
        let turns = many.beside(&one, in_flight).await?;
        let runs = Figure::new("runs", turns.rate.per_second(), "1/s")
            .beside("one filter", turns.floor.per_second());
        let mut row = Row::new(
            "engine filters",
            format!("{in_flight} in flight"),
            target.name(),
        )
        .with(runs)
        .with_all(latencies(&turns.samples))
        .with_all(turns.used.per("event", turns.rate.done));
        if in_flight == 1 {
            let counted = statements_per("event", async {
                Ok(ticks(&many.world, 1, many.time / 3).await?.0.done)
            });
            row = row.with(counted.await?);
            let more = turns.samples.percentile(0.5) - alone.percentile(0.5);
            row = row.with(Figure::new("999 filters more, p50", more, "ms").at_most(0.5));
        }
        rows.push(row);
    }
    one.close().await?;
    many.close().await?;
    Ok(rows)
}
