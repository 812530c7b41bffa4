//! The loops of a node that take rows and jobs: router, stage 2, timers and emissions (`stage/`).

use super::{
    Sim, dwell,
    exec::When,
    fire,
    node::{self, Node},
    store::tx::{Aborted, Key, Tx},
    sweep,
    waits::{self, Rechecked},
};
use crate::{
    commit::build::{DELAY_QUEUE, TIMEOUT_QUEUE},
    fire::{Firing, Occurrence, firings},
    guards::{Guard, taken_out},
    stage::{DispatchJob, QUEUE},
};
use automation_core::{AutomationId, DwellId, LockId, RunId};
use automation_entity::EntityChanged;
use plugin_api::{Actor, Ts};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{collections::HashMap, sync::Arc};

/// Automations of one job: few, so that there are several jobs.
const TOGETHER: usize = 2;
/// Emissions of the hook, one job each.
pub const HOOK: &str = "hook";

/// Starts the loops of a process.
pub fn start(sim: &Arc<Sim>, node: &Node) {
    let n = node.n;
    sim.spawn(n, Box::pin(sweep::first(node.clone())));
    sim.spawn(n, Box::pin(router(node.clone())));
    sim.spawn(n, Box::pin(consume(node.clone(), QUEUE)));
    sim.spawn(n, Box::pin(consume(node.clone(), DELAY_QUEUE)));
    sim.spawn(n, Box::pin(consume(node.clone(), TIMEOUT_QUEUE)));
    sim.spawn(n, Box::pin(consume(node.clone(), crate::dwell::QUEUE)));
    sim.spawn(n, Box::pin(emissions(node.clone())));
    sim.spawn(n, Box::pin(node::renew(node.clone())));
    sim.spawn(n, Box::pin(sweep::run(node.clone())));
}

/// Events that a change leads to.
pub fn derive(change: &EntityChanged) -> Vec<String> {
    let status = change.next_field("status").and_then(Value::as_str);
    status
        .map(|s| vec![format!("test.thing_{s}"), "test.thing_changed".to_owned()])
        .unwrap_or_default()
}

async fn router(node: Node) {
    loop {
        node.sim.leaf(node.n, When::Outbox).await;
        let _ = route(&node).await;
    }
}

/// `stage::Router::route`.
async fn route(node: &Node) -> Result<(), Aborted> {
    let mut tx = Tx::begin(node, "route").await?;
    let ids: Vec<u64> = tx.see(|core| {
        let most = 1 + core.rng.below(3);
        let free = core
            .store
            .outbox
            .keys()
            .filter(|id| !core.store.is_locked(&Key::Change(**id)));
        free.copied().take(most).collect()
    });
    let mut changes = Vec::new();
    for id in ids {
        if tx.try_lock(Key::Change(id))
            && let Some(change) = tx.see(|core| core.store.outbox.get(&id).cloned())
        {
            changes.push((id, change));
        }
    }
    let mut jobs = Vec::new();
    for (_, change) in &changes {
        let entity = change.entity_ref();
        tx.statement().await;
        let woken: Vec<(LockId, RunId)> = tx.see(|core| {
            let any = format!("{}:*", change.kind);
            let fits = |l: &super::store::Lock| {
                l.kind == "until"
                    && l.fired.is_none()
                    && (l.refs.contains(&entity) || l.refs.contains(&any))
            };
            core.store
                .locks
                .iter()
                .filter(|(_, l)| fits(l))
                .map(|(id, l)| (*id, l.run))
                .collect()
        });
        for (lock, run) in woken {
            jobs.push((
                change,
                DispatchJob::Wake {
                    run_id: run,
                    wait_lock_id: lock,
                    entity_ref: entity.clone(),
                    changed: change.clone(),
                },
            ));
        }
        for event in derive(change) {
            tx.statement().await;
            let waiting: Vec<LockId> =
                tx.see(|core| waits::awaiting(core, &event, Some(&change.id)));
            for lock in waiting {
                let run = tx.see(|core| core.store.locks.get(&lock).map(|l| l.run));
                if let (Some(run), false) = (run, taken_out(Guard::EntityEventsWake)) {
                    jobs.push((
                        change,
                        DispatchJob::EventWake {
                            run_id: run,
                            wait_lock_id: lock,
                            event_id: event.clone(),
                            entity_ref: entity.clone(),
                            changed: change.clone(),
                        },
                    ));
                }
            }
            tx.statement().await;
            for together in tx.see(|core| core.store.for_event(&event)).chunks(TOGETHER) {
                jobs.push((
                    change,
                    DispatchJob::Trigger {
                        automation_ids: together.iter().map(|a| a.id).collect(),
                        event_id: event.clone(),
                        entity_ref: entity.clone(),
                        changed: change.clone(),
                        woken: false,
                    },
                ));
            }
        }
        tx.statement().await;
        if tx.see(|core| {
            core.store
                .dwells
                .values()
                .any(|d| d.key.as_deref() == Some(&change.id))
        }) {
            jobs.push((
                change,
                DispatchJob::InverseCancel {
                    context_key: change.id.clone(),
                },
            ));
        }
    }
    for (change, job) in jobs {
        let mut new = job.enqueue(change.change_id).expect("a job");
        if taken_out(Guard::ChangeInJobId)
            && let DispatchJob::Wake {
                wait_lock_id,
                entity_ref,
                ..
            } = &job
        {
            new.job_id = Some(format!("wake:{wait_lock_id}:{entity_ref}"));
        }
        tx.enqueue(QUEUE, new);
    }
    let ids: Vec<u64> = changes.iter().map(|c| c.0).collect();
    tx.write(move |core| core.store.outbox.retain(|id, _| !ids.contains(id)));
    tx.commit().await
}

/// What a handler says of a job.
enum Said {
    Done,
    At(i64),
    Retry,
}

async fn consume(node: Node, queue: &'static str) {
    loop {
        node.sim.leaf(node.n, When::Job(queue)).await;
        let mut claimed = Vec::new();
        if handle(&node, queue, &mut claimed).await.is_err() {
            // Rolled back: again a little later.
            let mut core = node.sim.core();
            let at = core.now + 1_000;
            for id in claimed {
                if let Some(job) = core.store.jobs.get_mut(&id) {
                    job.run_at = at;
                }
            }
        }
    }
}

async fn handle(node: &Node, queue: &'static str, claimed: &mut Vec<u64>) -> Result<(), Aborted> {
    let mut tx = Tx::begin(node, queue).await?;
    let ids: Vec<u64> = tx.see(|core| {
        let due: Vec<u64> = core.store.due_jobs(queue, core.now).collect();
        let most = 1 + core.rng.below(3);
        let first = core.rng.below(due.len().max(1));
        due.into_iter().skip(first).take(most).collect()
    });
    let mut jobs = Vec::new();
    for id in ids {
        if tx.try_lock(Key::Job(id))
            && let Some(job) = tx.see(|core| core.store.jobs.get(&id).cloned())
        {
            claimed.push(id);
            jobs.push((id, (job.data, job.enqueued_at)));
        }
    }
    if jobs.is_empty() {
        return Ok(());
    }
    let (data, since): (Vec<Value>, Vec<i64>) = jobs.iter().map(|j| j.1.clone()).unzip();
    let said = match queue {
        QUEUE => stage2(node, &mut tx, &data, &since).await?,
        crate::dwell::QUEUE => dwells(node, &mut tx, &data).await?,
        _ => timers(node, &mut tx, &data).await?,
    };
    for ((id, _), said) in jobs.into_iter().zip(said) {
        tx.write(move |core| {
            let Some(mut job) = core.store.jobs.remove(&id) else {
                return;
            };
            match said {
                Said::Done => core.store.done.push(job),
                Said::At(at) => {
                    job.run_at = at.max(core.now + 1);
                    core.store.jobs.insert(id, job);
                }
                Said::Retry if job.attempts < 3 => {
                    job.attempts += 1;
                    job.run_at = core.now + (1_000 << (job.attempts - 1));
                    core.store.jobs.insert(id, job);
                }
                Said::Retry => core.tell(|| format!("dead letter {}", job.job_id)),
            }
        });
    }
    tx.commit().await
}

/// `stage::Stage2::handle`.
async fn stage2(
    node: &Node,
    tx: &mut Tx,
    jobs: &[Value],
    since: &[i64],
) -> Result<Vec<Said>, Aborted> {
    let mut said: Vec<Said> = jobs.iter().map(|_| Said::Done).collect();
    let mut triggers = Vec::new();
    let mut asks: Vec<(LockId, Arc<Occurrence>)> = Vec::new();
    let mut wakes: Vec<(usize, LockId)> = Vec::new();
    let mut keys = Vec::new();
    tx.statement().await;
    for (at, job) in jobs.iter().enumerate() {
        match DispatchJob::deserialize(job).expect("a dispatch job") {
            DispatchJob::Trigger {
                automation_ids,
                event_id,
                changed,
                woken,
                ..
            } => {
                let occurrence = of_change(event_id, changed);
                let enabled = tx.see(|core| {
                    let enabled = automation_ids
                        .iter()
                        .filter_map(|id| core.store.enabled(*id));
                    enabled.collect::<Vec<_>>()
                });
                let until = (!woken).then_some(since[at]);
                triggers.extend(
                    enabled
                        .into_iter()
                        .map(|a| (at, until, a, occurrence.clone())),
                );
            }
            DispatchJob::Wake { wait_lock_id, .. } => wakes.push((at, wait_lock_id)),
            DispatchJob::EventWake {
                wait_lock_id,
                event_id,
                changed,
                ..
            } => {
                asks.push((wait_lock_id, of_change(event_id, changed)));
            }
            DispatchJob::InverseCancel { context_key } => keys.push(context_key),
        }
    }
    for (_, until, automation, occurrence) in &triggers {
        let Some(until) = until else { continue };
        tx.statement().await;
        if taken_out(Guard::EntityEventsWake) {
            break;
        }
        let own: Vec<LockId> = tx.see(|core| {
            let all = waits::awaiting(core, &occurrence.event, occurrence.context_key.as_deref());
            let mine = |l: &LockId| {
                let lock = core.store.locks.get(l).filter(|l| l.created_at <= *until);
                let run = lock.and_then(|l| core.store.runs.get(&l.run));
                run.is_some_and(|r| r.automation == automation.id)
            };
            all.into_iter().filter(mine).collect()
        });
        asks.extend(own.into_iter().map(|l| (l, occurrence.clone())));
    }
    let woken = waits::wake(node, tx, &asks).await?;
    let now = Ts::from_millis(node.instant());
    let mut all: Vec<Firing> = Vec::new();
    for (at, _, automation, occurrence) in triggers {
        if woken.contains_key(&automation.id)
            || node.settling.is_busy(automation.id, &node.drivers, now)
        {
            let later = DispatchJob::put_off(&jobs[at], &[automation.id]);
            tx.enqueue(QUEUE, later.at(now.plus_millis(20)));
        } else {
            all.extend(firings(&automation, &occurrence));
        }
    }
    settle(node, tx, woken);
    fire::fire(node, tx, &all).await?;
    let locks: Vec<LockId> = wakes.iter().map(|w| w.1).collect();
    let answers = waits::recheck(node, tx, &locks).await?;
    for (at, lock) in wakes {
        if answers.get(&lock) == Some(&Rechecked::Inconclusive) {
            said[at] = Said::Retry;
        }
    }
    keys.sort();
    keys.dedup();
    for key in keys {
        dwell::inverse_cancel(node, tx, &key).await?;
    }
    Ok(said)
}

fn settle(node: &Node, tx: &mut Tx, woken: HashMap<AutomationId, Vec<RunId>>) {
    let node = node.clone();
    tx.after_commit(move || node.settling.woken(Ts::from_millis(node.instant()), &woken));
}

fn of_change(event: String, changed: EntityChanged) -> Arc<Occurrence> {
    Arc::new(Occurrence {
        id: changed.change_id.to_string(),
        at: changed.occurred_at,
        event,
        payload: Arc::new(
            json!({"id": changed.id, "status": changed.next_field("status"), "list": [1]}),
        ),
        actor: changed.actor,
        context_key: Some(changed.id.clone()),
        entity: Some((changed.kind, changed.id)),
        cause: changed.cause,
    })
}

/// `waits::timers`.
async fn timers(node: &Node, tx: &mut Tx, jobs: &[Value]) -> Result<Vec<Said>, Aborted> {
    let parse = |j: &Value| {
        j["waitLockId"]
            .as_str()
            .and_then(|t| t.parse().ok())
            .expect("a lock")
    };
    let locks: Vec<LockId> = jobs.iter().map(parse).collect();
    let answers = waits::recheck(node, tx, &locks).await?;
    let now = node.instant();
    Ok(locks
        .iter()
        .map(|lock| match answers.get(lock) {
            Some(Rechecked::StillWaiting(Some(at))) if *at > now => Said::At(*at),
            Some(Rechecked::Inconclusive) => Said::Retry,
            _ => Said::Done,
        })
        .collect())
}

async fn dwells(node: &Node, tx: &mut Tx, jobs: &[Value]) -> Result<Vec<Said>, Aborted> {
    let parse = |j: &Value| {
        j["dwellId"]
            .as_str()
            .and_then(|t| t.parse().ok())
            .expect("a dwell")
    };
    let ids: Vec<DwellId> = jobs.iter().map(parse).collect();
    let outcomes = dwell::expire(node, tx, &ids).await?;
    Ok(outcomes
        .into_iter()
        .map(|o| o.map_or(Said::Done, Said::At))
        .collect())
}

/// Emissions are leased: one whose node dies comes again when the lease is over.
async fn emissions(node: Node) {
    loop {
        node.sim.leaf(node.n, When::Job(HOOK)).await;
        let job = {
            let mut core = node.sim.core();
            let (now, due) = (core.now, core.store.due_jobs(HOOK, core.now).next());
            due.and_then(|id| {
                let job = core.store.jobs.get_mut(&id)?;
                job.run_at = now + 60_000;
                Some((id, job.data.clone()))
            })
        };
        let Some((id, data)) = job else { continue };
        let done = emission(&node, &data).await.is_ok();
        let mut core = node.sim.core();
        let at = core.now + 1_000;
        if done {
            if let Some(job) = core.store.jobs.remove(&id) {
                core.store.done.push(job);
            }
        } else if let Some(job) = core.store.jobs.get_mut(&id) {
            job.run_at = at;
        }
    }
}

/// `stage::Emissions::handle`.
async fn emission(node: &Node, data: &Value) -> Result<(), Aborted> {
    let key = data["key"].as_str().map(str::to_owned);
    let occurrence = Arc::new(Occurrence {
        id: data["id"].as_str().expect("an id").to_owned(),
        at: Ts::from_millis(data["at"].as_i64().expect("an instant")),
        event: data["event"].as_str().expect("an event").to_owned(),
        payload: Arc::new(json!({"id": key, "n": data["n"], "list": [1, 2]})),
        actor: Actor::system(),
        context_key: key.clone(),
        entity: None,
        cause: None,
    });
    let mut tx = Tx::begin(node, "wake waiting").await?;
    let locks = tx.see(|core| waits::awaiting(core, &occurrence.event, key.as_deref()));
    if !locks.is_empty() {
        let asks: Vec<_> = locks.into_iter().map(|l| (l, occurrence.clone())).collect();
        let woken = waits::wake(node, &mut tx, &asks).await?;
        let automations: Vec<AutomationId> = woken.keys().copied().collect();
        settle(node, &mut tx, woken);
        tx.commit().await?;
        for automation in automations {
            let busy = || {
                node.settling
                    .is_busy(automation, &node.drivers, Ts::from_millis(node.instant()))
            };
            while busy() {
                let at = node.sim.core().now + 100;
                node.sim.leaf(node.n, When::At(at)).await;
            }
        }
    } else {
        drop(tx);
    }
    let automations = node.sim.core().store.for_event(&occurrence.event);
    let all: Vec<Firing> = automations
        .iter()
        .flat_map(|a| firings(a, &occurrence))
        .collect();
    let fired = isolated(node, &all).await;
    if let Some(key) = key {
        let mut tx = Tx::begin(node, "inverse").await?;
        dwell::inverse_cancel(node, &mut tx, &key).await?;
        tx.commit().await?;
    }
    fired
}

/// `stage::fire_isolated`.
async fn isolated(node: &Node, all: &[Firing]) -> Result<(), Aborted> {
    if all.is_empty() || fire_in_tx(node, all).await.is_ok() {
        return Ok(());
    }
    let mut last = Ok(());
    for one in all.chunk_by(|a, b| a.automation.id == b.automation.id) {
        if let Err(error) = fire_in_tx(node, one).await {
            last = Err(error);
        }
    }
    last
}

async fn fire_in_tx(node: &Node, all: &[Firing]) -> Result<(), Aborted> {
    let mut tx = Tx::begin(node, "fire").await?;
    fire::fire(node, &mut tx, all).await?;
    tx.commit().await
}
