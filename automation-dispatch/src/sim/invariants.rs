//! What must hold in every state (`dispatch A`, `entity §22`), each check under its number.
//!
//! | Number | Where |
//! |---|---|
//! | A1 one node acts on a run, A3 no action after a cancel, A17 no finished action again, A18 executions are counted, A19 order in a list, A20 the pinned version | [`call_started`] |
//! | A2 terminal statuses stay, A3 nothing of a cancelled run, A4 one run an occurrence, A5 one run a dwell, A9 locks and waiting runs, A24 a dwell's end stays, A30 no orphans | [`committed`] |
//! | A6 buckets, A7 restart | [`run_created`], [`turn_begins`] |
//! | A13 a wait is fired once, A14 never early | [`fired`] |
//! | A23 windows count exactly | [`counted`] |
//! | A25 held from arm to fire | [`dwell_fires`] |
//! | A10, A11, A15, A16, A26, A32 (nothing is stuck), entity 8, 9, 10, 12 | [`settled`] |
//! | B: without faults the backstops find nothing | [`backstop`] |

use super::{
    Sim,
    exec::Core,
    node::Process,
    store::{Dwell, Lock, Run, State, WindowEvent},
    waits::short,
};
use crate::{
    commit::RunHead,
    drive::Calling,
    walk::{
        decide::FireReason,
        tree::Walk,
        view::{Live, View},
    },
};
use automation_core::{
    AutomationId, DwellId, LockId, RunId, StepId,
    compiled::CompiledKind,
    definition::{ConcurrencyScope, Mode},
};
use plugin_api::Ts;
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use template_engine::Env;

/// Within this many milliseconds a signal does its work when nothing fails.
pub const PROMPT: i64 = 15_000;

/// One provider call.
pub struct CallRecord {
    run: RunId,
    path: String,
    ended: bool,
}

/// What the checker remembers beside the tables.
#[derive(Default)]
pub struct Memory {
    /// Nothing fails in this schedule.
    pub calm: bool,
    /// All automations ever, in order.
    pub automations: Vec<AutomationId>,
    /// Runs created.
    pub created: u64,
    /// Provider calls.
    pub calls: Vec<CallRecord>,
    /// Events and their keys, as they happened.
    pub occurrences: Vec<(i64, String, Option<String>)>,
    /// Without its guard: state rows that are written late.
    pub late_states: Vec<(RunId, State)>,
    /// Without its guard: dwells that were claimed before their consequence.
    pub claimed: Vec<DwellId>,
    fired_dwells: BTreeSet<DwellId>,
    statuses: BTreeMap<RunId, (String, Option<i64>)>,
    ends: BTreeMap<DwellId, i64>,
    armed: BTreeMap<(RunId, String, i64), i64>,
    marks: BTreeSet<LockId>,
    artifacts: BTreeSet<StepId>,
    disturbances: u64,
}

impl Memory {
    /// A node died, stood still, or lost an answer: what it did may be done again.
    pub fn disturbed(&mut self, _node: usize, _now: i64) {
        self.disturbances += 1;
    }
    /// A lock was committed.
    pub fn armed(&mut self, run: RunId, lock: &Lock, now: i64) {
        self.armed
            .insert((run, lock.path.clone(), lock.created_at), now);
    }
}

/// Checks a call as it begins.
pub fn call_started(core: &mut Core, node: &Process, head: &RunHead, call: &Calling) -> usize {
    let (run, path) = (head.run_id, call.path.clone());
    core.tell(|| {
        format!(
            "n{} calls {path} of {} #{}",
            node.n,
            short(run),
            call.attempt
        )
    });
    let mut wrong: Vec<String> = Vec::new();
    match core.store.runs.get(&run) {
        None => {}
        Some(row) => {
            let late = core.nodes[node.n].paused_until > core.now - 1_000;
            if row.status != "running" && !late {
                wrong.push(format!(
                    "3: an action of a run that is {} starts",
                    row.status
                ));
            }
            if call.config["v"].as_str() != Some(&row.version.to_string()) {
                wrong.push(format!(
                    "20: an action of version {} in a run of {}",
                    call.config["v"], row.version
                ));
            }
            if let Some(state) = core.store.states.get(&run)
                && state.owner.as_deref() != Some(&node.name)
            {
                wrong.push(format!(
                    "1: {} acts under the lease of {:?}",
                    node.name, state.owner
                ));
            }
        }
    }
    let step = core.store.steps.get(&(run, path.clone()));
    if step.is_some_and(|s| s.status == "success") {
        wrong.push(format!("17: {path} succeeded and is executed again"));
    }
    if let Some((list, index)) = path.strip_suffix(']').and_then(|p| p.rsplit_once('[')) {
        let index: usize = index.parse().unwrap_or(0);
        let before = |i: &usize| core.store.steps.get(&(run, format!("{list}[{i}]")));
        let open = (0..index).find(|i| before(i).is_some_and(|s| !s.finished));
        if let Some(i) = open.filter(|_| !list.ends_with("]")) {
            wrong.push(format!("19: {path} starts while [{i}] has not ended"));
        }
    }
    let same = core
        .store
        .memory
        .calls
        .iter()
        .filter(|c| c.run == run && c.path == path);
    let (begun, open) = same.fold((0, 0), |(a, o), c| (a + 1, o + u64::from(!c.ended)));
    let retries = 2;
    if open > core.store.memory.disturbances || begun > retries + core.store.memory.disturbances {
        wrong.push(format!(
            "18: {path} is executed for the {}. time",
            begun + 1
        ));
    }
    wrong.into_iter().for_each(|w| core.broken(w));
    core.store.memory.calls.push(CallRecord {
        run,
        path,
        ended: false,
    });
    core.store.memory.calls.len() - 1
}

/// A call has its answer.
pub fn call_ended(core: &mut Core, ticket: usize) {
    core.store.memory.calls[ticket].ended = true;
}

/// Checks after every commit.
pub fn committed(core: &mut Core) {
    let mut wrong: Vec<String> = Vec::new();
    let store = &core.store;
    let mut dedups: BTreeSet<&str> = BTreeSet::new();
    for (id, run) in &store.runs {
        let terminal = !run.active();
        if terminal != run.finished_at.is_some() {
            wrong.push(format!(
                "2: {} is {} and finished_at is {:?}",
                short(*id),
                run.status,
                run.finished_at
            ));
        }
        if let Some((before, at)) = store.memory.statuses.get(id)
            && !matches!(&**before, "pending" | "running" | "waiting")
            && (*before != run.status || *at != run.finished_at)
        {
            wrong.push(format!(
                "2: {} was {before} and is {}",
                short(*id),
                run.status
            ));
        }
        if let Some(key) = &run.dedup
            && !dedups.insert(key)
        {
            let number = if key.starts_with("dwell:") { 5 } else { 4 };
            wrong.push(format!("{number}: two runs of {key}"));
        }
        let has_state = store.states.contains_key(id);
        if terminal && has_state {
            wrong.push(format!(
                "3: {} is {} and has a state row",
                short(*id),
                run.status
            ));
        }
        if run.status == "waiting" && !store.locks.values().any(|l| l.run == *id) {
            wrong.push(format!("9: {} waits without a lock", short(*id)));
        }
        if run.error.as_deref() == Some("internal_error") {
            wrong.push(format!("28: {} failed inside the engine", short(*id)));
        }
    }
    for lock in store.locks.values() {
        if store.runs.get(&lock.run).is_none_or(|r| !r.active()) {
            wrong.push(format!(
                "9: a lock at {} of {}, which is over",
                lock.path,
                short(lock.run)
            ));
        }
    }
    for (id, dwell) in &store.dwells {
        if store
            .memory
            .ends
            .get(id)
            .is_some_and(|at| *at != dwell.fire_at)
        {
            wrong.push("24: the end of an armed dwell moved".to_owned());
        }
        if !store.automations.contains_key(&dwell.automation) {
            wrong.push("30: a dwell of a deleted automation".to_owned());
        }
    }
    let orphan = |run: &RunId| !store.runs.contains_key(run);
    if store.states.keys().any(orphan) || store.steps.keys().any(|k| orphan(&k.0)) {
        wrong.push("30: rows of a run that is gone".to_owned());
    }
    let fresh = |step: &&StepId| !store.memory.artifacts.contains(*step);
    for step in store.artifacts.keys().filter(fresh) {
        let before = store.memory.statuses.get(&store.artifacts[step].0);
        if before.is_some_and(|(status, _)| status == "cancelled") {
            wrong.push("3: an artifact of a cancelled run".to_owned());
        }
    }
    let artifacts = store.artifacts.keys().copied().collect();
    let statuses = store
        .runs
        .iter()
        .map(|(id, r)| (*id, (r.status.clone(), r.finished_at)))
        .collect();
    let ends = store
        .dwells
        .iter()
        .map(|(id, d)| (*id, d.fire_at))
        .collect();
    core.store.memory.statuses = statuses;
    core.store.memory.ends = ends;
    core.store.memory.artifacts = artifacts;
    wrong.into_iter().for_each(|w| core.broken(w));
}

fn bucket_of<'a>(
    core: &'a Core,
    id: RunId,
    run: &'a Run,
) -> impl Iterator<Item = (&'a RunId, &'a Run)> {
    let scope = core
        .store
        .program(run.automation, run.version)
        .map(|p| p.definition.concurrency_scope);
    core.store.runs.iter().filter(move |(other, r)| {
        **other != id
            && r.automation == run.automation
            && r.active()
            && !r.manual
            && (scope == Some(ConcurrencyScope::Automation) || r.context_key == run.context_key)
    })
}

/// Checks the bucket of a run that is about to be there.
pub fn run_created(core: &mut Core, id: RunId, run: &Run) {
    core.store.memory.created += 1;
    core.tell(|| format!("run {} of {} is {}", short(id), run.trigger, run.status));
    let Some(program) = core.store.program(run.automation, run.version) else {
        return;
    };
    if run.manual {
        return;
    }
    let others: Vec<&Run> = bucket_of(core, id, run).map(|(_, r)| r).collect();
    let (active, max) = (others.len(), program.definition.max_runs as usize);
    let pending = others.iter().filter(|r| r.status == "pending").count();
    let wrong = match program.definition.mode {
        Mode::Single if active > 0 => Some(format!("6: single, and {active} are active")),
        Mode::Parallel if active >= max => {
            Some(format!("6: parallel of {max}, and {active} are active"))
        }
        Mode::Queued if run.status == "pending" && pending >= max => {
            Some(format!("6: queued of {max}, and {pending} are pending"))
        }
        Mode::Queued if run.status != "pending" && active > 0 => {
            Some(format!("6: queued, and {active} are active"))
        }
        Mode::Restart if active > 0 => {
            Some(format!("7: restart, and {active} older ones are active"))
        }
        _ => None,
    };
    if let Some(wrong) = wrong {
        core.broken(wrong);
    }
}

/// Checks a pending run whose turn has come.
pub fn turn_begins(core: &mut Core, id: RunId) {
    let Some(run) = core.store.runs.get(&id).cloned() else {
        return;
    };
    core.tell(|| format!("the turn of {}", short(id)));
    let mut wrong = None;
    if run.status != "pending" {
        wrong = Some(format!(
            "6: {} begins although it is {}",
            short(id),
            run.status
        ));
    }
    for (other, r) in bucket_of(core, id, &run) {
        if r.status != "pending" {
            wrong = Some(format!(
                "6: queued, and {} walks when {} begins",
                short(*other),
                short(id)
            ));
        } else if (r.started_at, *other) < (run.started_at, id) {
            wrong = Some(format!(
                "6: {} begins before {}, which is older",
                short(id),
                short(*other)
            ));
        }
    }
    if let Some(wrong) = wrong {
        core.broken(wrong);
    }
}

/// Checks a mark.
pub fn fired(core: &mut Core, id: LockId, lock: &Lock, reason: FireReason) {
    let now = core.now;
    if matches!(reason, FireReason::Timer | FireReason::Timeout)
        && lock.timeout_at.is_none_or(|at| at > now)
    {
        core.broken(format!(
            "14: {} ends {} ms early",
            lock.path,
            lock.timeout_at.unwrap_or(0) - now
        ));
    }
    if !core.store.memory.marks.insert(id) {
        core.broken(format!("13: {} is fired twice", lock.path));
    }
}

/// Checks the answer of a window with what its rows say now.
pub fn counted(core: &mut Core, row: &WindowEvent, said: bool, truth: bool) {
    if core
        .store
        .windows
        .iter()
        .any(|w| w.occurrence == row.occurrence)
    {
        core.broken("23: an occurrence is counted twice".to_owned());
    }
    if said != truth {
        core.broken(format!(
            "23: the window says {said} and its rows say {truth}"
        ));
    }
}

/// How long a change may be under way to the dwells it ends.
const INVERSE_MS: i64 = 2_000;

/// Checks a dwell that is dropped at its end: what ended its status must have found it long ago.
pub fn dwell_drops(core: &mut Core, dwell: &Dwell) {
    let Some(armed) = &dwell.armed_status else {
        return;
    };
    let entity = dwell.armed_ref.as_deref().unwrap_or_default();
    let id = entity.strip_prefix("thing:").unwrap_or(entity);
    let Some(thing) = core.store.things.get(id) else {
        return;
    };
    let left = thing.history.last().map_or(i64::MAX, |(at, _)| *at);
    let early = dwell.created_at + INVERSE_MS < left && left < core.now - INVERSE_MS;
    let key = dwell.key.as_deref() == Some(id);
    if core.store.memory.calm && key && early && thing.status != *armed {
        core.broken(format!(
            "B: without faults {} expires although it was over",
            dwell.trigger
        ));
    }
}

/// Checks a dwell that becomes a run, or is refused by its bucket.
pub fn dwell_fires(core: &mut Core, id: DwellId, dwell: &Dwell, held: bool) {
    core.tell(|| format!("dwell of {} fires", dwell.trigger));
    if core.store.memory.calm && !held {
        core.broken(format!(
            "25: {} was left between arm and fire",
            dwell.trigger
        ));
    }
    if !core.store.memory.fired_dwells.insert(id) {
        core.broken("5: a dwell fires twice".to_owned());
    }
    if !core.store.memory.ends.contains_key(&id) && !core.store.memory.claimed.contains(&id) {
        core.broken("25: a dwell fires that was cancelled".to_owned());
    }
    core.store.memory.claimed.retain(|c| *c != id);
}

/// A backstop found something to repair.
pub fn backstop(core: &mut Core, what: &str) {
    if core.store.memory.calm {
        core.broken(format!("B: without faults the sweeper finds {what}"));
    }
}

/// The sweeper ended a wait.
pub fn swept(core: &mut Core, lock: LockId) {
    let by_condition = core.store.locks.get(&lock).and_then(|l| l.fired.as_ref());
    let settled = core.store.things.values().all(|t| {
        t.history
            .last()
            .is_none_or(|(at, _)| *at + PROMPT < core.now)
    });
    if by_condition.is_some_and(|f| f.reason == "condition") && settled {
        backstop(core, "a wait whose condition held");
    }
}

/// Nothing is left to happen: runs are over, or wait for what nobody will do any more. A wait for a
/// condition is given the time that the periodic re-check takes; `since` is when faults stopped.
pub fn is_quiet(core: &Core, since: i64) -> bool {
    let store = &core.store;
    let waits = |lock: &Lock| lock.fired.is_none() && lock.timeout_at.is_none();
    let until = store.locks.values().any(|l| l.kind == "until");
    store.outbox.is_empty()
        && store.jobs.is_empty()
        && store.dwells.is_empty()
        && store.restarts.is_empty()
        && store.runs.values().all(|r| r.status != "running")
        && store.locks.values().all(waits)
        && core.now > since + if until { 9 * 60_000 } else { 2 * 60_000 }
}

/// Checks that nothing is stuck once faults have stopped and time has passed.
pub fn settled(sim: &Arc<Sim>) {
    let mut core = sim.core();
    if !core.violations.is_empty() {
        return;
    }
    let (now, mut wrong) = (core.now, Vec::new());
    let store = &core.store;
    if !store.outbox.is_empty() {
        wrong.push("entity 8: a change was never routed".to_owned());
    }
    for job in store.jobs.values().filter(|j| j.run_at + 60_000 < now) {
        wrong.push(format!("liveness: the job {} is never taken", job.job_id));
    }
    for dwell in store.dwells.values().filter(|d| d.fire_at + 90_000 < now) {
        wrong.push(format!("5: the dwell of {} never fires", dwell.trigger));
    }
    if let Some(id) = store.memory.claimed.first() {
        wrong.push(format!(
            "5: the dwell {id} was claimed, and nothing came of it"
        ));
    }
    for (id, run) in store.runs.iter().filter(|(_, r)| r.active()) {
        let locks: Vec<&Lock> = store.locks.values().filter(|l| l.run == *id).collect();
        let state = store.states.get(id);
        match &*run.status {
            "pending"
                if !bucket_of(&core, *id, run).any(|(_, r)| r.status != "pending")
                    && !store
                        .runs
                        .values()
                        .any(|r| r.manual && r.active() && r.automation == run.automation) =>
            {
                wrong.push(format!(
                    "6: {} is pending, and nobody is before it",
                    short(*id)
                ));
            }
            "running" if state.is_none_or(|s| s.heartbeat + 150_000 < now) => {
                wrong.push(format!(
                    "26: {} is running, and nobody drives it",
                    short(*id)
                ));
            }
            _ => {}
        }
        for lock in locks {
            if lock.fired.as_ref().is_some_and(|f| f.at + 120_000 < now) {
                wrong.push(format!(
                    "10: {} is fired at {} and not driven",
                    short(*id),
                    lock.path
                ));
            } else if lock.timeout_at.is_some_and(|at| at + 120_000 < now) {
                wrong.push(format!("15: {} still waits at {}", short(*id), lock.path));
            } else if lock.fired.is_none() && lock.kind == "until" && holds(sim, &core, lock) {
                wrong.push(format!(
                    "11: {} waits at {} although its condition holds",
                    short(*id),
                    lock.path
                ));
            } else if lock.fired.is_none() && lock.kind == "trigger" && came(&core, lock) {
                wrong.push(format!(
                    "10: {} waits at {} although its event came",
                    short(*id),
                    lock.path
                ));
            }
        }
    }
    wrong.into_iter().for_each(|w| core.broken(w));
}

/// The condition of a waiting lock holds, and has for longer than the periodic re-check takes.
fn holds(sim: &Sim, core: &Core, lock: &Lock) -> bool {
    let store = &core.store;
    let long = store.things.values().all(|t| {
        t.history
            .last()
            .is_none_or(|(at, _)| at + 7 * 60_000 < core.now)
    });
    if !long || lock.created_at + 7 * 60_000 >= core.now {
        return false;
    }
    let found = store.runs.get(&lock.run).zip(store.states.get(&lock.run));
    let Some((run, state)) = found else {
        return false;
    };
    let walk: Option<Walk> = serde_json::from_value(state.snapshot.clone()).ok();
    let Some((program, walk)) = store.program(run.automation, run.version).zip(walk) else {
        return false;
    };
    let action = crate::walk::path::action(&program.actions, &lock.path);
    let Some(CompiledKind::WaitUntil { condition, .. }) = action.map(|a| &a.kind) else {
        return false;
    };
    let things: Map<String, Value> = store
        .things
        .iter()
        .map(|(id, t)| (id.clone(), json!({"status": t.status})))
        .collect();
    let live = Live {
        state: json!({"thing": things}),
        ..Live::default()
    };
    let (base, locals) = (super::node::base_of(run), walk.locals(&lock.path));
    let view = View::of(&base, &live, &locals);
    let env = Env::new(
        sim.registries.filters(),
        Ts::from_millis(core.now).timestamp(),
    );
    condition.test(&view, &env) == Ok(true)
}

/// An event that a waiting lock waits for came after the lock was there.
fn came(core: &Core, lock: &Lock) -> bool {
    let memory = &core.store.memory;
    let since = memory
        .armed
        .get(&(lock.run, lock.path.clone(), lock.created_at));
    let Some(since) = since else { return false };
    memory
        .occurrences
        .iter()
        .any(|(at, event, key)| at > since && *event == lock.event && *key == lock.key)
}
