//! The interpreter of commits on the model store: `commit::apply` with maps for statements.

use super::{
    LEASE_MS,
    exec::Core,
    node::Node,
    store::{
        self, Run, State, Step,
        tx::{Aborted, Key, Tx},
    },
};
use crate::{
    commit::{Fence, RunCommit, Verdict, apply},
    guards::{Guard, taken_out},
    walk::decide::Rest,
};
use automation_core::RunId;
use plugin_api::{Text, Ts};
use serde_json::json;
use std::collections::HashSet;

/// One commit in a transaction of its own.
pub async fn alone(node: &Node, commit: RunCommit) -> Result<Verdict, Aborted> {
    let mut tx = Tx::begin(node, "checkpoint").await?;
    let verdicts = apply(node, &mut tx, vec![commit]).await?;
    tx.commit().await?;
    Ok(verdicts[0])
}

/// Decides what becomes of each commit, and writes what may be written at the end of `tx`.
pub async fn apply(
    node: &Node,
    tx: &mut Tx,
    commits: Vec<RunCommit>,
) -> Result<Vec<Verdict>, Aborted> {
    let mut alive: HashSet<RunId> = HashSet::new();
    let mut order: Vec<usize> = (0..commits.len()).collect();
    order.sort_by_key(|i| commits[*i].head.run_id);
    for i in order {
        let c = &commits[i];
        let run = c.head.run_id;
        let lives = match &c.fence {
            Fence::Epoch(epoch) => hold(node, tx, run, *epoch).await?,
            Fence::New(new) => {
                if let Some(key) = &new.dedup_key {
                    tx.lock(Key::Dedup(key.clone())).await?;
                }
                let (key, automation) = (&new.dedup_key, c.head.automation_id);
                if tx.see(|core| !core.store.automations.contains_key(&automation)) {
                    return Err(Aborted);
                }
                tx.see(|core| {
                    let same = |r: &Run| key.is_some() && r.dedup == *key;
                    taken_out(Guard::DedupKey) || !core.store.runs.values().any(same)
                })
            }
            Fence::Turn(_) => {
                tx.lock(Key::Run(run)).await?;
                tx.see(|core| {
                    let row = core.store.runs.get(&run);
                    row.is_some_and(|r| r.status == "pending" || taken_out(Guard::TurnOnce))
                })
            }
        };
        if lives {
            alive.insert(run);
        }
    }
    tx.statement().await;
    let mut verdicts = Vec::with_capacity(commits.len());
    for c in &commits {
        let run = c.head.run_id;
        let fired = tx.see(|core| {
            let mut locks = core.store.locks.iter();
            matches!(c.fence, Fence::Epoch(_))
                && locks
                    .any(|(id, l)| l.run == run && l.fired.is_some() && !c.unlocked.contains(id))
        });
        verdicts.push(apply::verdict(
            &c.fence,
            &c.rest,
            alive.contains(&run),
            fired,
        ));
    }
    for (c, verdict) in commits.into_iter().zip(verdicts.clone()) {
        if matches!(verdict, Verdict::Lost | Verdict::Duplicate) {
            continue;
        }
        let name = node.name.clone();
        let at = node.instant();
        tx.write(move |core| write(core, &name, at, c, verdict));
    }
    Ok(verdicts)
}

/// `HOLD`.
async fn hold(node: &Node, tx: &mut Tx, run: RunId, epoch: i64) -> Result<bool, Aborted> {
    let mine = |core: &mut Core| {
        let state = core.store.states.get(&run);
        let out = taken_out(Guard::EpochFence);
        state.is_some_and(|s| out || (s.epoch == epoch && s.owner.as_deref() == Some(&node.name)))
    };
    if !tx.see(mine) {
        return Ok(false);
    }
    if !taken_out(Guard::StateRowFirst) {
        tx.lock(Key::State(run)).await?;
    }
    Ok(tx.see(mine))
}

fn write(core: &mut Core, node: &str, now: i64, c: RunCommit, verdict: Verdict) {
    let run = c.head.run_id;
    run_row(core, now, &c, verdict);
    let lease = match verdict {
        Verdict::Finished | Verdict::Queued => None,
        Verdict::Resting => Some((None, None)),
        _ => Some((Some(node.to_owned()), Some(now + LEASE_MS))),
    };
    if let Some((owner, expires)) = lease {
        let existing = core.store.states.get_mut(&run);
        match (&c.fence, existing) {
            (Fence::Epoch(_), Some(state)) => {
                state.snapshot = c.snapshot.0.clone();
                state.last_path = c.last_path.clone();
                state.owner = owner;
                state.expires = expires;
                state.heartbeat = now;
            }
            (Fence::Epoch(_), None) => {}
            _ if taken_out(Guard::OneCreation) => {
                // Written by whoever begins to drive it, if it lives to.
                let state = new_state(&c, owner, expires, now);
                core.store.memory.late_states.push((run, state));
            }
            _ => {
                let state = new_state(&c, owner, expires, now);
                core.store.states.insert(run, state);
            }
        }
    }
    for lock in &c.unlocked {
        core.store.locks.remove(lock);
    }
    if !c.unlocked.is_empty() && taken_out(Guard::OwnLockOnly) {
        core.store.locks.retain(|_, l| l.run != run);
    }
    details(core, &c);
    if let (Fence::Epoch(_), Rest::Finished { .. }) = (&c.fence, &c.rest) {
        core.store.locks.retain(|_, l| l.run != run);
        core.store.states.remove(&run);
        if let Some((status, code, _)) = c.close_open {
            close_steps(core, run, status, code);
        }
    }
    for (queue, job) in c.jobs {
        core.enqueue(queue, job);
    }
}

fn new_state(c: &RunCommit, owner: Option<String>, expires: Option<i64>, now: i64) -> State {
    State {
        snapshot: c.snapshot.0.clone(),
        last_path: c.last_path.clone(),
        owner,
        expires,
        epoch: 1,
        heartbeat: now,
    }
}

/// `INSERT_RUNS`, `START_PENDING`, `SET_WAITING`, `SET_RUNNING`, `FINISH`.
fn run_row(core: &mut Core, now: i64, c: &RunCommit, verdict: Verdict) {
    let id = c.head.run_id;
    match &c.fence {
        Fence::New(new) => {
            let at = new.started_at;
            let (status, error, finished) = apply::begun(&c.rest, at);
            let row = Run {
                automation: c.head.automation_id,
                trigger: new.trigger_id.clone(),
                event: new.event_id.clone(),
                payload: new.payload.clone(),
                actor: json!(new.actor),
                context_key: c.head.context_key.clone(),
                status: status.to_owned(),
                error,
                version: new.definition_version,
                cause: Some(new.cause.clone()),
                dedup: new.dedup_key.clone(),
                started_at: at.millis(),
                finished_at: finished.map(Ts::millis),
                manual: new.dedup_key.is_none(),
            };
            super::invariants::run_created(core, id, &row);
            core.store.runs.insert(id, row);
        }
        Fence::Turn(at) => {
            let (status, error, finished) = apply::begun(&c.rest, *at);
            super::invariants::turn_begins(core, id);
            if let Some(row) = core.store.runs.get_mut(&id) {
                row.status = status.to_owned();
                row.error = error;
                row.started_at = at.millis();
                row.finished_at = finished.map(Ts::millis);
            }
        }
        Fence::Epoch(_) => {
            let Some(row) = core.store.runs.get_mut(&id) else {
                return;
            };
            match (&c.rest, verdict) {
                (Rest::Finished { status, code, .. }, _)
                    if matches!(&*row.status, "running" | "waiting")
                        || taken_out(Guard::ConditionalStatus) =>
                {
                    row.status = (*status).to_owned();
                    row.error = code.map(str::to_owned);
                    row.finished_at = Some(now);
                }
                (_, Verdict::Resting) if !c.resumed && row.status == "running" => {
                    row.status = "waiting".to_owned();
                }
                (_, Verdict::Held | Verdict::Fired) if c.resumed && row.status == "waiting" => {
                    row.status = "running".to_owned();
                    row.error = None;
                }
                _ => {}
            }
        }
    }
}

fn details(core: &mut Core, c: &RunCommit) {
    let run = c.head.run_id;
    for s in &c.steps {
        let key = (run, s.action_path.clone());
        let before = core.store.steps.remove(&key);
        let row = Step {
            id: before.as_ref().map_or(s.id, |b| b.id),
            status: s.status.clone(),
            attempts: before
                .as_ref()
                .map_or(s.attempts, |b| b.attempts.max(s.attempts)),
            error: s
                .error_code
                .clone()
                .or(before.as_ref().and_then(|b| b.error.clone())),
            result: s
                .result_payload
                .clone()
                .map(|d| d.0)
                .or(before.and_then(|b| b.result)),
            finished: s.finished_at.is_some(),
        };
        core.store.steps.insert(key, row);
    }
    for a in &c.artifacts {
        core.store
            .artifacts
            .insert(a.step_id, (run, a.automation_id));
    }
    for l in &c.locks {
        let refs = c.wakes.iter().filter(|w| w.wait_lock_id == l.id);
        let row = store::Lock {
            run,
            path: l.action_path.clone(),
            kind: l.kind.clone(),
            event: l.event_id.clone(),
            key: l.context_key.as_ref().map(|k| Text::as_str(k).to_owned()),
            timeout_at: l.timeout_at.map(Ts::millis),
            next_check_at: l.next_check_at.map(Ts::millis),
            checked_at: (l.kind == "until").then_some(l.created_at.millis()),
            created_at: l.created_at.millis(),
            refs: refs.map(|w| w.entity_ref.as_str().to_owned()).collect(),
            fired: None,
        };
        core.store.memory.armed(run, &row, core.now);
        // Written already if the reply was lost; it may carry a mark by now.
        core.store.locks.entry(l.id).or_insert(row);
    }
    for checked in &c.checked {
        if let Some(lock) = core.store.locks.get_mut(&checked.id)
            && lock.fired.is_none()
        {
            lock.checked_at = Some(checked.checked_at.millis());
            lock.next_check_at = checked.next_check_at.map(Ts::millis);
        }
    }
}

/// `CLOSE_STEPS`.
pub fn close_steps(core: &mut Core, run: RunId, status: &str, code: &str) {
    for ((id, _), step) in &mut core.store.steps {
        if *id == run && !step.finished {
            step.status = status.to_owned();
            step.error = Some(code.to_owned());
            step.finished = true;
        }
    }
}
