//! The model of the database: every table the engine works with, as a map, and the conditions of its
//! statements as plain code.

pub mod tx;

use crate::automations::{Automation, Program};
use automation_core::{AutomationId, DwellId, LockId, RunId, StepId};
use automation_entity::EntityChanged;
use plugin_api::{Cause, Ts};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tx::Key;

/// `automation_runs`.
#[derive(Clone, Debug)]
pub struct Run {
    pub automation: AutomationId,
    pub trigger: String,
    pub event: String,
    pub payload: Arc<Value>,
    pub actor: Value,
    pub context_key: Option<String>,
    pub status: String,
    pub error: Option<String>,
    pub version: i64,
    pub cause: Option<Cause>,
    pub dedup: Option<String>,
    pub started_at: i64,
    pub finished_at: Option<i64>,
    /// Not a column: no gate held it.
    pub manual: bool,
}

impl Run {
    pub fn active(&self) -> bool {
        matches!(&*self.status, "pending" | "running" | "waiting")
    }
}

/// `automation_run_state`.
#[derive(Clone, Debug)]
pub struct State {
    pub snapshot: Value,
    pub last_path: Option<String>,
    pub owner: Option<String>,
    pub expires: Option<i64>,
    pub epoch: i64,
    pub heartbeat: i64,
}

impl State {
    /// The condition of `ACQUIRE`.
    pub fn is_free(&self, now: i64) -> bool {
        self.owner.is_none() || self.expires.is_none_or(|at| at <= now)
    }
}

/// `automation_run_steps`.
#[derive(Clone, Debug)]
pub struct Step {
    pub id: StepId,
    pub status: String,
    pub attempts: i64,
    pub error: Option<String>,
    pub result: Option<Value>,
    pub finished: bool,
}

/// `automation_wait_locks` with its rows of `automation_wake_index`.
#[derive(Clone, Debug)]
pub struct Lock {
    pub run: RunId,
    pub path: String,
    pub kind: String,
    pub event: String,
    pub key: Option<String>,
    pub timeout_at: Option<i64>,
    pub next_check_at: Option<i64>,
    pub checked_at: Option<i64>,
    pub created_at: i64,
    pub refs: Vec<String>,
    pub fired: Option<Fired>,
}

/// The mark on a lock.
#[derive(Clone, Debug)]
pub struct Fired {
    pub at: i64,
    pub reason: String,
    pub payload: Option<Value>,
}

/// `automation_dwell_timers`.
#[derive(Clone, Debug)]
pub struct Dwell {
    pub automation: AutomationId,
    pub trigger: String,
    pub event: String,
    pub key: Option<String>,
    pub armed_status: Option<String>,
    pub armed_ref: Option<String>,
    pub hash: String,
    pub payload: Value,
    pub cause: Option<Cause>,
    pub fire_at: i64,
    pub created_at: i64,
}

impl Dwell {
    pub fn unique(&self) -> (AutomationId, String, Option<String>) {
        (self.automation, self.trigger.clone(), self.key.clone())
    }
}

/// `automation_window_events`, with the answer that was given.
#[derive(Clone, Debug)]
pub struct WindowEvent {
    pub bucket: (AutomationId, String, String, Option<String>),
    pub occurrence: String,
    pub at: Ts,
}

/// `automation_occurrences`.
#[derive(Clone, Debug)]
pub struct Ledger {
    pub automation: AutomationId,
    pub window_fired: Option<i64>,
    pub decision: Option<String>,
    pub run: Option<RunId>,
}

/// A queued job.
#[derive(Clone, Debug)]
pub struct Job {
    pub queue: &'static str,
    pub job_id: String,
    pub data: Value,
    pub run_at: i64,
    pub attempts: u32,
    pub enqueued_at: i64,
}

/// The live state of one entity, and its history.
#[derive(Clone, Debug, Default)]
pub struct Thing {
    pub status: String,
    pub history: Vec<(i64, String)>,
}

/// `automations` with their versions.
pub struct Row {
    pub current: Arc<Automation>,
    pub versions: BTreeMap<i64, Arc<Program>>,
}

/// Everything.
#[derive(Default)]
pub struct Store {
    pub automations: BTreeMap<AutomationId, Row>,
    pub runs: BTreeMap<RunId, Run>,
    pub states: BTreeMap<RunId, State>,
    pub steps: BTreeMap<(RunId, String), Step>,
    pub artifacts: BTreeMap<StepId, (RunId, AutomationId)>,
    pub locks: BTreeMap<LockId, Lock>,
    pub dwells: BTreeMap<DwellId, Dwell>,
    pub windows: Vec<WindowEvent>,
    pub ledger: BTreeMap<String, Ledger>,
    pub jobs: BTreeMap<u64, Job>,
    pub outbox: BTreeMap<u64, EntityChanged>,
    pub things: BTreeMap<String, Thing>,

    /// Counts deletions: a transaction that began before one meets a foreign key.
    pub deletions: u64,
    /// Locks of transactions, and who holds them.
    held: BTreeMap<Key, u64>,
    /// When crashed nodes come back.
    pub restarts: Vec<(i64, usize)>,
    /// What is still to be injected, next first.
    pub plan: super::inputs::Plan,
    /// Every job id that was ever enqueued (only asked without the guard).
    pub seen_ids: BTreeSet<String>,
    /// Jobs that were done, for redelivery.
    pub done: Vec<Job>,
    /// What the checker remembers.
    pub memory: super::invariants::Memory,
}

impl Store {
    pub fn is_locked(&self, key: &Key) -> bool {
        self.held.contains_key(key)
    }
    pub fn holder(&self, key: &Key) -> Option<u64> {
        self.held.get(key).copied()
    }
    pub fn lock(&mut self, key: Key, holder: u64) {
        self.held.insert(key, holder);
    }
    pub fn unlock_all(&mut self, holder: u64) {
        self.held.retain(|_, h| *h != holder);
    }
    pub fn node_died(&mut self, node: usize, now: i64) {
        self.memory.disturbed(node, now);
    }

    /// A job that is due and that no transaction has.
    pub fn job_due(&self, queue: &str, now: i64) -> bool {
        self.due_jobs(queue, now).next().is_some()
    }
    pub fn due_jobs<'a>(&'a self, queue: &'a str, now: i64) -> impl Iterator<Item = u64> + 'a {
        let due = move |(id, j): (&u64, &Job)| {
            let free = j.queue == queue && j.run_at <= now && !self.is_locked(&Key::Job(*id));
            free.then_some(*id)
        };
        self.jobs.iter().filter_map(due)
    }
    pub fn change_due(&self) -> bool {
        self.outbox
            .keys()
            .any(|id| !self.is_locked(&Key::Change(*id)))
    }
    pub fn next_job_at(&self, now: i64) -> Option<i64> {
        self.jobs
            .values()
            .map(|j| j.run_at)
            .filter(|at| *at > now)
            .min()
    }
    /// When the next injected thing happens.
    pub fn next_input(&self) -> Option<i64> {
        let restart = self.restarts.iter().map(|r| r.0);
        self.plan.next_at().into_iter().chain(restart).min()
    }

    /// An automation, if it is enabled.
    pub fn enabled(&self, id: AutomationId) -> Option<Arc<Automation>> {
        let row = self.automations.get(&id)?;
        row.current.enabled.then(|| row.current.clone())
    }
    /// Enabled automations with a trigger on an event, in order of creation.
    pub fn for_event(&self, event: &str) -> Vec<Arc<Automation>> {
        let on = |a: &Arc<Automation>| a.program.triggers.iter().any(|t| t.event == event);
        let all = self.automations.values().map(|r| r.current.clone());
        all.filter(|a| a.enabled && on(a)).collect()
    }
    /// The program of a version.
    pub fn program(&self, id: AutomationId, version: i64) -> Option<Arc<Program>> {
        self.automations.get(&id)?.versions.get(&version).cloned()
    }

    /// `automations` delete, with its cascades.
    pub fn delete_automation(&mut self, id: AutomationId) {
        self.automations.remove(&id);
        let gone: BTreeSet<RunId> = self
            .runs
            .iter()
            .filter(|(_, r)| r.automation == id)
            .map(|(id, _)| *id)
            .collect();
        self.runs.retain(|id, _| !gone.contains(id));
        self.states.retain(|id, _| !gone.contains(id));
        self.steps.retain(|(id, _), _| !gone.contains(id));
        self.artifacts.retain(|_, a| a.1 != id);
        self.locks.retain(|_, l| !gone.contains(&l.run));
        self.dwells.retain(|_, d| d.automation != id);
        self.windows.retain(|w| w.bucket.0 != id);
        self.ledger.retain(|_, l| l.automation != id);
    }

    /// Adds a job unless one with its id has not started yet.
    pub fn enqueue(&mut self, number: u64, job: Job) {
        use crate::guards::{Guard, taken_out};
        // What the reference's queue does: an id suppresses whatever its job has become.
        let for_ever = (taken_out(Guard::ChangeInJobId) && job.job_id.starts_with("wake:"))
            || (taken_out(Guard::DwellInJobId) && job.job_id.starts_with("dwell:"));
        if for_ever && !self.seen_ids.insert(job.job_id.clone()) {
            return;
        }
        let waiting = self.jobs.iter().any(|(id, j)| {
            j.queue == job.queue && j.job_id == job.job_id && !self.is_locked(&Key::Job(*id))
        });
        if !waiting {
            self.jobs.insert(number, job);
        }
    }
}
