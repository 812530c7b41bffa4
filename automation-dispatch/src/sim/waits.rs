//! Ending waits on the model store: marks, re-checks and events (`waits/`).

use super::{
    exec::Core,
    node::{Node, acquire, base_of},
    store::{
        Fired, Lock,
        tx::{Aborted, Key, Tx},
    },
};
use crate::{
    commit::build::timer_jobs,
    fire::{Occurrence, trigger_scope},
    guards::{Guard, taken_out},
    waits::decide::{self, Recheck},
    walk::{decide::FireReason, path, tree::Walk, view::View},
};
use automation_core::{AutomationId, LockId, RunId, compiled::CompiledKind};
use plugin_api::Ts;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};
use template_engine::Env;

/// A lock whose wait is over.
pub struct Mark {
    pub run: RunId,
    pub lock: LockId,
    pub reason: FireReason,
    pub payload: Option<Value>,
}

/// `waits::fire`.
pub async fn fire(node: &Node, tx: &mut Tx, marks: Vec<Mark>) -> Result<(), Aborted> {
    if marks.is_empty() {
        return Ok(());
    }
    let runs: BTreeSet<RunId> = marks.iter().map(|m| m.run).collect();
    if !taken_out(Guard::StateRowFirst) {
        for run in &runs {
            tx.lock(Key::State(*run)).await?;
        }
    }
    tx.statement().await;
    let mut fired: Vec<RunId> = Vec::new();
    for mark in marks {
        let (lock, run) = (mark.lock, mark.run);
        let once = !taken_out(Guard::FireOnce);
        let open = tx.see(|core| {
            core.store.states.contains_key(&run)
                && core
                    .store
                    .locks
                    .get(&lock)
                    .is_some_and(|l| !once || l.fired.is_none())
        });
        if !open || (once && !tx.fired.insert(lock)) {
            continue;
        }
        fired.push(run);
        let at = node.instant();
        let node = node.clone();
        tx.write(move |core| {
            let waiting = core
                .store
                .runs
                .get(&run)
                .is_some_and(|r| r.status == "waiting");
            if !waiting && taken_out(Guard::MarkNotDelete) {
                core.store.locks.remove(&lock);
                return;
            }
            let Some(row) = core.store.locks.get_mut(&lock) else {
                return;
            };
            if row.fired.is_some() && once {
                return;
            }
            let reason = mark.reason.name();
            row.fired = Some(Fired {
                at,
                reason: reason.to_owned(),
                payload: mark.payload,
            });
            let row = row.clone();
            core.tell(|| {
                format!(
                    "n{} fires {} of {} by {reason}",
                    node.n,
                    row.path,
                    short(run)
                )
            });
            super::invariants::fired(core, lock, &row, mark.reason);
        });
    }
    tx.statement().await;
    let acquired = acquire(node, tx, &fired).await?;
    let node = node.clone();
    tx.after_commit(move || {
        let mut elsewhere = false;
        for run in fired {
            let here = acquired.iter().any(|a| a.0 == run) || node.drivers.nudge(run);
            elsewhere |= !here;
        }
        if elsewhere {
            node.sim.hint_fired(node.n);
        }
        let at = node.instant();
        for (run, epoch) in acquired {
            node.resume(run, epoch, at);
        }
    });
    Ok(())
}

/// The last digits of a run's id.
pub fn short(run: RunId) -> String {
    let text = run.to_string();
    text[text.len() - 4..].to_owned()
}

/// What became of a re-check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rechecked {
    Resumed,
    StillWaiting(Option<i64>),
    Inconclusive,
}

/// `waits::recheck`. `swept` only tells the checker who asked.
pub async fn recheck(
    node: &Node,
    tx: &mut Tx,
    locks: &[LockId],
) -> Result<HashMap<LockId, Rechecked>, Aborted> {
    let now = node.instant();
    tx.statement().await;
    let found: BTreeMap<LockId, Lock> = tx.see(|core| {
        let all = locks
            .iter()
            .filter_map(|id| Some((*id, core.store.locks.get(id)?.clone())));
        all.collect()
    });
    let mut answers = HashMap::new();
    let (mut marks, mut untils) = (Vec::new(), Vec::new());
    for (id, lock) in found {
        let over = tx.see(|core| core.store.runs.get(&lock.run).is_none_or(|r| !r.active()));
        if over {
            let run = lock.run;
            tx.write(move |core| core.store.locks.retain(|_, l| l.run != run));
            continue;
        }
        if lock.fired.is_some() {
            continue;
        }
        if lock.kind == "until" {
            untils.push((id, lock));
            continue;
        }
        let timeout = lock.timeout_at.map(Ts::from_millis);
        let answer = match decide::timer(&lock.kind, timeout, Ts::from_millis(now)) {
            Recheck::Fire(reason) => {
                marks.push(Mark {
                    run: lock.run,
                    lock: id,
                    reason,
                    payload: None,
                });
                Rechecked::Resumed
            }
            _ => Rechecked::StillWaiting(lock.timeout_at),
        };
        answers.insert(id, answer);
    }
    for (id, lock) in untils {
        let answer = match test(node, tx, &lock, now).await {
            (Recheck::Fire(reason), _) => {
                marks.push(Mark {
                    run: lock.run,
                    lock: id,
                    reason,
                    payload: None,
                });
                Rechecked::Resumed
            }
            (outcome, wanted) => {
                let armed = lock.next_check_at.map(Ts::from_millis);
                let at = Ts::from_millis(now);
                let (next, timer) = decide::look_again(outcome, armed, wanted, at);
                let new = next.filter(|_| timer);
                for (queue, job) in timer_jobs(lock.run, id, "until", None, new) {
                    tx.enqueue(queue, job);
                }
                tx.write(move |core| {
                    if let Some(l) = core.store.locks.get_mut(&id)
                        && l.fired.is_none()
                    {
                        l.checked_at = Some(now);
                        l.next_check_at = next.map(Ts::millis);
                    }
                });
                match outcome {
                    Recheck::Inconclusive => Rechecked::Inconclusive,
                    _ => Rechecked::StillWaiting(lock.timeout_at),
                }
            }
        };
        answers.insert(id, answer);
    }
    fire(node, tx, marks).await?;
    Ok(answers)
}

/// Program, scope and place of a waiting run.
struct Waiting {
    program: Arc<crate::automations::Program>,
    base: crate::walk::view::Base,
    locals: crate::walk::frame::Locals,
    automation: AutomationId,
}

fn load(core: &Core, lock: &Lock) -> Option<Waiting> {
    let run = core.store.runs.get(&lock.run)?;
    let state = core.store.states.get(&lock.run)?;
    let walk: Walk = serde_json::from_value(state.snapshot.clone()).ok()?;
    Some(Waiting {
        program: core.store.program(run.automation, run.version)?,
        base: base_of(run),
        locals: walk.locals(&lock.path),
        automation: run.automation,
    })
}

async fn test(node: &Node, tx: &mut Tx, lock: &Lock, now: i64) -> (Recheck, Option<Ts>) {
    let Some(wait) = tx.see(|core| load(core, lock)) else {
        return (Recheck::Still, None);
    };
    let live = node.live(&wait.program.wait_reads(&lock.path)).await;
    let now = Ts::from_millis(now);
    let view = View::of(&wait.base, &live, &wait.locals);
    let env = Env::new(node.sim.registries.filters(), now.timestamp());
    let tested = decide::test(&wait.program.actions, &lock.path, &view, &env);
    decide::outcome(
        tested,
        live.unresolved,
        lock.timeout_at.map(Ts::from_millis),
        now,
    )
}

/// `trigger` locks that an event with this key may end, in the order they were made.
pub fn awaiting(core: &Core, event: &str, key: Option<&str>) -> Vec<LockId> {
    let fits = |l: &Lock| {
        l.kind == "trigger" && l.fired.is_none() && l.event == event && l.key.as_deref() == key
    };
    let mut found: Vec<(i64, LockId)> = core
        .store
        .locks
        .iter()
        .filter(|(_, l)| fits(l))
        .map(|(id, l)| (l.created_at, *id))
        .collect();
    found.sort_unstable();
    found.into_iter().map(|(_, id)| id).collect()
}

/// `waits::event::wake`.
pub async fn wake(
    node: &Node,
    tx: &mut Tx,
    asks: &[(LockId, Arc<Occurrence>)],
) -> Result<HashMap<AutomationId, Vec<RunId>>, Aborted> {
    let mut woken: HashMap<AutomationId, Vec<RunId>> = HashMap::new();
    let mut marks = Vec::new();
    let mut fired = BTreeSet::new();
    tx.statement().await;
    for (id, occurrence) in asks {
        let found = tx.see(|core| {
            let lock = core.store.locks.get(id)?.clone();
            let active = core.store.runs.get(&lock.run).is_some_and(|r| r.active());
            let open = lock.kind == "trigger" && lock.fired.is_none() && active;
            if open {
                load(core, &lock).map(|w| (lock, w))
            } else {
                None
            }
        });
        let Some((lock, wait)) = found else { continue };
        if fired.contains(id) || !passes(node, &lock, &wait, occurrence).await {
            continue;
        }
        fired.insert(*id);
        woken.entry(wait.automation).or_default().push(lock.run);
        marks.push(Mark {
            run: lock.run,
            lock: *id,
            reason: FireReason::Event,
            payload: Some(Value::clone(&occurrence.payload)),
        });
    }
    fire(node, tx, marks).await?;
    Ok(woken)
}

async fn passes(node: &Node, lock: &Lock, wait: &Waiting, occurrence: &Occurrence) -> bool {
    let action = path::action(&wait.program.actions, &lock.path);
    let Some(CompiledKind::WaitForTrigger {
        filter: Some(filter),
        ..
    }) = action.map(|a| &a.kind)
    else {
        return true;
    };
    let live = node.live(&wait.program.wait_reads(&lock.path)).await;
    let mut base = wait.base.clone();
    base.trigger = Arc::new(trigger_scope(
        "wait",
        &occurrence.event,
        &occurrence.actor,
        &occurrence.payload,
    ));
    let view = View::of(&base, &live, &wait.locals);
    let env = Env::new(
        node.sim.registries.filters(),
        Ts::from_millis(node.instant()).timestamp(),
    );
    filter.test(&view, &env).unwrap_or(false)
}
