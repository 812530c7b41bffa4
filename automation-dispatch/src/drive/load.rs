//! Bringing a run back into memory after its lease was taken.

use super::{
    Acquired,
    task::{First, LiveRun, base_of},
};
use crate::{
    commit::RunHead,
    shared::Shared,
    store::{artifacts, runs},
    walk::tree::{FORMAT, Walk},
};
use plugin_api::BoxError;
use std::sync::Arc;

/// The run with everything its walk needs; none when there is nothing to drive.
pub(super) async fn load(
    shared: &Arc<Shared>,
    acquired: &Acquired,
) -> Result<Option<LiveRun>, BoxError> {
    let Some(record) = runs::get(&shared.db, acquired.run_id).await? else {
        return Ok(None);
    };
    let head = RunHead::of(&record);
    let mut walk: Walk = acquired.snapshot.decode()?;
    if walk.format > FORMAT {
        // Left for a newer node: the lease runs out, and that one takes it.
        return Err(format!(
            "its checkpoint has form {}, and this program knows up to {FORMAT}",
            walk.format
        )
        .into());
    }
    walk.last_path = acquired.last_path.clone();
    give_lists(shared, record.id, &mut walk).await?;
    for a in artifacts::of_run(&shared.db, record.id).await? {
        if let (Some(action_id), Some((_, local))) = (&a.action_id, a.artifact_type.split_once('.'))
        {
            walk.expose(action_id, local, a.data.0);
        }
    }
    let program = shared
        .automations
        .program(record.automation_id, record.definition_version)
        .await?
        .ok_or("the definition version of the run is gone")?;
    let live = crate::scope::for_program(
        shared,
        &program,
        record.context_key.as_deref(),
        &walk.locals(""),
        &base_of(&record, Default::default()),
    )
    .await;
    let resumed = record.status == "waiting";
    Ok(Some(LiveRun {
        head,
        epoch: acquired.epoch,
        program,
        base: Arc::new(base_of(&record, live)),
        walk,
        resumed,
        leased_at: acquired.at,
        first: if resumed {
            First::Fired
        } else {
            First::Recover
        },
    }))
}

/// Loops over a list have it in their step row.
async fn give_lists(
    shared: &Arc<Shared>,
    run: automation_core::RunId,
    walk: &mut Walk,
) -> Result<(), BoxError> {
    let wanted = walk.lists_wanted();
    if wanted.is_empty() {
        return Ok(());
    }
    for step in runs::steps(&shared.reads, run).await? {
        if let Some(serde_json::Value::Array(list)) = step
            .result_payload
            .filter(|_| wanted.contains(&step.id))
            .and_then(|mut p| p.0.get_mut("forEachList").map(serde_json::Value::take))
        {
            walk.give_list(step.id, list);
        }
    }
    Ok(())
}
