//! Single events: each changes one thing and is followed until its run has ended.

use super::stage::Stage;
use crate::{
    database::Target,
    jobs::{Measured, Settings, Workload},
    report::Row,
};
use anyhow::Result;

/// The workload.
pub const WORKLOAD: Workload = Workload {
    group: "engine",
    name: "single",
    about: "single events, 16 and 256 in flight, beside floor A",
    databases: &Target::ALL,
    only: &[],
    run: |target, settings| Box::pin(measure(target, settings)) as Measured,
};

async fn measure(target: Target, settings: Settings) -> Result<Vec<Row>> {
    let stage = Stage::one_automation(target, settings).await?;
    let mut rows = Vec::new();
    for (in_flight, aim) in [(16, target.pick(1.0, 0.5)), (256, target.pick(2.5, 0.7))] {
        let row = stage.row("engine single", in_flight, aim, |world, id| async move {
            world.tick(&id).await
        });
        rows.push(row.await?);
    }
    stage.close().await?;
    Ok(rows)
}
