//! Re-checking locks: by a wake, a timer or the sweeper, all the same way (`dispatch §14.4`).

use super::{
    decide::{self, Recheck},
    fire::{Mark, fire},
    refs,
};
use crate::{
    automations::Program,
    commit::{build::timer_jobs, rows::CheckedRow, sql as commit_sql},
    drive::base_of,
    scope,
    shared::Shared,
    store::{
        artifacts,
        locks::{self, LockRecord},
        runs::{self, RunRecord},
    },
    walk::{
        decide::FireReason,
        path,
        tree::Walk,
        view::{Base, Live, View},
    },
};
use automation_core::{LockId, RunId, compiled::CompiledKind};
use plugin_api::{Ts, Tx, queue::JobError};
use std::{collections::HashMap, sync::Arc};
use template_engine::Env;

/// A lock to look at.
#[derive(Clone, Debug)]
pub struct RecheckAsk {
    /// The lock.
    pub lock: LockId,
    /// The entity whose change woke it: kind and id.
    pub changed: Option<(String, String)>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rechecked {
    /// It is gone, or was fired before.
    Gone,
    /// It is fired now.
    Resumed,
    /// Still waiting; for a delay, not due before this instant.
    StillWaiting(Option<Ts>),
    /// State could not be read: try again.
    Inconclusive,
}

/// An `until` lock ready to be tested.
struct Until {
    at: usize,
    lock: LockRecord,
    record: RunRecord,
    program: Arc<Program>,
    walk: Walk,
    base: Base,
    changed: Option<(String, String)>,
}

/// Re-checks locks in `tx`; one answer each, in order.
pub async fn recheck(
    shared: &Arc<Shared>,
    tx: &mut Tx,
    asks: &[RecheckAsk],
) -> Result<Vec<Rechecked>, JobError> {
    let now = shared.clock.now();
    let ids: Vec<uuid::Uuid> = asks.iter().map(|a| a.lock.uuid()).collect();
    let found: Vec<LockRecord> = tx.sql(locks::LOAD).ids(&ids).all().await?;
    let mut by_id: HashMap<LockId, LockRecord> = found.into_iter().map(|l| (l.id, l)).collect();
    let mut answers = vec![Rechecked::Gone; asks.len()];
    let (mut marks, mut untils) = (Vec::new(), Vec::new());
    for (at, ask) in asks.iter().enumerate() {
        let Some(lock) = by_id.remove(&ask.lock) else {
            continue;
        };
        if matches!(
            lock.status.as_str(),
            "success" | "failed" | "cancelled" | "skipped"
        ) {
            tx.sql(locks::DELETE_OF_RUN)
                .bind(lock.run_id)
                .execute()
                .await?;
            continue;
        }
        if lock.fired_at.is_some() {
            continue;
        }
        match lock.kind.as_str() {
            "delay" => match decide::delay(lock.timeout_at, now) {
                Recheck::Fire(reason) => {
                    answers[at] = Rechecked::Resumed;
                    marks.push(mark(&lock, reason));
                }
                _ => answers[at] = Rechecked::StillWaiting(lock.timeout_at),
            },
            "until" => untils.push((at, lock, ask.changed.clone())),
            _ => {}
        }
    }
    let untils = load(shared, tx, untils, &mut marks, &mut answers).await?;
    let (mut checked, mut jobs) = (Vec::new(), Vec::new());
    for (until, live) in read(shared, untils).await {
        let (outcome, next_check_at) = test(shared, &until, &live, now);
        tracing::debug!(lock = %until.lock.id, run_id = %until.lock.run_id, ?outcome, changed = ?until.changed, "A wait was re-checked.");
        match outcome {
            Recheck::Fire(reason) => {
                answers[until.at] = Rechecked::Resumed;
                marks.push(mark(&until.lock, reason));
            }
            Recheck::Inconclusive => answers[until.at] = Rechecked::Inconclusive,
            Recheck::Still => {
                answers[until.at] = Rechecked::StillWaiting(until.lock.timeout_at);
                jobs.extend(timer_jobs(
                    until.lock.run_id,
                    until.lock.id,
                    "until",
                    None,
                    next_check_at,
                ));
                checked.push(CheckedRow {
                    id: until.lock.id,
                    checked_at: now,
                    next_check_at,
                });
            }
        }
    }
    if !checked.is_empty() {
        tx.sql(commit_sql::CHECKED).rows(&checked).execute().await?;
    }
    for (queue, job) in jobs {
        shared.queues.enqueue_in(tx, queue, vec![job]).await?;
    }
    fire(shared, tx, marks).await?;
    Ok(answers)
}

fn mark(lock: &LockRecord, reason: FireReason) -> Mark {
    Mark {
        run_id: lock.run_id,
        lock: lock.id,
        reason,
        payload: None,
    }
}

/// A lock to re-check: the place of its answer, its row, and the entity whose change woke it.
type Asked = (usize, LockRecord, Option<(String, String)>);

/// Runs, programs and scopes of `until` locks. A lock that no longer fits its definition fails its
/// step rather than wait for ever.
async fn load(
    shared: &Arc<Shared>,
    tx: &mut Tx,
    untils: Vec<Asked>,
    marks: &mut Vec<Mark>,
    answers: &mut [Rechecked],
) -> Result<Vec<Until>, JobError> {
    if untils.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<uuid::Uuid> = untils.iter().map(|u| u.1.run_id.uuid()).collect();
    let records: HashMap<RunId, RunRecord> = runs::get_many(&mut *tx, &ids)
        .await?
        .into_iter()
        .map(|r| (r.id, r))
        .collect();
    let mut out = Vec::new();
    for (at, lock, changed) in untils {
        let Some(record) = records.get(&lock.run_id).cloned() else {
            continue;
        };
        let program = shared
            .automations
            .program(record.automation_id, record.definition_version)
            .await
            .map_err(JobError::Retry)?;
        let walk: Option<Walk> = lock.scope_snapshot.as_ref().and_then(|s| s.decode().ok());
        let fits = |p: &Arc<Program>| {
            path::action(&p.actions, &lock.action_path)
                .is_some_and(|a| matches!(a.kind, CompiledKind::WaitUntil { .. }))
        };
        match (program.filter(fits), walk) {
            (Some(program), Some(mut walk)) => {
                if program.wait_reads(&lock.action_path).artifacts {
                    for a in artifacts::of_run(&shared.reads, record.id).await? {
                        if let (Some(id), Some((_, local))) =
                            (&a.action_id, a.artifact_type.split_once('.'))
                        {
                            walk.expose(id, local, a.data.0);
                        }
                    }
                }
                out.push(Until {
                    at,
                    base: base_of(&record, Live::default()),
                    lock,
                    record,
                    program,
                    walk,
                    changed,
                });
            }
            _ => {
                tracing::warn!(lock = %lock.id, run_id = %lock.run_id, path = lock.action_path, "A stored wait cannot be evaluated; its step fails.");
                answers[at] = Rechecked::Resumed;
                marks.push(mark(&lock, FireReason::Invalid));
            }
        }
    }
    Ok(out)
}

async fn read(shared: &Arc<Shared>, untils: Vec<Until>) -> Vec<(Until, Live)> {
    let sets: Vec<_> = untils
        .iter()
        .map(|u| u.program.wait_reads(&u.lock.action_path))
        .collect();
    let asks: Vec<scope::Ask<'_>> = untils
        .iter()
        .zip(&sets)
        .map(|(u, reads)| scope::Ask {
            reads,
            program: &u.program,
            context_key: u.record.context_key.as_deref(),
            base: &u.base,
            walk: Some(&u.walk),
            changed: u.changed.as_ref().map(|(k, i)| (k.as_str(), i.as_str())),
        })
        .collect();
    let lives = scope::read(shared, &asks).await;
    drop(asks);
    untils.into_iter().zip(lives).collect()
}

fn test(shared: &Shared, until: &Until, live: &Live, now: Ts) -> (Recheck, Option<Ts>) {
    let Some(CompiledKind::WaitUntil { condition, .. }) =
        path::action(&until.program.actions, &until.lock.action_path).map(|a| &a.kind)
    else {
        return (Recheck::Fire(FireReason::Invalid), None);
    };
    let view = View {
        base: &until.base,
        live,
        variables: &until.walk.variables,
        artifacts: &until.walk.artifacts,
        repeat: None,
        resume: until.walk.resume.as_ref(),
    };
    let env = Env::new(&shared.filters, now.timestamp());
    let holds = match condition.test(&view, &env) {
        Ok(holds) => Some(holds),
        Err(error) => {
            tracing::warn!(lock = %until.lock.id, run_id = %until.lock.run_id, %error, "The condition of a wait cannot be evaluated and counts as not yet.");
            None
        }
    };
    let outcome = decide::until(holds, live.unresolved, until.lock.timeout_at, now);
    (outcome, refs::next_check(condition, &view, &env))
}
