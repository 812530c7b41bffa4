//! Deterministic simulation of the engine (design §3.1): the real decisions against a model store in
//! virtual time, thousands of interleavings long.
//!
//! ```text
//!  seed ─▶ definitions + plan (events, edits, cancels, crashes, losses, pauses …)
//!            │
//!            ▼
//!  scheduler ─ one leaf at a time ─▶ nodes: router · stage 2 · timers · drivers · sweeper
//!            │                          │ real: gates, windows, admission, dwells, waits,
//!            │                          │       walker, driver loop, commits, verdicts
//!            ▼                          ▼
//!       invariants  ◀─ after every commit ─ model store (tables as maps, fences as conditions)
//! ```
//!
//! What is real: everything that decides – `gates::decide`, `fire::decide`, `concurrency::decide`,
//! `window::decide`, `dwell::decide`, `waits::decide`, `walk::decide`, `commit::build` and
//! `commit::apply::verdict`, definitions through the real compiler, and the very loop that drives runs
//! (`drive::drive`). What is modelled: statements. A transaction of the model reads what is committed
//! at each of its statement boundaries, holds the locks that the real one holds, and writes at its
//! commit – read-committed, as on Postgres; or it is alone, as on SQLite.
//!
//! A seed reproduces its schedule exactly. A failing one is shrunk by leaving out injected things
//! while it still fails. `docs/guards.md` shows that the checks can fail.

mod commit;
mod dwell;
mod exec;
mod fire;
mod generate;
mod inputs;
mod invariants;
mod node;
mod rng;
mod stage;
mod store;
mod sweep;
#[cfg(test)]
mod tests;
mod waits;
mod world;

use automation_core::registry::Registries;
use exec::{Core, NodeState};
pub use inputs::{Item, What};
use node::{Node, Process};
use plugin_api::masking::MaskSet;
use rng::Rng;
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};
use store::Store;

/// Leaves of one schedule at most; more means that something spins.
const MAX_STEPS: u64 = 60_000;
/// How long a lease lasts.
const LEASE_MS: i64 = 60_000;
/// When virtual time begins.
const START: i64 = 1_768_478_400_000;
/// How long a world has to come to rest once nothing is injected any more.
const SETTLE_MS: i64 = 40 * 60_000;

/// The world of one schedule.
pub struct Sim {
    core: Mutex<Core>,
    ready: Arc<Mutex<VecDeque<u64>>>,
    registries: Arc<Registries>,
    masks: Arc<MaskSet>,
    ids: AtomicU64,
    /// Transactions are alone, as on SQLite.
    one_writer: bool,
    processes: Mutex<Vec<Option<Node>>>,
}

impl Sim {
    /// A fresh id; ids sort by their making.
    fn uuid(&self) -> uuid::Uuid {
        let n = self.ids.fetch_add(1, Ordering::Relaxed);
        uuid::Uuid::from_u128((0x7000 << 64) | (0x8000 << 48) | u128::from(n))
    }
    /// The process of a node, if it still lives this life.
    fn node(&self, n: usize, name: &str) -> Option<Node> {
        let processes = self.processes.lock().expect("processes");
        processes[n].clone().filter(|p| p.name == name)
    }
    /// A process that is up.
    fn any_node(&self, wish: usize) -> Option<Node> {
        let core = self.core();
        let up: Vec<usize> = (0..core.nodes.len())
            .filter(|n| core.nodes[*n].up)
            .collect();
        drop(core);
        let n = *up.get(wish % up.len().max(1))?;
        self.processes.lock().expect("processes")[n].clone()
    }
    /// Somebody fired a lock of a run that another node may drive.
    fn hint_fired(&self, by: usize) {
        let processes = self.processes.lock().expect("processes");
        let others = processes.iter().flatten().filter(|p| p.n != by);
        others.for_each(|p| p.drivers.nudge_all());
    }
    fn boot(self: &Arc<Self>, n: usize) {
        let life = {
            let mut core = self.core();
            core.nodes[n].up = true;
            core.tell(|| format!("n{n} starts"));
            core.nodes[n].life
        };
        let process = Process::new(self, n, life);
        self.processes.lock().expect("processes")[n] = Some(process.clone());
        stage::start(self, &process);
    }
}

/// A schedule: what it was made of, and what is injected.
#[derive(Clone)]
pub struct Schedule {
    /// Reproduces everything.
    pub seed: u64,
    /// What is injected, in order of time.
    pub items: Vec<Item>,
}

/// What a schedule that held tells.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told {
    /// Leaves taken.
    pub steps: u64,
    /// Runs created.
    pub runs: u64,
    /// Provider calls.
    pub calls: u64,
}

/// A broken invariant, and how to see it again.
#[derive(Clone)]
pub struct Failure {
    /// The schedule.
    pub schedule: Schedule,
    /// What is broken.
    pub broken: String,
    /// What happened.
    pub trace: Vec<String>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "seed {}: {}", self.schedule.seed, self.broken)?;
        writeln!(f, "injected:")?;
        for item in &self.schedule.items {
            writeln!(f, "  {item:?}")?;
        }
        writeln!(f, "trace (the last {} lines):", self.trace.len())?;
        for line in &self.trace {
            writeln!(f, "  {line}")?;
        }
        Ok(())
    }
}

/// The schedule of a seed.
pub fn schedule(seed: u64) -> Schedule {
    let mut rng = Rng::new(seed);
    let calm = generate::is_calm(&mut rng);
    let cast = generate::cast(&mut rng);
    let items = generate::plan(&mut rng, &cast, calm);
    Schedule { seed, items }
}

/// Plays a schedule.
///
/// # Errors
/// The first invariant that it breaks.
pub fn play(schedule: &Schedule, traced: bool) -> Result<Told, Box<Failure>> {
    let mut rng = Rng::new(schedule.seed);
    let calm = generate::is_calm(&mut rng);
    let cast = generate::cast(&mut rng);
    // The plan is drawn again although it is given, so that what follows is drawn the same.
    let _ = generate::plan(&mut rng, &cast, calm);
    let registries = world::registries();
    let one_writer = rng.one_in(4);
    let nodes: Vec<NodeState> = (0..cast.nodes)
        .map(|_| NodeState {
            life: 0,
            up: false,
            paused_until: 0,
            offset: rng.range(-600_000, 600_000),
            hinted: false,
        })
        .collect();
    let mut store = Store::default();
    store.memory.calm = calm;
    store.plan.set(schedule.items.clone());
    let count = nodes.len();
    let sim = Arc::new(Sim {
        core: Mutex::new(Core::new(rng, nodes, store, START)),
        ready: Arc::default(),
        registries,
        masks: Arc::new(MaskSet::empty()),
        ids: AtomicU64::new(1),
        one_writer,
        processes: Mutex::new(vec![None; count]),
    });
    sim.core().traced = traced;
    world::fill(&sim, &cast);
    (0..count).for_each(|n| sim.boot(n));
    let end = schedule.items.last().map_or(START, |i| i.at).max(START) + 30_000;
    sim.play(end, !calm);
    sim.core().store.plan.heal();
    // Faults stop: everybody comes back, and time passes.
    let since = sim.core().now;
    let until = since + SETTLE_MS;
    loop {
        let minute = sim.core().now + 60_000;
        sim.play(minute, false);
        let mut core = sim.core();
        core.now = core.now.max(minute);
        let over = core.now >= until || !core.violations.is_empty() || core.steps > MAX_STEPS;
        if over || invariants::is_quiet(&core, since) {
            break;
        }
    }
    invariants::settled(&sim);
    let mut core = sim.core();
    if core.steps > MAX_STEPS {
        core.broken("liveness: the schedule does not come to rest".to_owned());
    }
    let told = Told {
        steps: core.steps,
        runs: core.store.memory.created,
        calls: core.store.memory.calls.len() as u64,
    };
    let broken = core.violations.first().cloned();
    let trace = std::mem::take(&mut core.trace);
    drop(core);
    sim.end();
    match broken {
        None => Ok(told),
        Some(broken) => Err(Box::new(Failure {
            schedule: schedule.clone(),
            broken,
            trace,
        })),
    }
}

/// Leaves out injected things while the schedule still fails the same way, at most `tries` times.
pub fn shrink(failure: Failure, tries: usize) -> Failure {
    let kind = |broken: &str| broken.split(':').next().unwrap_or_default().to_owned();
    let wanted = kind(&failure.broken);
    let mut best = failure;
    let mut left = tries;
    let mut size = best.schedule.items.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        let mut smaller = false;
        while at < best.schedule.items.len() && left > 0 {
            left -= 1;
            let mut items = best.schedule.items.clone();
            items.drain(at..(at + size).min(items.len()));
            let schedule = Schedule {
                seed: best.schedule.seed,
                items,
            };
            match play(&schedule, true) {
                Err(found) if kind(&found.broken) == wanted => {
                    best = *found;
                    smaller = true;
                }
                _ => at += size,
            }
        }
        if left == 0 || (size == 1 && !smaller) {
            break;
        }
        size = if smaller {
            size.min(best.schedule.items.len().max(1))
        } else {
            (size / 2).max(1)
        };
    }
    best
}

/// Plays seeds from `first` on until `go_on` says no; answers how many held, or the first that failed,
/// shrunk.
///
/// # Errors
/// The failure, with seed, injected things and trace.
pub fn explore(
    first: u64,
    mut go_on: impl FnMut(u64) -> bool,
) -> Result<(u64, Told), Box<Failure>> {
    let mut total = Told::default();
    let mut played = 0;
    while go_on(played) {
        let schedule = schedule(first + played);
        match play(&schedule, false) {
            Ok(told) => {
                total.steps += told.steps;
                total.runs += told.runs;
                total.calls += told.calls;
            }
            Err(_) => {
                let Err(failure) = play(&schedule, true) else {
                    unreachable!("a seed reproduces its schedule")
                };
                return Err(Box::new(shrink(*failure, 200)));
            }
        }
        played += 1;
    }
    Ok((played, total))
}
