//! A waiting run as evaluating its lock needs it: row, pinned program, checkpoint and scope.

use crate::{
    automations::Program,
    drive::{base_of, for_good, read_walk},
    shared::Shared,
    store::{
        artifacts,
        locks::LockRecord,
        runs::{self, RunRecord},
    },
    walk::{
        frame::Locals,
        path,
        view::{Base, Live},
    },
};
use automation_core::{RunId, compiled::CompiledKind};
use plugin_api::{Tx, queue::JobError};
use std::{collections::HashMap, sync::Arc};

/// A lock with its run.
pub struct Waiting {
    /// The lock.
    pub lock: LockRecord,
    /// Its run.
    pub record: RunRecord,
    /// The version the run is pinned to.
    pub program: Arc<Program>,
    /// Variables, artifacts and the rest at the wait.
    pub locals: Locals,
    /// Trigger and start of the run.
    pub base: Base,
}

/// Loads the runs of locks. A lock whose stored wait does not fit its definition comes back as it
/// is: its step fails rather than wait for ever (`dispatch §14.4.1`).
pub async fn load(
    shared: &Arc<Shared>,
    tx: &mut Tx,
    locks: Vec<LockRecord>,
    fits: impl Fn(&CompiledKind) -> bool,
) -> Result<(Vec<Waiting>, Vec<LockRecord>), JobError> {
    let (mut waiting, mut unfit) = (Vec::new(), Vec::new());
    if locks.is_empty() {
        return Ok((waiting, unfit));
    }
    let ids: Vec<uuid::Uuid> = locks.iter().map(|l| l.run_id.uuid()).collect();
    let records: HashMap<RunId, RunRecord> = runs::get_many(&mut *tx, &ids)
        .await?
        .into_iter()
        .map(|r| (r.id, r))
        .collect();
    for lock in locks {
        let Some(record) = records.get(&lock.run_id).cloned() else {
            continue;
        };
        let version = record.definition_version;
        let program = shared.automations.program(record.automation_id, version);
        let program = match program.await {
            // One version that does not compile any more must not hold up the waits of others.
            Err(error) if for_good(&*error) => None,
            program => program.map_err(JobError::Retry)?,
        };
        // A newer program's checkpoint is for a newer node.
        let walk = match &lock.scope_snapshot {
            Some(stored) => read_walk(stored).map_err(|e| JobError::Retry(e.into()))?,
            None => None,
        };
        let program = program
            .filter(|p| path::action(&p.actions, &lock.action_path).is_some_and(|a| fits(&a.kind)));
        let (Some(program), Some(mut walk)) = (program, walk) else {
            tracing::warn!(lock = %lock.id, run_id = %lock.run_id, path = lock.action_path, "A stored wait cannot be evaluated; its step fails.");
            unfit.push(lock);
            continue;
        };
        if program.wait_reads(&lock.action_path).artifacts {
            for a in artifacts::of_run(&shared.reads, record.id).await? {
                a.expose(&mut walk);
            }
        }
        waiting.push(Waiting {
            base: base_of(&record, Live::none()),
            locals: walk.locals(&lock.action_path),
            lock,
            record,
            program,
        });
    }
    Ok((waiting, unfit))
}
