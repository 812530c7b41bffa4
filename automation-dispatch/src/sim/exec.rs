//! A deterministic executor: tasks that rest at *leaves* – statement boundaries, deadlines, locks,
//! jobs – and a scheduler that lets one leaf at a time go on, chosen by the seed.
//!
//! Everything a node does is such a task, so a schedule is a sequence of choices, and a node dies by
//! having its tasks dropped between two of them.

use super::{
    Sim, inputs,
    rng::Rng,
    store::{Store, tx::Key},
};
use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// A task of a node.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// When a leaf may go on.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// Whenever it is chosen.
    Now,
    /// From this instant on (milliseconds).
    At(i64),
    /// When the lock is free, which it takes; or at this instant without it.
    Lock(Key, u64, i64),
    /// When the queue has a job that is due.
    Job(&'static str),
    /// When there is a change to route.
    Outbox,
    /// When a job is due or a hint came, else at this instant.
    Hint(i64),
}

struct Leaf {
    node: usize,
    when: When,
    waker: Waker,
    state: Arc<AtomicU8>,
}

const WAITING: u8 = 0;
const GOES_ON: u8 = 1;
const GIVEN_UP: u8 = 2;

/// One process.
pub struct NodeState {
    /// Counts its lives.
    pub life: u32,
    /// It runs.
    pub up: bool,
    /// Held up until then.
    pub paused_until: i64,
    /// How far its own clock is off, in milliseconds.
    pub offset: i64,
    /// Somebody gave leases back.
    pub hinted: bool,
}

/// What the scheduler owns.
pub struct Core {
    /// Virtual time of the database, in milliseconds.
    pub now: i64,
    /// Chance.
    pub rng: Rng,
    /// The database.
    pub store: Store,
    /// Processes.
    pub nodes: Vec<NodeState>,
    /// What happened, newest last; only when it is wanted.
    pub trace: Vec<String>,
    /// It is.
    pub traced: bool,
    /// Broken invariants.
    pub violations: Vec<String>,
    /// Leaves taken so far.
    pub steps: u64,
    /// Nodes to end after the present poll: a crash between commit and effects.
    pub dying: Vec<usize>,
    leaves: BTreeMap<u64, Leaf>,
    tasks: BTreeMap<u64, (usize, Option<Task>)>,
    next: u64,
}

impl Core {
    /// An empty world.
    pub fn new(rng: Rng, nodes: Vec<NodeState>, store: Store, now: i64) -> Self {
        Self {
            now,
            rng,
            store,
            nodes,
            trace: Vec::new(),
            traced: false,
            violations: Vec::new(),
            steps: 0,
            dying: Vec::new(),
            leaves: BTreeMap::new(),
            tasks: BTreeMap::new(),
            next: 1,
        }
    }
    /// A fresh number.
    pub fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
    /// Tells the trace.
    pub fn tell(&mut self, what: impl FnOnce() -> String) {
        if !self.traced {
            return;
        }
        let line = format!(
            "{:>9.3} {}",
            (self.now % 1_000_000_000) as f64 / 1000.0,
            what()
        );
        self.trace.push(line);
    }
    /// An invariant is broken.
    pub fn broken(&mut self, what: String) {
        self.tell(|| format!("BROKEN {what}"));
        self.violations.push(what);
    }

    /// Leaves that may go on now.
    fn enabled(&self) -> Vec<u64> {
        let mut found = Vec::new();
        for (id, leaf) in &self.leaves {
            let node = &self.nodes[leaf.node];
            if self.now < node.paused_until {
                continue;
            }
            let goes = match &leaf.when {
                When::Now => true,
                When::At(at) => self.now >= *at,
                When::Lock(key, _, until) => !self.store.is_locked(key) || self.now >= *until,
                When::Job(queue) => self.store.job_due(queue, self.now),
                When::Outbox => self.store.change_due(),
                When::Hint(at) => node.hinted || self.now >= *at,
            };
            if goes {
                found.push(*id);
            }
        }
        found
    }

    /// The next instant at which something may go on by time alone.
    fn next_instant(&self) -> Option<i64> {
        let mut first: Option<i64> = None;
        let mut see = |at: i64| {
            if at > self.now {
                first = Some(first.map_or(at, |f| f.min(at)));
            }
        };
        for leaf in self.leaves.values() {
            match &leaf.when {
                When::At(at) | When::Lock(_, _, at) | When::Hint(at) => see(*at),
                When::Now | When::Job(_) | When::Outbox => {}
            }
        }
        for node in &self.nodes {
            see(node.paused_until);
        }
        if let Some(at) = self.store.next_job_at(self.now) {
            see(at);
        }
        first
    }

    fn take(&mut self, id: u64) {
        let Some(leaf) = self.leaves.remove(&id) else {
            return;
        };
        let mut state = GOES_ON;
        if let When::Lock(key, holder, _) = leaf.when {
            if self.store.is_locked(&key) {
                state = GIVEN_UP;
            } else {
                self.store.lock(key, holder);
            }
        } else if matches!(leaf.when, When::Hint(_)) {
            self.nodes[leaf.node].hinted = false;
        }
        leaf.state.store(state, Ordering::Relaxed);
        leaf.waker.wake();
    }
}

struct Ready {
    task: u64,
    queue: Arc<Mutex<VecDeque<u64>>>,
}
impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        self.queue.lock().expect("ready").push_back(self.task);
    }
}

/// Rests until the scheduler chooses it. True: as wanted; false: the lock could not be had in time.
pub struct LeafFuture {
    sim: Arc<Sim>,
    node: usize,
    when: When,
    id: Option<u64>,
    state: Arc<AtomicU8>,
}

impl Future for LeafFuture {
    type Output = bool;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        match self.state.load(Ordering::Relaxed) {
            GOES_ON => return Poll::Ready(true),
            GIVEN_UP => return Poll::Ready(false),
            _ => {}
        }
        let sim = self.sim.clone();
        let mut core = sim.core();
        let id = match self.id {
            Some(id) => id,
            None => core.number(),
        };
        let leaf = Leaf {
            node: self.node,
            when: self.when.clone(),
            waker: cx.waker().clone(),
            state: self.state.clone(),
        };
        core.leaves.insert(id, leaf);
        drop(core);
        self.id = Some(id);
        Poll::Pending
    }
}

impl Drop for LeafFuture {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.sim.core().leaves.remove(&id);
        }
    }
}

impl Sim {
    /// The scheduler's state. Never held across a leaf.
    pub fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().expect("core")
    }

    /// Rests at a leaf.
    pub fn leaf(self: &Arc<Self>, node: usize, when: When) -> LeafFuture {
        LeafFuture {
            sim: self.clone(),
            node,
            when,
            id: None,
            state: Arc::new(AtomicU8::new(WAITING)),
        }
    }

    /// Starts a task of a node.
    pub fn spawn(&self, node: usize, task: Task) {
        let mut core = self.core();
        let id = core.number();
        core.tasks.insert(id, (node, Some(task)));
        drop(core);
        self.ready.lock().expect("ready").push_back(id);
    }

    fn poll_ready(&self) {
        loop {
            let Some(id) = self.ready.lock().expect("ready").pop_front() else {
                return;
            };
            let Some((_, Some(mut task))) =
                self.core().tasks.get_mut(&id).map(|t| (t.0, t.1.take()))
            else {
                continue;
            };
            let waker = Waker::from(Arc::new(Ready {
                task: id,
                queue: self.ready.clone(),
            }));
            let done = task
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_ready();
            if done {
                self.core().tasks.remove(&id);
                drop(task);
            } else if let Some(slot) = self.core().tasks.get_mut(&id) {
                slot.1 = Some(task);
            }
            let dying = std::mem::take(&mut self.core().dying);
            for node in dying {
                self.crash(node, None);
            }
        }
    }

    /// Ends everything a node does, as a power cut would.
    pub fn crash(&self, node: usize, back_after: Option<i64>) {
        let gone: Vec<(usize, Option<Task>)> = {
            let mut core = self.core();
            if !core.nodes[node].up {
                return;
            }
            core.tell(|| format!("n{node} CRASH"));
            let down = back_after.unwrap_or_else(|| core.rng.range(100, 90_000));
            let now = core.now;
            let state = &mut core.nodes[node];
            state.up = false;
            state.life += 1;
            state.paused_until = 0;
            core.store.node_died(node, now);
            core.store.restarts.push((now + down, node));
            let ids: Vec<u64> = core
                .tasks
                .iter()
                .filter(|(_, t)| t.0 == node)
                .map(|(id, _)| *id)
                .collect();
            ids.iter().filter_map(|id| core.tasks.remove(id)).collect()
        };
        drop(gone);
    }

    /// Ends all tasks, so that the world can be dropped.
    pub fn end(&self) {
        let tasks = std::mem::take(&mut self.core().tasks);
        drop(tasks);
        self.processes.lock().expect("processes").clear();
    }

    /// Plays until `end`, or until nothing can happen any more, or something is broken.
    pub fn play(self: &Arc<Self>, end: i64, busy: bool) {
        loop {
            self.poll_ready();
            inputs::due(self);
            self.poll_ready();
            let mut core = self.core();
            if !core.violations.is_empty() || core.now >= end || core.steps > super::MAX_STEPS {
                return;
            }
            let enabled = core.enabled();
            let stall = busy && core.rng.one_in(60);
            if enabled.is_empty() || stall {
                let next = core.next_instant();
                let input = core.store.next_input();
                let Some(at) = next.into_iter().chain(input).min() else {
                    return;
                };
                core.now = at.max(core.now).min(end);
                continue;
            }
            let n = core.rng.below(enabled.len());
            core.now += core.rng.range(0, 2);
            core.steps += 1;
            core.take(enabled[n]);
        }
    }
}
