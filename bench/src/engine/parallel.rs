//! Sixty-four actions side by side in one run.

use super::stage::Stage;
use crate::{
    database::Target,
    floor,
    jobs::{Measured, Settings, Workload},
    report::{Figure, Row},
    samples::Samples,
    stopwatch::Moment,
    turns::in_turns,
    world::thing,
};
use anyhow::Result;

/// The workload.
pub const WORKLOAD: Workload = Workload {
    group: "engine",
    name: "parallel",
    about: "64 actions in one `parallel`",
    databases: Target::USUAL,
    only: &[],
    run: |target, settings| Box::pin(measure(target, settings)) as Measured,
};

const ACTIONS: usize = 64;

fn definition() -> String {
    let branches = "    - {action: bench.call, config: {}}\n".repeat(ACTIONS);
    format!(
        "triggers: [{{event: bench.ticked}}]\nconcurrency_scope: context_key\nactions:\n- parallel:\n{branches}"
    )
}

async fn measure(target: Target, settings: Settings) -> Result<Vec<Row>> {
    let stage = Stage::empty(target, settings).await?;
    let row = |case: &str| Row::new("engine parallel", case, target.name());
    if let Err(refused) = stage.world.automation(&definition()).await {
        let missing = Figure::missing("runs", format!("not available: {refused}"));
        stage.close().await?;
        return Ok(vec![row("64 actions").with(missing)]);
    }
    stage.warm_up().await?;
    let (mut first, mut last, mut end) =
        (Samples::default(), Samples::default(), Samples::default());
    let upto = Moment::now().plus(stage.time / 2);
    while !upto.is_past() {
        let begun = Moment::now();
        let timing = stage.world.tick(&thing(0)).await?;
        let (all, called) = (begun.elapsed(), stage.world.progress().last_call());
        first.push(timing.call);
        end.push(timing.end);
        // The change's own time is in `all` and not in `end`.
        let changed = all.saturating_sub(timing.end);
        last.push(
            called
                .map_or(all, |c| c.since(begun))
                .saturating_sub(changed),
        );
    }
    let mut rows = vec![
        row("64 actions, one run at a time")
            .with(Figure::new(
                "p50 change → first",
                first.percentile(0.5),
                "ms",
            ))
            .with(Figure::new("p50 change → last", last.percentile(0.5), "ms"))
            .with(Figure::new("p50 change → end", end.percentile(0.5), "ms"))
            .with(Figure::new("p99 change → end", end.percentile(0.99), "ms")),
    ];
    let turns = in_turns(
        &stage.scratch,
        stage.time,
        async |time| stage.floor.a(time).await,
        async |time| stage.ticks(16, time).await,
    )
    .await?;
    let actions = turns.rate.per_second() * ACTIONS as f64;
    rows.push(
        row("64 actions, 16 runs in flight")
            .with(Figure::new("runs", turns.rate.per_second(), "1/s"))
            .with(Figure::new("actions", actions, "1/s").beside(floor::A, turns.floor.per_second()))
            .with_all(turns.used.per("run", turns.rate.done)),
    );
    stage.close().await?;
    Ok(rows)
}
