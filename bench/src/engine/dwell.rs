//! Dwells: a status must hold for a while before its automation runs. One that holds fires at its time; one whose status
//! is left goes at once.

use super::stage::Stage;
use crate::{
    database::Target,
    floor,
    jobs::{Measured, Settings, Workload},
    load::Rate,
    meter::{metered, statements_per},
    report::{Figure, Row},
    samples::Samples,
    stopwatch::Moment,
    world::{World, thing},
};
use anyhow::{Result, ensure};
use std::{ops::Range, sync::Arc, time::Duration};

/// The workload.
pub const WORKLOAD: Workload = Workload {
    group: "engine",
    name: "dwell",
    about: "dwells armed and fired, armed and cancelled",
    databases: Target::USUAL,
    only: &[],
    run: |target, settings| Box::pin(measure(target, settings)) as Measured,
};

/// How long a status must hold to fire.
const HELD: Duration = Duration::from_secs(2);
/// Changes on their way at a time.
const CLIENTS: u64 = 16;

fn dwelling(seconds: u64) -> String {
    format!(
        "triggers: [{{event: bench.went_down, for: {{seconds: {seconds}}}}}]\nconcurrency_scope: context_key\nactions: [{{action: bench.call, config: {{}}}}]"
    )
}

async fn measure(target: Target, settings: Settings) -> Result<Vec<Row>> {
    let dwells = if settings.full { 5_000 } else { 1_000 };
    Ok(vec![
        fired(target, settings, dwells).await?,
        cancelled(target, settings, dwells).await?,
    ])
}

async fn fired(target: Target, settings: Settings, dwells: u64) -> Result<Row> {
    let stage = Stage::empty(target, settings).await?;
    let world = &stage.world;
    world.make_things((0..dwells).map(thing)).await?;
    world.automation(&dwelling(HELD.as_secs())).await?;
    follow(world, 0..100).await?;
    let by_hand = stage.floor.a(stage.time / 2).await?;
    let begun = Moment::now();
    let fired = metered(&stage.scratch, follow(world, 100..dwells));
    let (late, used) = fired.await?;
    // Dwells fire as fast as they were armed; what remains of the time was spent holding.
    let rate = Rate {
        done: late.len() as u64,
        time: begun.elapsed().saturating_sub(HELD),
    };
    for n in 0..200 {
        world.change(&thing(n), "up").await?;
    }
    world.settle().await?;
    let statements = statements_per("dwell", async {
        Ok(follow(world, 0..200).await?.len() as u64)
    });
    let statements = statements.await?;
    let row = Row::new("engine dwell", format!("{dwells} fired"), target.name())
        .with(
            Figure::new("armed and fired", rate.per_second(), "1/s")
                .beside(floor::A, by_hand.per_second()),
        )
        .with(Figure::new("p50 late", late.percentile(0.5), "ms"))
        .with(Figure::new("p99 late", late.percentile(0.99), "ms"))
        .with_all(used.per("dwell", late.len() as u64))
        .with(statements);
    stage.close().await?;
    Ok(row)
}

/// Takes things down and follows each until its dwell has fired and its run has ended; answers how late they fired.
async fn follow(world: &Arc<World>, things: Range<u64>) -> Result<Samples> {
    let tickets = down(world, things).await?;
    let mut late = Samples::default();
    for (committed, ticket) in tickets {
        let timing = ticket.follow(committed).await?;
        late.push(timing.call.saturating_sub(HELD));
    }
    Ok(late)
}

type Followed = Vec<(Moment, crate::world::Ticket)>;

async fn down(world: &Arc<World>, things: Range<u64>) -> Result<Followed> {
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (world, things) = (world.clone(), things.clone());
            plugin_api::spawn(async move {
                let mut tickets = Vec::new();
                for n in things.skip(client as usize).step_by(CLIENTS as usize) {
                    let ticket = world.progress().expect(&thing(n))?;
                    world.change(&thing(n), "down").await?;
                    tickets.push((Moment::now(), ticket));
                }
                Ok::<Followed, anyhow::Error>(tickets)
            })
        })
        .collect();
    let mut all = Vec::new();
    for client in clients {
        all.append(&mut client.await??);
    }
    Ok(all)
}

async fn cancelled(target: Target, settings: Settings, dwells: u64) -> Result<Row> {
    let stage = Stage::empty(target, settings).await?;
    let world = &stage.world;
    world.make_things((0..dwells).map(thing)).await?;
    world.automation(&dwelling(3600)).await?;
    let begun = Moment::now();
    let tickets = down(world, 0..dwells).await?;
    world.until_armed(dwells as i64).await?;
    let armed = Rate {
        done: dwells,
        time: begun.elapsed(),
    };
    let by_hand = stage.floor.a(stage.time / 2).await?;
    let begun = Moment::now();
    let ((), used) = metered(&stage.scratch, async {
        up(world, dwells).await?;
        world.until_armed(0).await
    })
    .await?;
    let gone = Rate {
        done: dwells,
        time: begun.elapsed(),
    };
    world.settle().await?;
    ensure!(world.progress().calls() == 0, "a cancelled dwell has fired");
    drop(tickets);
    let row = Row::new("engine dwell", format!("{dwells} cancelled"), target.name())
        .with(Figure::new("armed", armed.per_second(), "1/s"))
        .with(
            Figure::new("cancelled", gone.per_second(), "1/s")
                .beside(floor::A, by_hand.per_second()),
        )
        .with_all(used.per("dwell", dwells));
    stage.close().await?;
    Ok(row)
}

async fn up(world: &Arc<World>, things: u64) -> Result<()> {
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let world = world.clone();
            plugin_api::spawn(async move {
                for n in (client..things).step_by(CLIENTS as usize) {
                    world.change(&thing(n), "up").await?;
                }
                Ok::<(), anyhow::Error>(())
            })
        })
        .collect();
    for client in clients {
        client.await??;
    }
    Ok(())
}
