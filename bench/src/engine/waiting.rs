//! Many runs wait while events flow: what waits must cost nothing, and waking one must be a look-up.

use super::stage::{Stage, latencies, ticks};
use crate::{
    database::Target,
    jobs::{Measured, Settings, Workload},
    meter::statements_per,
    report::{Figure, Row},
    samples::Samples,
    stopwatch::Moment,
    world::{World, thing},
};
use anyhow::{Context, Result};
use plugin_api::{Db, Id, db::Sql};
use std::sync::Arc;

/// The workload.
pub const WORKLOAD: Workload = Workload {
    group: "engine",
    name: "waiting",
    about: "events flow while 10 000 runs wait (100 000 with --full), beside none waiting",
    databases: Target::USUAL,
    only: &[],
    run: |target, settings| Box::pin(measure(target, settings)) as Measured,
};

/// Waits until the thing that was parked is released.
pub const PARKING: &str = "triggers: [{event: bench.parked}]\nconcurrency_scope: context_key\nactions:\n- wait_until: {condition: 'state.thing[trigger.payload.id].status == \"released\"'}\n- {action: bench.call, config: {}}";

async fn measure(target: Target, settings: Settings) -> Result<Vec<Row>> {
    let waiting = if settings.full { 100_000 } else { 10_000 };
    let none = Stage::one_automation(target, settings).await?;
    let many = Stage::one_automation(target, settings).await?;
    many.world.automation(PARKING).await?;
    let begun = Moment::now();
    park(&many.world, waiting).await?;
    let parked = begun.elapsed();
    let mut rows = vec![
        Row::new(
            "engine waiting",
            format!("{waiting} runs begin to wait"),
            target.name(),
        )
        .with(Figure::new(
            "runs",
            waiting as f64 / parked.as_secs_f64(),
            "1/s",
        )),
    ];
    many.warm_up().await?;
    for in_flight in [16, 256] {
        let turns = many.beside(&none, in_flight).await?;
        let counted = statements_per("run", async {
            Ok(ticks(&many.world, in_flight, many.time / 6).await?.0.done)
        });
        let statements = counted.await?;
        let runs = Figure::new("runs", turns.rate.per_second(), "1/s")
            .beside("none waiting", turns.floor.per_second())
            .at_least_of_floor(0.97);
        let case = format!("{waiting} waiting, {in_flight} in flight");
        rows.push(
            Row::new("engine waiting", case, target.name())
                .with(runs)
                .with_all(turns.used.per("run", turns.rate.done))
                .with(statements),
        );
    }
    let look_up = look_up(many.world.db()).await?;
    let woken = wake(&many.world).await?;
    rows.push(
        Row::new(
            "engine waiting",
            format!("{waiting} waiting, one is woken"),
            target.name(),
        )
        .with(Figure::new("p50 wake look-up", look_up.percentile(0.5), "ms").at_most(0.15))
        .with_all(latencies(&woken)),
    );
    none.close().await?;
    many.close().await?;
    Ok(rows)
}

/// Lets so many runs begin to wait.
///
/// # Errors
/// When they do not.
pub async fn park(world: &World, runs: u64) -> Result<()> {
    // In portions, so that none waits long for its turn.
    const PORTION: u64 = 5_000;
    for from in (0..runs).step_by(PORTION as usize) {
        let upto = runs.min(from + PORTION);
        let things: Vec<String> = (from..upto).map(parked).collect();
        world.fill_outbox(&things, Some("parked")).await?;
        world.until_waiting(upto as i64).await?;
    }
    world.settle().await
}

fn parked(n: u64) -> String {
    thing(format_args!("p{n}"))
}

/// How long the engine's own look-up of waits takes for one change that wakes nobody.
async fn look_up(db: &Db) -> Result<Samples> {
    plugin_api::row! { struct Woken { id: Option<Id> } }
    let statements = automation_dispatch::statements();
    let woken = statements.iter().find(|(name, _)| *name == "WOKEN");
    let sql: Sql = woken.context("the engine looks waits up in another way")?.1;
    let refs = ["thing:t0".to_owned(), "thing:*".to_owned()];
    // As the engine's connections, which keep to index plans.
    let db = db.pinned(1);
    let mut samples = Samples::default();
    for n in 0..220 {
        let begun = Moment::now();
        let _: Vec<Woken> = db.sql(sql).texts(&refs).all().await?;
        if n >= 20 {
            samples.push(begun.elapsed());
        }
    }
    Ok(samples)
}

/// Releases waiting things one by one.
async fn wake(world: &Arc<World>) -> Result<Samples> {
    let mut samples = Samples::default();
    for n in 0..200 {
        samples.push(world.tick_to(&parked(n), "released").await?.call);
    }
    Ok(samples)
}
