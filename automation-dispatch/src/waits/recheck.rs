//! Re-checking locks: by a wake, a timer or the sweeper, all the same way (`dispatch §14.4`).

use super::{
    decide::{self, Recheck},
    fire::{Mark, fire},
    waiting::{Waiting, load},
};
use crate::{
    commit::{build::timer_jobs, rows::CheckedRow, sql as commit_sql},
    scope,
    shared::Shared,
    store::locks::{self, LockRecord},
    walk::{
        decide::FireReason,
        view::{Live, View},
    },
};
use automation_core::{LockId, compiled::CompiledKind};
use plugin_api::{
    Ts, Tx,
    queue::{JobError, NewJob},
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};
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
    /// Not looked at: its timer is armed for this later instant.
    Armed(Ts),
}

/// Re-checks locks in `tx`; one answer each, in order. Several changes that concern one lock are one
/// evaluation, with all of them in its scope.
pub async fn recheck(
    shared: &Arc<Shared>,
    tx: &mut Tx,
    asks: &[RecheckAsk],
) -> Result<Vec<Rechecked>, JobError> {
    recheck_unless(shared, tx, asks, &HashSet::new()).await
}

/// The same, but for locks that only a timer of an earlier look asks for: one that is to be looked at
/// later has another timer, and is left to it.
pub(super) async fn recheck_unless(
    shared: &Arc<Shared>,
    tx: &mut Tx,
    asks: &[RecheckAsk],
    by_timer: &HashSet<LockId>,
) -> Result<Vec<Rechecked>, JobError> {
    if asks.is_empty() {
        return Ok(Vec::new());
    }
    let now = shared.clock.now();
    let mut changed: HashMap<LockId, Vec<(String, String)>> = HashMap::new();
    for ask in asks {
        changed
            .entry(ask.lock)
            .or_default()
            .extend(ask.changed.clone());
    }
    let ids: Vec<uuid::Uuid> = changed.keys().map(|l| l.uuid()).collect();
    let found: Vec<LockRecord> = tx.sql(locks::LOAD).ids(&ids).all().await?;
    let mut answers: HashMap<LockId, Rechecked> = HashMap::new();
    let (mut marks, mut untils) = (Vec::new(), Vec::new());
    for lock in found {
        if lock.is_over() {
            tx.sql(locks::DELETE_OF_RUN)
                .bind(lock.run_id)
                .execute()
                .await?;
            continue;
        }
        if lock.fired_at.is_some() {
            continue;
        }
        if lock.kind == "until" {
            match lock.next_check_at.filter(|at| *at > now) {
                Some(at) if by_timer.contains(&lock.id) => {
                    answers.insert(lock.id, Rechecked::Armed(at));
                }
                _ => untils.push(lock),
            }
            continue;
        }
        let answer = match decide::timer(&lock.kind, lock.timeout_at, now) {
            Recheck::Fire(reason) => {
                marks.push(mark(&lock, reason));
                Rechecked::Resumed
            }
            _ => Rechecked::StillWaiting(lock.timeout_at),
        };
        answers.insert(lock.id, answer);
    }
    let (untils, unfit) = load(shared, tx, untils, |kind| {
        matches!(kind, CompiledKind::WaitUntil { .. })
    })
    .await?;
    for lock in unfit {
        answers.insert(lock.id, Rechecked::Resumed);
        marks.push(mark(&lock, FireReason::Invalid));
    }
    let mut checked = Vec::new();
    let mut jobs: HashMap<&str, Vec<NewJob>> = HashMap::new();
    for (until, live) in read(shared, untils, &changed).await {
        let (outcome, wanted) = test(shared, &until, &live, now);
        let lock = &until.lock;
        tracing::debug!(lock = %lock.id, run_id = %lock.run_id, ?outcome, changed = ?changed.get(&lock.id), "A wait was re-checked.");
        let answer = match outcome {
            Recheck::Fire(reason) => {
                marks.push(mark(lock, reason));
                Rechecked::Resumed
            }
            Recheck::Inconclusive => Rechecked::Inconclusive,
            Recheck::Still => Rechecked::StillWaiting(lock.timeout_at),
        };
        // Whatever it showed, it was looked at: the sweeper takes the longest unseen first, and those
        // that cannot be read would come first for ever.
        if answer != Rechecked::Resumed {
            let armed = lock.next_check_at;
            let (next_check_at, timer) = decide::look_again(outcome, armed, wanted, now);
            for (queue, job) in timer_jobs(
                lock.run_id,
                lock.id,
                "until",
                None,
                next_check_at.filter(|_| timer),
            ) {
                jobs.entry(queue).or_default().push(job);
            }
            checked.push(CheckedRow {
                id: lock.id,
                checked_at: now,
                next_check_at,
            });
        }
        answers.insert(lock.id, answer);
    }
    if !checked.is_empty() {
        tx.sql(commit_sql::CHECKED).rows(&checked).execute().await?;
    }
    for (queue, jobs) in jobs {
        shared.queues.enqueue_in(tx, queue, jobs).await?;
    }
    fire(shared, tx, marks).await?;
    let answer = |ask: &RecheckAsk| answers.get(&ask.lock).copied();
    Ok(asks
        .iter()
        .map(|ask| answer(ask).unwrap_or(Rechecked::Gone))
        .collect())
}

fn mark(lock: &LockRecord, reason: FireReason) -> Mark {
    Mark {
        run_id: lock.run_id,
        lock: lock.id,
        reason,
        payload: None,
    }
}

async fn read(
    shared: &Arc<Shared>,
    untils: Vec<Waiting>,
    changed: &HashMap<LockId, Vec<(String, String)>>,
) -> Vec<(Waiting, Arc<Live>)> {
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
            locals: Some(&u.locals),
            changed: changed.get(&u.lock.id).map_or(&[], Vec::as_slice),
        })
        .collect();
    let lives = scope::read(shared, &asks).await;
    drop(asks);
    untils.into_iter().zip(lives).collect()
}

fn test(shared: &Shared, until: &Waiting, live: &Live, now: Ts) -> (Recheck, Option<Ts>) {
    let view = View::of(&until.base, live, &until.locals);
    let env = Env::new(&shared.filters, now.timestamp());
    let path = &until.lock.action_path;
    let tested = decide::test(&until.program.actions, path, &view, &env);
    if let Some(Err(error)) = tested.as_ref().map(|t| &t.holds) {
        tracing::warn!(lock = %until.lock.id, run_id = %until.lock.run_id, %error, "The condition of a wait cannot be evaluated and counts as not yet.");
    }
    decide::outcome(tested, live.unresolved, until.lock.timeout_at, now)
}
