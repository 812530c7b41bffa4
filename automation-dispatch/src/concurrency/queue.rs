//! `mode: queued`: runs that wait for their turn, first in, first out (`dispatch §8.5`).
//!
//! Whoever ends the last walking run of a bucket starts its oldest pending one, in the bucket's
//! critical section; if that node dies before, the sweeper does it.

use super::{Bucket, count, decide::bucket_key, lock};
use crate::{
    automations::Program,
    cancel::{self, Cause},
    commit::{Fence, RunHead},
    drive::{Proof, base_of, for_good},
    fire::{Beginning, begin, launch},
    scope,
    shared::Shared,
    store::runs::RunRecord,
    walk::tree::Walk,
};
use automation_core::{
    AutomationId, RunId,
    definition::{ConcurrencyScope, Mode},
};
use plugin_api::{BoxError, Tx};
use std::{collections::HashSet, sync::Arc};

plugin_api::statements! {
    /// Pending runs of an automation, oldest first.
    pub PENDING = "select id, automation_id, trigger_id, trigger_event_id, trigger_payload, context_key, status, error_code, error_message, actor, definition_version, cause, started_at, finished_at from signalbox.automation_runs where automation_id = $1 and status = 'pending' order by started_at, id";
    /// Automations with pending runs.
    pub QUEUES = "select distinct automation_id from signalbox.automation_runs where status = 'pending'";
    /// Pending runs of automations that were disabled.
    pub OF_DISABLED = "select r.id from signalbox.automation_runs r join signalbox.automations a on a.id = r.automation_id where r.status = 'pending' and a.status = 'disabled'";
}

/// A run of an automation is over: lets the next one begin, where there is a queue.
pub fn ended(shared: &Arc<Shared>, automation: AutomationId, program: &Program) {
    if program.definition.mode == Mode::Queued {
        advance_soon(shared, automation);
    } else {
        advance_if_queued(shared, automation);
    }
}

/// The same where only the automation is known.
pub fn advance_if_queued(shared: &Arc<Shared>, automation: AutomationId) {
    let now = shared.automations.get(automation);
    if now.is_some_and(|a| a.program.definition.mode == Mode::Queued) {
        advance_soon(shared, automation);
    }
}

/// Looks at the queues of an automation in a task of its own.
fn advance_soon(shared: &Arc<Shared>, automation: AutomationId) {
    let shared = shared.clone();
    plugin_api::spawn(async move {
        if let Err(error) = advance(&shared, automation).await {
            tracing::warn!(%automation, %error, "The next run of a queue could not be started; the sweeper tries again.");
        }
    });
}

/// Starts the oldest pending run of each bucket of an automation in which nobody walks.
pub async fn advance(shared: &Arc<Shared>, automation: AutomationId) -> Result<(), BoxError> {
    if shared.drivers.is_closing() {
        return Ok(());
    }
    let proof = Proof::now(&*shared.clock);
    let mut tx = shared.db.begin().await?;
    let seen = heads(shared, &mut tx, automation).await?;
    if seen.first.is_empty() && seen.unusable.is_empty() {
        tx.rollback().await?;
        return Ok(());
    }
    let keys: HashSet<String> = seen.first.into_iter().map(|head| head.section).collect();
    lock(&mut tx, keys.iter().cloned()).await?;
    // Read again inside: while this waited, an older run may have been queued.
    let Heads {
        mut first,
        unusable,
    } = heads(shared, &mut tx, automation).await?;
    cancel::cancel_in(shared, &mut tx, &unusable, Cause::NoVersion).await?;
    first.retain(|head| keys.contains(&head.section));
    let buckets: Vec<Bucket> = first.iter().map(|head| head.bucket.clone()).collect();
    let occupied = count(&mut tx, &buckets).await?;
    first.retain(|head| occupied.get(&head.bucket).is_none_or(|o| o.walking == 0));
    begin_turns(shared, &mut tx, proof, first).await?;
    tx.commit().await?;
    Ok(())
}

/// The oldest pending run of a bucket.
struct Head {
    record: RunRecord,
    /// Key of the bucket's critical section.
    section: String,
    bucket: Bucket,
    program: Arc<Program>,
}

/// Who may be next.
#[derive(Default)]
struct Heads {
    /// The oldest pending run of each bucket of an automation.
    first: Vec<Head>,
    /// Runs that can never begin: their version is gone or does not compile any more. Left where they
    /// are they would keep the others from their turn.
    unusable: Vec<RunId>,
}

async fn heads(
    shared: &Arc<Shared>,
    tx: &mut Tx,
    automation: AutomationId,
) -> Result<Heads, BoxError> {
    let pending: Vec<RunRecord> = tx.sql(PENDING).bind(automation).all().await?;
    let mut heads = Heads::default();
    let mut seen: HashSet<String> = HashSet::new();
    for record in pending {
        let version = record.definition_version;
        let program = match shared.automations.program(automation, version).await {
            Ok(Some(program)) => program,
            Err(error) if !for_good(&*error) => return Err(error),
            lost => {
                let error = lost.err();
                tracing::error!(run_id = %record.id, automation_id = %automation, version, error, "The version of a pending run cannot be used; the run fails.");
                heads.unusable.push(record.id);
                continue;
            }
        };
        let scope = program.definition.concurrency_scope;
        let section = bucket_key(automation, scope, record.context_key.as_deref());
        if seen.insert(section.clone()) {
            let context_key = match scope {
                ConcurrencyScope::Automation => None,
                ConcurrencyScope::ContextKey => Some(record.context_key.clone()),
            };
            heads.first.push(Head {
                bucket: Bucket {
                    automation,
                    context_key,
                },
                record,
                section,
                program,
            });
        }
    }
    Ok(heads)
}

/// With a lease and a fresh scope; gates are not asked again.
async fn begin_turns(
    shared: &Arc<Shared>,
    tx: &mut Tx,
    proof: Proof,
    turns: Vec<Head>,
) -> Result<(), BoxError> {
    let now = proof.at;
    let mut begun = Vec::with_capacity(turns.len());
    for Head {
        mut record,
        program,
        ..
    } in turns
    {
        record.started_at = now;
        let mut base = base_of(&record, Default::default());
        let locals = Walk::new().locals("");
        let key = record.context_key.as_deref();
        base.live = scope::for_program(shared, &program, key, &locals, &base).await;
        begun.push(begin(
            &**shared,
            now,
            Beginning {
                head: RunHead::of(&record),
                fence: Fence::Turn(now),
                program,
                base,
            },
        ));
    }
    launch(shared, tx, proof, begun)
        .await
        .map_err(|e| e.to_string())?;
    Ok(())
}

/// Every queue, for the sweeper; answers how many there were.
pub async fn advance_all(shared: &Arc<Shared>) -> Result<u64, BoxError> {
    let waiting: Vec<AutomationId> = shared.db.sql(QUEUES).all().await?;
    for automation in &waiting {
        if let Err(error) = advance(shared, *automation).await {
            tracing::error!(%automation, %error, "A queue could not be swept; the next cycle tries again.");
        }
    }
    Ok(waiting.len() as u64)
}

/// Disabling an automation ends what waits for its turn (`dispatch §8.5`).
pub async fn cancel_disabled(shared: &Arc<Shared>) -> Result<(), BoxError> {
    let runs: Vec<RunId> = shared.db.sql(OF_DISABLED).all().await?;
    if runs.is_empty() {
        return Ok(());
    }
    let db = &shared.db;
    db.tx(async |tx| cancel::cancel_in(shared, tx, &runs, Cause::Disabled).await)
        .await?;
    Ok(())
}
