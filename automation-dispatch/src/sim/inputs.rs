//! What is injected into a schedule: what the world outside does, and what goes wrong.

use super::{
    Sim,
    exec::Core,
    stage::{self, HOOK},
    store::tx::{CommitFault, Tx},
    sweep, world,
};
use crate::automations::Automation;
use automation_core::{AutomationId, RunId};
use automation_entity::EntityChanged;
use plugin_api::{Actor, Cause, Ts, queue::NewJob};
use serde_json::{Value, json};
use std::sync::Arc;

/// One injected thing.
#[derive(Clone, Debug)]
pub struct Item {
    /// When, in virtual milliseconds.
    pub at: i64,
    /// What.
    pub what: What,
}

/// What is injected.
#[derive(Clone, Debug)]
pub enum What {
    /// An entity changes its status.
    Change(String, String),
    /// The same, and what tells of it is lost.
    LostChange(String, String),
    /// A hook is emitted.
    Emit(String, Option<String>, i64),
    /// An automation gets another definition.
    Edit(usize, Box<Value>),
    /// It is disabled.
    Disable(usize),
    /// It is enabled.
    Enable(usize),
    /// It is deleted.
    Delete(usize),
    /// An operator cancels one of the active runs.
    Cancel(usize),
    /// Somebody starts one by hand.
    Manual(usize, Option<String>),
    /// A node dies and comes back after so long.
    Crash(usize, i64),
    /// A node stands still.
    Pause(usize, i64),
    /// Readers of live state fail.
    ReadersFail(i64),
    /// The next commit but `0` meets this.
    Commit(u32, CommitFault),
    /// A job that was done comes again.
    Redeliver(usize),
    /// The next timer is lost.
    LoseTimer,
    /// Jobs come late.
    SlowJobs(i64),
}

/// What is still to come, and faults in force.
#[derive(Default)]
pub struct Plan {
    items: std::collections::VecDeque<Item>,
    faults: Vec<(u32, CommitFault)>,
    readers_until: i64,
    slow_until: i64,
    lose: u32,
    late: i64,
}

impl Plan {
    pub fn set(&mut self, items: Vec<Item>) {
        self.items = items.into();
    }
    pub fn next_at(&self) -> Option<i64> {
        self.items.front().map(|i| i.at)
    }
    pub fn readers_fail(&self, now: i64) -> bool {
        now < self.readers_until
    }
    /// Told at every commit.
    pub fn commit_fault(&mut self) -> Option<CommitFault> {
        let mut hit = None;
        self.faults.retain_mut(|(left, fault)| {
            if *left == 0 && hit.is_none() {
                hit = Some(*fault);
                return false;
            }
            *left = left.saturating_sub(1);
            true
        });
        hit
    }
    pub fn lose(&mut self, queue: &str) -> bool {
        let timer = queue != HOOK && queue != crate::stage::QUEUE;
        if timer && self.lose > 0 {
            self.lose -= 1;
            return true;
        }
        false
    }
    pub fn delay(&self) -> i64 {
        self.late
    }
    pub fn heal(&mut self) {
        *self = Plan::default();
    }
}

/// Lets everything happen whose time has come.
pub fn due(sim: &Arc<Sim>) {
    loop {
        let (restart, item) = {
            let mut core = sim.core();
            let now = core.now;
            if now >= core.store.plan.slow_until {
                core.store.plan.late = 0;
            } else {
                core.store.plan.late = core.rng.range(0, 5_000);
            }
            let at = core.store.restarts.iter().position(|r| r.0 <= now);
            let restart = at.map(|i| core.store.restarts.remove(i).1);
            let plan = &mut core.store.plan;
            let next = plan.items.front().is_some_and(|i| i.at <= now);
            (
                restart,
                if next && restart.is_none() {
                    plan.items.pop_front()
                } else {
                    None
                },
            )
        };
        match (restart, item) {
            (Some(n), _) => sim.boot(n),
            (None, Some(item)) => happen(sim, item.what),
            (None, None) => return,
        }
    }
}

/// An entity changes: one commit with its change.
pub fn change(
    core: &mut Core,
    change_id: uuid::Uuid,
    id: &str,
    status: &str,
    cause: Option<Cause>,
) {
    let now = core.now;
    let Some(thing) = core.store.things.get_mut(id) else {
        return;
    };
    if thing.status == status {
        return;
    }
    let before = std::mem::replace(&mut thing.status, status.to_owned());
    thing.history.push((now, status.to_owned()));
    let change = EntityChanged {
        kind: "thing".to_owned(),
        id: id.to_owned(),
        prev: Some(json!({"status": before})),
        next: Some(json!({"status": status})),
        delta: json!({"status": status}),
        changed_fields: vec!["status".to_owned()],
        actor: Actor::system(),
        occurred_at: Ts::from_millis(now),
        change_id,
        cause,
    };
    for event in stage::derive(&change) {
        core.store
            .memory
            .occurrences
            .push((now, event, Some(id.to_owned())));
    }
    let number = core.number();
    core.tell(|| format!("{id} is {status}"));
    core.store.outbox.insert(number, change);
}

fn automation(sim: &Sim, at: usize) -> Option<AutomationId> {
    let core = sim.core();
    let all = &core.store.memory.automations;
    let id = all.get(at % all.len().max(1)).copied()?;
    core.store.automations.contains_key(&id).then_some(id)
}

fn happen(sim: &Arc<Sim>, what: What) {
    sim.core()
        .tell(|| format!("* {what:?}").chars().take(200).collect());
    match what {
        What::Change(id, status) => change(&mut sim.core(), sim.uuid(), &id, &status, None),
        What::LostChange(id, status) => {
            let mut core = sim.core();
            let (seen, last) = (
                core.store.memory.occurrences.len(),
                core.store.outbox.keys().last().copied(),
            );
            change(&mut core, sim.uuid(), &id, &status, None);
            core.store.memory.occurrences.truncate(seen);
            let added = core.store.outbox.keys().last().copied();
            if let Some(added) = added.filter(|_| added != last) {
                core.store.outbox.remove(&added);
            }
        }
        What::Emit(event, key, n) => {
            let id = sim.uuid();
            let mut core = sim.core();
            let now = core.now;
            core.store
                .memory
                .occurrences
                .push((now, event.clone(), key.clone()));
            let data = json!({"event": event, "key": key, "n": n, "id": id, "at": now});
            core.enqueue(HOOK, NewJob::new(data).id(id.to_string()));
        }
        What::Edit(at, definition) => {
            let Some(id) = automation(sim, at) else {
                return;
            };
            let mut core = sim.core();
            let Some(row) = core.store.automations.get_mut(&id) else {
                return;
            };
            let version = row.current.version + 1;
            let mut definition = *definition;
            super::generate::tag(&mut definition, version);
            let program = world::compile(&sim.registries, &definition);
            row.versions.insert(version, program.clone());
            row.current = Arc::new(Automation {
                id,
                enabled: row.current.enabled,
                version,
                program,
            });
        }
        What::Enable(at) => enable(sim, at, true),
        What::Disable(at) => {
            enable(sim, at, false);
            let Some(id) = automation(sim, at) else {
                return;
            };
            // As whoever notices first does: dwells go, pending runs are cancelled.
            by_somebody(
                sim,
                at,
                Some(id),
                move |core| {
                    let pending = core
                        .store
                        .runs
                        .iter()
                        .filter(|(_, r)| r.automation == id && r.status == "pending");
                    pending.map(|(id, _)| *id).collect()
                },
                "automation_disabled",
            );
        }
        What::Delete(at) => {
            let Some(id) = automation(sim, at) else {
                return;
            };
            let mut core = sim.core();
            core.store.delete_automation(id);
            core.store.deletions += 1;
        }
        What::Cancel(at) => by_somebody(
            sim,
            at,
            None,
            move |core| {
                let active: Vec<RunId> = core
                    .store
                    .runs
                    .iter()
                    .filter(|(_, r)| r.active())
                    .map(|(id, _)| *id)
                    .collect();
                active
                    .get(at % active.len().max(1))
                    .copied()
                    .into_iter()
                    .collect()
            },
            "cancelled_by_operator",
        ),
        What::Manual(at, key) => manual(sim, at, key),
        What::Crash(n, down) => {
            let n = busy(sim, n);
            sim.crash(n, Some(down));
        }
        What::Pause(n, ms) => {
            let n = busy(sim, n);
            let mut core = sim.core();
            let now = core.now;
            core.nodes[n].paused_until = now + ms;
            core.store.memory.disturbed(n, now);
        }
        What::ReadersFail(ms) => {
            let mut core = sim.core();
            core.store.plan.readers_until = core.now + ms;
        }
        What::Commit(after, fault) => sim.core().store.plan.faults.push((after, fault)),
        What::Redeliver(at) => {
            let mut core = sim.core();
            let done = core.store.done.len();
            if done > 0 {
                let mut job = core.store.done[at % done].clone();
                job.run_at = core.now;
                let number = core.number();
                core.store.jobs.insert(number, job);
            }
        }
        What::LoseTimer => sim.core().store.plan.lose += 1,
        What::SlowJobs(ms) => {
            let mut core = sim.core();
            core.store.plan.slow_until = core.now + ms;
        }
    }
}

/// Trouble hits where something is going on.
fn busy(sim: &Sim, n: usize) -> usize {
    let count = sim.core().nodes.len();
    let processes = sim.processes.lock().expect("processes");
    let drives = |n: &usize| {
        processes[*n]
            .as_ref()
            .is_some_and(|p| p.drivers.count() > 0)
    };
    (0..count)
        .map(|i| (n + i) % count)
        .find(drives)
        .unwrap_or(n % count)
}

fn enable(sim: &Arc<Sim>, at: usize, enabled: bool) {
    let Some(id) = automation(sim, at) else {
        return;
    };
    let mut core = sim.core();
    let Some(row) = core.store.automations.get_mut(&id) else {
        return;
    };
    let now = &row.current;
    row.current = Arc::new(Automation {
        id,
        enabled,
        version: now.version,
        program: now.program.clone(),
    });
}

/// Cancels runs from a node that is up.
fn by_somebody(
    sim: &Arc<Sim>,
    at: usize,
    disarm: Option<AutomationId>,
    which: impl FnOnce(&mut Core) -> Vec<RunId> + Send + 'static,
    code: &'static str,
) {
    let Some(node) = sim.any_node(at) else { return };
    let node2 = node.clone();
    sim.spawn(
        node.n,
        Box::pin(async move {
            let Ok(mut tx) = Tx::begin(&node2, "cancel").await else {
                return;
            };
            if let Some(id) = disarm
                && super::dwell::disarm(&mut tx, id).await.is_err()
            {
                return;
            }
            let runs = tx.see(which);
            if sweep::cancel(&node2, &mut tx, &runs, code).await.is_ok() {
                let _ = tx.commit().await;
            }
        }),
    );
}

fn manual(sim: &Arc<Sim>, at: usize, key: Option<String>) {
    let (Some(id), Some(node)) = (automation(sim, at), sim.any_node(at)) else {
        return;
    };
    let Some(automation) = sim
        .core()
        .store
        .automations
        .get(&id)
        .map(|r| r.current.clone())
    else {
        return;
    };
    let trigger = &automation.program.triggers[0];
    let payload = Arc::new(json!({"n": 1}));
    let candidate = crate::fire::Candidate {
        trigger_id: trigger.id.clone(),
        event: trigger.event.clone(),
        base: crate::walk::view::Base {
            trigger: Arc::new(crate::fire::trigger_scope(
                &trigger.id,
                &trigger.event,
                &Actor::system(),
                &payload,
            )),
            now: Arc::default(),
            live: crate::walk::view::Live::none(),
        },
        payload,
        actor: Actor::system(),
        context_key: key,
        occurrence: sim.uuid().to_string(),
        cause: None,
        cooldown_ms: None,
        dedup_key: None,
        ledger: None,
        gated: false,
        automation: automation.clone(),
    };
    let node2 = node.clone();
    sim.spawn(
        node.n,
        Box::pin(async move {
            let Ok(mut tx) = Tx::begin(&node2, "manual").await else {
                return;
            };
            if super::fire::start(&node2, &mut tx, vec![candidate])
                .await
                .is_ok()
            {
                let _ = tx.commit().await;
            }
        }),
    );
}
