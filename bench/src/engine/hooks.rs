//! Single events that come from a hook instead of an entity: no state, no history, no routing; one job for each trigger.

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
    name: "hooks",
    about: "single emissions of a hook, 16 and 256 in flight, beside floor A",
    databases: Target::USUAL,
    only: &[],
    run: |target, settings| Box::pin(measure(target, settings)) as Measured,
};

const ON_HOOK: &str = "triggers: [{event: bench.pinged}]\nconcurrency_scope: context_key\nactions: [{action: bench.call, config: {}}]";

async fn measure(target: Target, settings: Settings) -> Result<Vec<Row>> {
    let stage = Stage::empty(target, settings).await?;
    stage.world.automation(ON_HOOK).await?;
    let mut rows = Vec::new();
    for in_flight in [16, 256] {
        let row = stage.row("engine hooks", in_flight, None, |world, id| async move {
            world.ping(&id).await
        });
        rows.push(row.await?);
    }
    stage.close().await?;
    Ok(rows)
}
