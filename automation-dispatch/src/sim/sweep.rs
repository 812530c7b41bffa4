//! The sweeper, queues of pending runs and cancelling, on the model store (`sweep`, `concurrency::queue`,
//! `cancel`).

use super::{
    commit::close_steps,
    dwell,
    exec::{Core, When},
    fire,
    node::{Node, acquire, base_of, head_of},
    store::{
        Lock,
        tx::{Aborted, Key, Tx},
    },
    waits,
};
use crate::{
    commit::Fence,
    concurrency::{Bucket, decide::bucket_key},
    fire::{Beginning, begin},
    guards::{Guard, taken_out},
};
use automation_core::{
    AutomationId, DwellId, LockId, RunId,
    definition::{ConcurrencyScope, Mode},
};
use plugin_api::Ts;
use std::{collections::HashSet, sync::Arc};

const RECHECK_MS: i64 = 5 * 60_000;

/// Sweeps for ever.
pub async fn run(node: Node) {
    loop {
        let at = {
            let core = node.sim.core();
            let states = core.store.states.iter();
            let others = states.filter(|(id, s)| {
                let running = core
                    .store
                    .runs
                    .get(id)
                    .is_some_and(|r| r.status == "running");
                running && s.owner.as_deref().is_some_and(|o| o != node.name)
            });
            let first = others.filter_map(|(_, s)| s.expires).min();
            let interval = core.now + 30_000;
            first.map_or(interval, |at| at.clamp(core.now + 1_000, interval))
        };
        node.sim.leaf(node.n, When::Hint(at)).await;
        cycle(&node).await;
    }
}

/// At start: what can be taken over at once.
pub async fn first(node: Node) {
    let _ = fired_locks(&node).await;
    let _ = queues(&node).await;
    let _ = stalled(&node).await;
}

async fn cycle(node: &Node) {
    let _ = expired_locks(node).await;
    let _ = fired_locks(node).await;
    let _ = queues(node).await;
    let _ = expired_dwells(node).await;
    let _ = stalled(node).await;
}

async fn expired_locks(node: &Node) -> Result<(), Aborted> {
    node.pause().await;
    let now = node.instant();
    let due: Vec<LockId> = {
        let mut core = node.sim.core();
        let late = |at: Option<i64>| at.is_some_and(|at| at <= now);
        let is_due = |l: &Lock| l.fired.is_none() && (late(l.timeout_at) || late(l.next_check_at));
        let forgotten = |l: &Lock| {
            l.kind == "until"
                && l.fired.is_none()
                && l.checked_at.is_some_and(|at| at <= now - RECHECK_MS)
                && !taken_out(Guard::PeriodicRecheck)
        };
        let all = core.store.locks.iter();
        let due: Vec<LockId> = all
            .filter(|(_, l)| is_due(l) || forgotten(l))
            .map(|(id, _)| *id)
            .collect();
        let late = due
            .iter()
            .filter_map(|id| core.store.locks.get(id)?.timeout_at)
            .min();
        if late.is_some_and(|at| at + super::invariants::PROMPT < now) {
            super::invariants::backstop(&mut core, "an expired lock");
        }
        due
    };
    for lock in due {
        let mut tx = Tx::begin(node, "sweep lock").await?;
        let answers = waits::recheck(node, &mut tx, &[lock]).await;
        let Ok(answers) = answers else { continue };
        if answers.get(&lock) == Some(&waits::Rechecked::Resumed) {
            tx.write(move |core| super::invariants::swept(core, lock));
        }
        let _ = tx.commit().await;
    }
    Ok(())
}

async fn fired_locks(node: &Node) -> Result<(), Aborted> {
    if taken_out(Guard::SweepFired) {
        return Ok(());
    }
    node.pause().await;
    let now = node.instant();
    let runs: HashSet<RunId> = {
        let mut core = node.sim.core();
        let free = |l: &&Lock| {
            core.store
                .states
                .get(&l.run)
                .is_some_and(|s| s.is_free(now))
        };
        let fired = core.store.locks.values().filter(|l| l.fired.is_some());
        let found: Vec<(RunId, i64)> = fired
            .filter(free)
            .map(|l| (l.run, l.fired.as_ref().map_or(0, |f| f.at)))
            .collect();
        if found.iter().any(|f| f.1 + super::invariants::PROMPT < now) {
            super::invariants::backstop(&mut core, "a fired lock without a driver");
        }
        found.into_iter().map(|f| f.0).collect()
    };
    take_over(node, runs).await
}

async fn take_over(node: &Node, runs: HashSet<RunId>) -> Result<(), Aborted> {
    if runs.is_empty() {
        return Ok(());
    }
    let mut runs: Vec<RunId> = runs.into_iter().collect();
    runs.sort_unstable();
    let mut tx = Tx::begin(node, "take over").await?;
    let at = node.instant();
    let acquired = acquire(node, &mut tx, &runs).await?;
    let node = node.clone();
    tx.after_commit(move || {
        for (run, epoch) in acquired {
            node.resume(run, epoch, at);
        }
    });
    tx.commit().await
}

async fn expired_dwells(node: &Node) -> Result<(), Aborted> {
    node.pause().await;
    let now = node.instant();
    let due: Vec<DwellId> = {
        let mut core = node.sim.core();
        let due: Vec<(DwellId, i64)> = core
            .store
            .dwells
            .iter()
            .filter(|(_, d)| d.fire_at <= now)
            .map(|(id, d)| (*id, d.fire_at))
            .collect();
        if due.iter().any(|d| d.1 + super::invariants::PROMPT < now) {
            super::invariants::backstop(&mut core, "an expired dwell");
        }
        due.into_iter().map(|d| d.0).collect()
    };
    for id in due {
        let mut tx = Tx::begin(node, "sweep dwell").await?;
        if dwell::expire(node, &mut tx, &[id]).await.is_ok() {
            let _ = tx.commit().await;
        }
    }
    Ok(())
}

async fn stalled(node: &Node) -> Result<(), Aborted> {
    if taken_out(Guard::SweepStalled) {
        return Ok(());
    }
    node.pause().await;
    let now = node.instant();
    let runs: HashSet<RunId> = {
        let mut core = node.sim.core();
        let stateless: Vec<RunId> = {
            let gone = |id: &RunId| !core.store.states.contains_key(id);
            let old =
                core.store.runs.iter().filter(|(_, r)| {
                    r.status == "running" && r.started_at <= now - super::LEASE_MS
                });
            old.map(|(id, _)| *id).filter(gone).collect()
        };
        for id in stateless {
            core.broken(format!("9.2: the run {id} has no state row"));
        }
        let free = |id: &RunId| core.store.states.get(id).is_some_and(|s| s.is_free(now));
        let running = core
            .store
            .runs
            .iter()
            .filter(|(_, r)| r.status == "running");
        running.map(|(id, _)| *id).filter(free).collect()
    };
    take_over(node, runs).await
}

/// `queue::ended`.
pub fn ended(node: &Node, automation: AutomationId) {
    let queued = {
        let core = node.sim.core();
        let row = core.store.automations.get(&automation);
        row.is_some_and(|r| r.current.program.definition.mode == Mode::Queued)
    };
    if queued {
        let node2 = node.clone();
        node.sim.spawn(
            node.n,
            Box::pin(async move {
                let _ = advance(&node2, automation).await;
            }),
        );
    }
}

async fn queues(node: &Node) -> Result<(), Aborted> {
    if taken_out(Guard::SweepQueues) {
        return Ok(());
    }
    node.pause().await;
    let waiting: HashSet<AutomationId> = {
        let core = node.sim.core();
        let pending = core.store.runs.values().filter(|r| r.status == "pending");
        pending.map(|r| r.automation).collect()
    };
    let mut waiting: Vec<AutomationId> = waiting.into_iter().collect();
    waiting.sort_unstable();
    for automation in waiting {
        let _ = advance(node, automation).await;
    }
    Ok(())
}

struct Head {
    id: RunId,
    run: super::store::Run,
    section: String,
    bucket: Bucket,
    program: Arc<crate::automations::Program>,
}

/// `queue::heads`.
fn heads(core: &Core, automation: AutomationId) -> Vec<Head> {
    let mine = core
        .store
        .runs
        .iter()
        .filter(|(_, r)| r.automation == automation && r.status == "pending");
    let mut pending: Vec<(i64, RunId)> = mine.map(|(id, r)| (r.started_at, *id)).collect();
    pending.sort_unstable();
    let mut heads: Vec<Head> = Vec::new();
    for (_, id) in pending {
        let run = core.store.runs[&id].clone();
        let Some(program) = core.store.program(automation, run.version) else {
            continue;
        };
        let scope = program.definition.concurrency_scope;
        let section = bucket_key(automation, scope, run.context_key.as_deref());
        if heads.iter().all(|h| h.section != section) {
            let context_key = match scope {
                ConcurrencyScope::Automation => None,
                ConcurrencyScope::ContextKey => Some(run.context_key.clone()),
            };
            let bucket = Bucket {
                automation,
                context_key,
            };
            heads.push(Head {
                id,
                run,
                section,
                bucket,
                program,
            });
        }
    }
    heads
}

/// `queue::advance`.
pub async fn advance(node: &Node, automation: AutomationId) -> Result<(), Aborted> {
    let mut tx = Tx::begin(node, "advance").await?;
    let mut sections: Vec<String> = tx
        .see(|core| heads(core, automation))
        .into_iter()
        .map(|h| h.section)
        .collect();
    if sections.is_empty() {
        return Ok(());
    }
    sections.sort();
    for section in &sections {
        if !taken_out(Guard::BucketLock) {
            tx.lock(Key::Section(section.clone())).await?;
        }
    }
    tx.statement().await;
    let mut first = tx.see(|core| heads(core, automation));
    first.retain(|h| sections.contains(&h.section));
    tx.statement().await;
    let mut begun = Vec::new();
    let now = Ts::from_millis(node.instant());
    for Head {
        id,
        mut run,
        bucket,
        program,
        ..
    } in first
    {
        if tx.see(|core| fire::occupancy(core, &bucket).walking) > 0 {
            continue;
        }
        run.started_at = now.millis();
        let mut base = base_of(&run);
        base.live = node.live(&program.reads.run).await;
        let new = Beginning {
            head: head_of(id, &run),
            fence: Fence::Turn(now),
            program,
            base,
        };
        begun.push(begin(&**node, now, new));
    }
    fire::launch(node, &mut tx, now, begun).await?;
    tx.commit().await
}

/// `cancel::cancel_in`.
pub async fn cancel(
    node: &Node,
    tx: &mut Tx,
    runs: &[RunId],
    code: &'static str,
) -> Result<(), Aborted> {
    let mut runs = runs.to_vec();
    runs.sort_unstable();
    for run in &runs {
        tx.lock(Key::State(*run)).await?;
    }
    tx.statement().await;
    let mut gone = Vec::new();
    for id in runs {
        tx.lock(Key::Run(id)).await?;
        let active = tx.see(|core| {
            core.store
                .runs
                .get(&id)
                .is_some_and(|r| r.active() || taken_out(Guard::ConditionalStatus))
        });
        if !active {
            continue;
        }
        let automation = tx.see(|core| core.store.runs.get(&id).map(|r| r.automation));
        gone.extend(automation.map(|a| (id, a)));
        let at = node.instant();
        tx.write(move |core| {
            let Some(row) = core.store.runs.get_mut(&id) else {
                return;
            };
            row.status = "cancelled".to_owned();
            row.error = Some(code.to_owned());
            row.finished_at = Some(at);
            core.store.locks.retain(|_, l| l.run != id);
            if !taken_out(Guard::CancelTakesState) {
                core.store.states.remove(&id);
            }
            close_steps(core, id, "skipped", "run_cancelled");
            core.tell(|| format!("cancelled {} ({code})", waits::short(id)));
        });
    }
    let node = node.clone();
    tx.after_commit(move || {
        for (run, automation) in gone {
            node.drivers.stop(run);
            ended(&node, automation);
        }
    });
    Ok(())
}
