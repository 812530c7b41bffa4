//! Bringing a run back into memory after its lease was taken.

use super::{
    Acquired, World,
    patience::{for_good, patiently},
    task::{First, LiveRun, base_of},
};
use crate::{
    commit::{Fence, RunCommit, RunHead, Verdict, build::BuildCx},
    concurrency::queue,
    shared::Shared,
    store::{artifacts, runs},
    walk::{
        decide::Rest,
        tree::{FORMAT, Walk},
    },
};
use futures::FutureExt;
use plugin_api::{BoxError, Doc};
use std::{panic::AssertUnwindSafe, sync::Arc};

/// What makes it impossible, now and later, to go on with a run.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Damaged {
    /// A code of `dispatch §19`.
    code: &'static str,
    message: &'static str,
}

/// The checkpoint is a newer program's, which may have changed its form altogether.
#[derive(Debug, thiserror::Error)]
#[error("its checkpoint has form {0}, and this program knows up to {FORMAT}")]
pub(crate) struct Newer(u64);

const UNREADABLE: Damaged = Damaged {
    code: "corrupt_path",
    message: "the stored checkpoint of the run cannot be read",
};
const NO_VERSION: Damaged = Damaged {
    code: "state_missing",
    message: "the definition version of the run is missing",
};
const BAD_VERSION: Damaged = Damaged {
    code: "state_missing",
    message: "the stored definition version of the run does not compile any more",
};
const PANICKED: Damaged = Damaged {
    code: "internal_error",
    message: "the engine failed while it loaded this run",
};

/// Brings a run back; none when there is nothing to drive. What can never be brought back fails here:
/// left to its lease it would be taken over for ever, and keep others from their turn
/// (`dispatch §9.6` R-07, §11). Left alone is what may go well another time: while the database is
/// away, and when a newer program wrote the checkpoint.
pub(super) async fn or_fail(shared: &Arc<Shared>, acquired: &Acquired) -> Option<LiveRun> {
    let (id, epoch) = (acquired.run_id, acquired.epoch);
    let clock = &*shared.clock;
    let ours = || shared.drivers.may_act(id, epoch, clock);
    let loading = patiently(clock, ours, || load(shared, acquired));
    let loaded = AssertUnwindSafe(loading).catch_unwind().await;
    let error = match loaded.unwrap_or_else(|_| Err(PANICKED.into())) {
        Ok(run) => return run,
        Err(error) => error,
    };
    let damaged = match error.downcast_ref::<Damaged>() {
        None if !error.is::<Newer>() && for_good(&*error) => Some(&UNREADABLE),
        damaged => damaged,
    };
    match damaged {
        Some(damaged) => {
            tracing::error!(run_id = %id, code = damaged.code, %error, "A run cannot be loaded and fails.");
            if let Err(error) = fail(shared, acquired, damaged).await {
                tracing::error!(run_id = %id, %error, "A run that cannot be loaded could not be ended; its lease runs out and that is tried again.");
            }
        }
        None => {
            tracing::error!(run_id = %id, %error, "A run could not be loaded; its lease runs out and it is tried again.");
        }
    }
    None
}

/// Ends a run without walking it, under its lease, as its driver would.
async fn fail(
    shared: &Arc<Shared>,
    acquired: &Acquired,
    damaged: &Damaged,
) -> Result<(), BoxError> {
    let Some(record) = runs::get(&shared.db, acquired.run_id).await? else {
        return Ok(());
    };
    let Damaged { code, message } = *damaged;
    let ids = || shared.uuid();
    let masks = shared.masks(record.id);
    let mut commit = RunCommit::new(
        RunHead::of(&record),
        Fence::Epoch(acquired.epoch),
        &Walk::new(),
        Vec::new(),
        Rest::Finished {
            status: "failed",
            code: Some(code),
            message: Some(message.into()),
        },
        &BuildCx {
            now: shared.now(),
            ids: &ids,
            masks: &masks,
        },
    );
    commit.close_open = Some(("failed", code, message));
    if shared.commit(commit).await? == Verdict::Finished {
        shared.secrets.drop_run(record.id.uuid().as_u128());
        queue::advance_if_queued(shared, record.automation_id);
    }
    Ok(())
}

/// The stored walk; none when it cannot be read.
pub(crate) fn read_walk(snapshot: &Doc) -> Result<Option<Walk>, Newer> {
    let form = snapshot.0.get("format").and_then(serde_json::Value::as_u64);
    match form {
        Some(form) if form > u64::from(FORMAT) => Err(Newer(form)),
        _ => Ok(snapshot.decode().ok()),
    }
}

/// The run with everything its walk needs; none when there is nothing to drive.
async fn load(shared: &Arc<Shared>, acquired: &Acquired) -> Result<Option<LiveRun>, BoxError> {
    let Some(record) = runs::get(&shared.db, acquired.run_id).await? else {
        return Ok(None);
    };
    let head = RunHead::of(&record);
    // A newer form is left for a newer node: the lease runs out, and that one takes it.
    let mut walk = read_walk(&acquired.snapshot)?.ok_or(UNREADABLE)?;
    walk.last_path = acquired.last_path.clone();
    give_lists(shared, record.id, &mut walk).await?;
    for a in artifacts::of_run(&shared.db, record.id).await? {
        a.expose(&mut walk);
    }
    let program = shared
        .automations
        .program(record.automation_id, record.definition_version)
        .await
        .map_err(|error| match for_good(&*error) {
            true => {
                tracing::error!(run_id = %record.id, automation_id = %record.automation_id, version = record.definition_version, %error, "A stored definition version cannot be used.");
                BAD_VERSION.into()
            }
            false => error,
        })?
        .ok_or(NO_VERSION)?;
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
