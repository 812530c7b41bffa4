//! One process of the model: the real driver loop on the model store, with its lease handling.

use super::{
    LEASE_MS, Sim, commit,
    exec::{Core, When},
    invariants,
    store::tx::{Aborted, Key, Tx},
};
use crate::{
    commit::{RunCommit, RunHead, Verdict, group::CommitError},
    drive::{self, Calling, Drivers, First, LeaseTimes, LiveRun, Looking, Proof, RunFacts, World},
    guards::{Guard, taken_out},
    scope::ReadSet,
    waits::Settling,
    walk::{
        decide::{CallOutcome, Event, FireReason},
        tree::Walk,
        view::{Base, Live},
    },
};
use automation_core::{
    RunId,
    registry::{ActionResult, Registries},
};
use futures::{channel::oneshot, future::BoxFuture};
use plugin_api::{BoxError, Clock, Ts, clock::Sleep, masking::MaskSet};
use serde_json::{Map, Value, json};
use std::{sync::Arc, time::Duration};
use template_engine::Filters;
use uuid::Uuid;

/// A life of a process.
pub struct Process {
    pub sim: Arc<Sim>,
    pub n: usize,
    pub name: String,
    pub drivers: Drivers,
    pub settling: Settling,
}

/// Shared by the tasks of a process.
pub type Node = Arc<Process>;

impl Process {
    pub fn new(sim: &Arc<Sim>, n: usize, life: u32) -> Node {
        Arc::new(Self {
            sim: sim.clone(),
            n,
            name: format!("n{n}.{life}"),
            drivers: Drivers::new(LeaseTimes::default()),
            settling: Settling::default(),
        })
    }
    /// A point at which others may go first.
    pub async fn pause(&self) {
        self.sim.leaf(self.n, When::Now).await;
    }
    /// The one clock: that of the database.
    pub fn instant(&self) -> i64 {
        let core = self.sim.core();
        self.clock(&core)
    }
    pub fn clock(&self, core: &Core) -> i64 {
        let off = if taken_out(Guard::DatabaseClock) {
            core.nodes[self.n].offset
        } else {
            0
        };
        core.now + off
    }
    /// Live state for a site, read when the scheduler lets it.
    pub async fn live(&self, reads: &ReadSet) -> Arc<Live> {
        if reads.is_empty() {
            return Live::none();
        }
        self.pause().await;
        let core = self.sim.core();
        if core.store.plan.readers_fail(core.now) {
            return Arc::new(Live {
                unresolved: true,
                ..Live::default()
            });
        }
        let things: Map<String, Value> = core
            .store
            .things
            .iter()
            .map(|(id, t)| (id.clone(), json!({"status": t.status})))
            .collect();
        Arc::new(Live {
            state: json!({"thing": things}),
            ..Live::default()
        })
    }
    pub fn launch(self: &Arc<Self>, run: LiveRun, proof: Proof) {
        let (id, epoch) = (run.head.run_id, run.epoch);
        let entered = self.drivers.enter(id, epoch, proof, &Watch(self.instant()));
        let Some((stopped, cancel, nudge)) = entered else {
            return;
        };
        let drive = drive::drive(self.clone(), run, stopped, cancel, nudge);
        self.sim.spawn(self.n, Box::pin(drive));
    }
    pub fn resume(self: &Arc<Self>, run: RunId, epoch: i64, at: i64) {
        let proof = Proof::of(Ts::from_millis(at));
        let entered = self
            .drivers
            .enter(run, epoch, proof, &Watch(self.instant()));
        let Some((stopped, cancel, nudge)) = entered else {
            return;
        };
        let node = self.clone();
        self.sim.spawn(
            self.n,
            Box::pin(async move {
                match node.load(run, epoch).await {
                    Some(live) => drive::drive(node, live, stopped, cancel, nudge).await,
                    None => node.drivers.leave(run, epoch),
                }
            }),
        );
    }

    async fn load(&self, id: RunId, epoch: i64) -> Option<LiveRun> {
        self.pause().await;
        let (run, mut walk, program) = {
            let core = self.sim.core();
            let run = core.store.runs.get(&id)?.clone();
            let state = core.store.states.get(&id)?.clone();
            let mut walk: Walk = serde_json::from_value(state.snapshot).ok()?;
            walk.last_path = state.last_path;
            for wanted in walk.lists_wanted() {
                let step = core.store.steps.values().find(|s| s.id == wanted);
                let list = step.and_then(|s| s.result.as_ref()?.get("forEachList")?.as_array());
                if let Some(list) = list {
                    walk.give_list(wanted, list.clone());
                }
            }
            let version = if taken_out(Guard::PinnedVersion) {
                core.store.automations.get(&run.automation)?.current.version
            } else {
                run.version
            };
            let program = core.store.program(run.automation, version)?;
            (run, walk, program)
        };
        let mut base = base_of(&run);
        base.live = self.live(&program.reads.run).await;
        let resumed = run.status == "waiting";
        walk.artifacts = json!({});
        Some(LiveRun {
            head: head_of(id, &run),
            epoch,
            program,
            base: Arc::new(base),
            walk,
            resumed,
            first: if resumed {
                First::Fired
            } else {
                First::Recover
            },
        })
    }
}

pub fn head_of(id: RunId, run: &super::store::Run) -> RunHead {
    RunHead {
        run_id: id,
        automation_id: run.automation,
        context_key: run.context_key.clone(),
        cause: run.cause.clone().map(Arc::new),
    }
}

pub fn base_of(run: &super::store::Run) -> Base {
    Base {
        trigger: Arc::new(json!({
            "id": run.trigger, "event": run.event, "eventId": run.event,
            "actor": run.actor, "payload": &*run.payload,
        })),
        now: Arc::new(json!(Ts::from_millis(run.started_at).to_text())),
        live: Live::none(),
    }
}

/// Takes what is free of these runs' leases (`drive::acquire`).
pub async fn acquire(
    node: &Node,
    tx: &mut Tx,
    runs: &[RunId],
) -> Result<Vec<(RunId, i64)>, Aborted> {
    let mut runs = runs.to_vec();
    runs.sort_unstable();
    runs.dedup();
    let mut taken = Vec::new();
    for run in runs {
        let free = |core: &mut Core| {
            let now = node.clock(core);
            let held = taken_out(Guard::LeaseFree);
            core.store
                .states
                .get(&run)
                .is_some_and(|s| held || s.is_free(now))
        };
        // A row that does not match is passed over without waiting for it.
        if !tx.see(free) {
            continue;
        }
        tx.lock(Key::State(run)).await?;
        if !tx.see(free) || tx.acquired.contains_key(&run) {
            continue;
        }
        let Some(epoch) = tx.see(|core| core.store.states.get(&run).map(|s| s.epoch + 1)) else {
            continue;
        };
        let (owner, now) = (node.name.clone(), node.instant());
        tx.acquired.insert(run, epoch);
        taken.push((run, epoch));
        tx.write(move |core| {
            if let Some(state) = core.store.states.get_mut(&run) {
                state.owner = Some(owner);
                state.expires = Some(now + LEASE_MS);
                state.heartbeat = now;
                state.epoch += 1;
            }
        });
    }
    Ok(taken)
}

/// Renews leases every 20 s; a driver whose lease is gone is told to stop (`drive::renew`).
pub async fn renew(node: Node) {
    loop {
        let at = node.sim.core().now + 20_000;
        node.sim.leaf(node.n, When::At(at)).await;
        if taken_out(Guard::LeaseRenewal) {
            continue;
        }
        let held = node.drivers.held();
        if held.is_empty() {
            continue;
        }
        let proof = Proof::of(Ts::from_millis(node.instant()));
        let kept = renew_once(&node, &held).await;
        match kept {
            Ok(kept) => {
                let still: Vec<(RunId, i64)> = held
                    .iter()
                    .filter(|h| kept.contains(&h.0))
                    .copied()
                    .collect();
                node.drivers.renewed(&still, proof);
                let lost = held.iter().filter(|h| !kept.contains(&h.0));
                node.drivers.lost(&lost.copied().collect());
            }
            Err(Aborted) => {
                let now = node.instant();
                let core = node.sim.core();
                let over = |lease: &&(RunId, i64)| {
                    let state = core.store.states.get(&lease.0);
                    let mine = state.filter(|s| s.owner.as_deref() == Some(&node.name));
                    mine.is_some_and(|s| s.expires.is_none_or(|at| at <= now))
                };
                let over = held.iter().filter(over).copied().collect();
                drop(core);
                node.drivers.lost(&over);
            }
        }
    }
}

async fn renew_once(node: &Node, held: &[(RunId, i64)]) -> Result<Vec<RunId>, Aborted> {
    let now = node.instant();
    let mut tx = Tx::begin(node, "renew").await?;
    let mut held = held.to_vec();
    held.sort_unstable();
    let mut kept = Vec::new();
    for (run, epoch) in held {
        let mine = |core: &mut Core| {
            let state = core.store.states.get(&run);
            state.is_some_and(|s| s.epoch == epoch && s.owner.as_deref() == Some(&node.name))
        };
        if !tx.see(mine) {
            continue;
        }
        tx.lock(Key::State(run)).await?;
        if tx.see(mine) {
            kept.push(run);
            tx.write(move |core| {
                if let Some(state) = core.store.states.get_mut(&run) {
                    state.expires = Some(now + LEASE_MS);
                    state.heartbeat = now;
                }
            });
        }
    }
    tx.commit().await?;
    Ok(kept)
}

/// The clock of a process as lease proofs read it; nobody sleeps by it.
struct Watch(i64);

impl Clock for Watch {
    fn now(&self) -> Ts {
        Ts::from_millis(self.0)
    }
    fn sleep_until(&self, _: Ts) -> Sleep {
        Box::pin(std::future::pending())
    }
    fn new_uuid(&self) -> Uuid {
        Uuid::nil()
    }
    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.unsigned_abs())
    }
}

impl World for Process {
    type Secrets = ();

    fn now(&self) -> Ts {
        Ts::from_millis(self.instant())
    }
    fn uuid(&self) -> Uuid {
        self.sim.uuid()
    }
    fn registries(&self) -> &Registries {
        &self.sim.registries
    }
    fn filters(&self) -> &Filters {
        self.sim.registries.filters()
    }
    fn step_budget(&self) -> u32 {
        2_000
    }
    fn masks(&self, _: RunId) -> Arc<MaskSet> {
        self.sim.masks.clone()
    }
    fn secrets(&self, _: RunId) {}
    fn is_closing(&self) -> bool {
        false
    }
    fn leave(&self, run: RunId, epoch: i64) {
        self.drivers.leave(run, epoch);
    }
    fn spawn(&self, rest: BoxFuture<'static, ()>) {
        self.sim.spawn(self.n, rest);
    }
    fn commit(&self, commit: RunCommit) -> BoxFuture<'_, Result<Verdict, CommitError>> {
        Box::pin(async move {
            // As the committer does: a commit that was refused is tried again.
            for _ in 0..3 {
                let node = self.sim.node(self.n, &self.name);
                let Some(node) = node else { break };
                match commit::alone(&node, commit.clone()).await {
                    Ok(verdict) => return Ok(verdict),
                    Err(Aborted) => self.pause().await,
                }
            }
            Err(CommitError::Stopped)
        })
    }
    fn finished(self: &Arc<Self>, run: &LiveRun) {
        super::sweep::ended(self, run.head.automation_id);
    }
    fn oldest_fired(&self, run: RunId) -> BoxFuture<'_, Result<Option<Event>, BoxError>> {
        Box::pin(async move {
            self.pause().await;
            let core = self.sim.core();
            let fired = core
                .store
                .locks
                .iter()
                .filter(|(_, l)| l.run == run && l.fired.is_some());
            let oldest =
                fired.min_by_key(|(id, l)| (l.fired.as_ref().map(|f| f.at), l.created_at, **id));
            Ok(oldest.map(|(id, l)| {
                let fired = l.fired.clone().expect("fired");
                Event::Fired {
                    path: l.path.clone(),
                    lock: *id,
                    reason: FireReason::parse(&fired.reason).unwrap_or(FireReason::Invalid),
                    payload: fired.payload,
                }
            }))
        })
    }
    fn renewed<'a>(self: &'a Arc<Self>, run: &'a LiveRun) -> BoxFuture<'a, Arc<Base>> {
        Box::pin(async move {
            let live = self.live(&run.program.reads.run).await;
            Arc::new(Base {
                live,
                ..Base::clone(&run.base)
            })
        })
    }
    fn call(self: &Arc<Self>, run: RunFacts, call: Calling) -> BoxFuture<'static, Option<Event>> {
        let (done, answer) = oneshot::channel();
        let node = self.clone();
        let task = async move { drop(done.send(perform(node, run, call).await)) };
        self.sim.spawn(self.n, Box::pin(task));
        Box::pin(async move { answer.await.ok().flatten() })
    }
    fn read(self: &Arc<Self>, run: &LiveRun, look: Looking) -> BoxFuture<'static, Event> {
        let (node, program) = (self.clone(), run.program.clone());
        Box::pin(async move {
            let reads = program.wait_reads(&look.path);
            let mut live = node.live(&reads).await;
            if look.guard && taken_out(Guard::ArmGuard) {
                live = Arc::new(Live {
                    unresolved: true,
                    ..Live::default()
                });
            }
            Event::Read {
                path: look.path,
                live,
            }
        })
    }
}

/// Performs a call of the scripted action, if it may begin.
async fn perform(node: Node, run: RunFacts, call: Calling) -> Option<Event> {
    let watch = Watch(node.instant());
    let holds = node.drivers.may_act(run.head.run_id, run.epoch, &watch);
    if !holds && !taken_out(Guard::ActsInTime) {
        return None;
    }
    let (started, ticket) = {
        let mut core = node.sim.core();
        let ticket = invariants::call_started(&mut core, &node, &run.head, &call);
        (core.now, ticket)
    };
    let ms = call.config["ms"].as_i64().unwrap_or(0);
    node.sim.leaf(node.n, When::At(started + ms)).await;
    let mut core = node.sim.core();
    invariants::call_ended(&mut core, ticket);
    if let Some(set) = call.config["set"].as_str().filter(|s| !s.is_empty()) {
        let (id, status) = set.split_once('=').unwrap_or((set, "ok"));
        let cause = run.head.cause.as_deref().cloned();
        super::inputs::change(&mut core, node.sim.uuid(), id, status, cause);
    }
    drop(core);
    let until = call.config["until"].as_u64().unwrap_or_default();
    let fails =
        call.config["fails"] == json!(true) && (until == 0 || u64::from(call.attempt) <= until);
    let result = if fails {
        ActionResult::failed("as scripted")
    } else {
        ActionResult::artifact(&json!({"name": "a"}))
    };
    let outcome = CallOutcome::Answered {
        result,
        artifact_error: None,
    };
    Some(Event::Called {
        path: call.path,
        attempt: call.attempt,
        outcome,
    })
}
