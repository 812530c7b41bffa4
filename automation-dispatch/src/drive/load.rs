//! Bringing a run back into memory after its lease was taken.

use super::{
    Acquired,
    task::{First, LiveRun, base_of},
};
use crate::{
    commit::RunHead,
    shared::Shared,
    store::{artifacts, runs},
    walk::tree::Walk,
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
    let head = RunHead {
        run_id: record.id,
        automation_id: record.automation_id,
        context_key: record.context_key.clone(),
    };
    let mut walk: Walk = acquired.snapshot.decode()?;
    walk.last_path = acquired.last_path.clone();
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
        &walk,
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
        first: if resumed {
            First::Fired
        } else {
            First::Recover
        },
    }))
}
