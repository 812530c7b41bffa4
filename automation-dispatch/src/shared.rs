//! What every part of the engine works with.

use crate::{
    automations::Automations,
    commit::{Applier, Committer},
    drive::Drivers,
    retention::Retention,
    waits::Settling,
    why::Recorder,
};
use automation_core::{registry::Registries, schema::ConfigCheck};
use automation_entity::{EntityEngine, TransitionStore};
use plugin_api::{
    Clock, Db, Services, hints::Hints, masking::RunSecretRegistry, queue::QueueManager,
    signal::Signals,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};
use template_engine::Filters;

/// The engine's parts and what they run on.
pub struct Shared {
    /// The framework's database.
    pub db: Db,
    /// A pool of its own for what is read while a transaction is held: work that waits for a
    /// connection must never wait for those who hold one.
    pub reads: Db,
    /// The same with pinned plans, for set-based statements.
    pub batch: Db,
    /// The one clock.
    pub clock: Arc<dyn Clock>,
    /// This process; owner of its leases.
    pub node: Arc<str>,
    /// Queues.
    pub queues: Arc<dyn QueueManager>,
    /// Wake-up hints.
    pub hints: Arc<dyn Hints>,
    /// What plugins registered.
    pub registries: Arc<Registries>,
    /// Entity kinds, derivers, live state.
    pub entities: Arc<EntityEngine>,
    /// The transition log.
    pub history: Arc<dyn TransitionStore>,
    /// Mask sets of runs.
    pub secrets: Arc<RunSecretRegistry>,
    /// Services, handed to actions in their plugin's name.
    pub services: Services,
    /// To connected clients.
    pub signals: Arc<dyn Signals>,
    /// Expression filters.
    pub filters: Arc<Filters>,
    /// Compiled automations.
    pub automations: Automations,
    /// Group commit of walking runs.
    pub committer: Committer,
    /// The interpreter of commits.
    pub applier: Applier,
    /// Runs driven here.
    pub drivers: Drivers,
    /// Runs that were woken by an event and have to rest before it is decided on.
    pub settling: Settling,
    /// What a run may not exceed.
    pub limits: Limits,
    /// Takes what the gates decided, for the ring.
    pub decisions: Recorder,
    /// How much history is kept.
    pub retention: Retention,
    /// Compiled schemas of artifacts and payloads.
    pub artifact_checks: Checks,
}

/// What protects the engine from definitions that run away (settings of the host).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Steps a run may begin; then it fails with `step_budget_exceeded`.
    pub steps: u32,
    /// Milliseconds a run may be active, waiting included; then it fails with `too_old`.
    pub age_ms: i64,
    /// Milliseconds after which the sweeper looks at a `wait_until` that nobody has looked at, so that
    /// a change that was lost delays it only; 0: never.
    pub recheck_ms: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            steps: crate::walk::decide::STEP_BUDGET,
            // The longest wait is 30 days; a run that waits for that long may still finish.
            age_ms: 31 * 24 * 3_600_000,
            recheck_ms: 5 * 60_000,
        }
    }
}

type Check = Arc<Result<ConfigCheck, String>>;

/// Schemas compiled when they are first needed; they never change once registered.
#[derive(Default)]
pub struct Checks(Mutex<HashMap<String, Check>>);

impl Checks {
    /// The check under a key.
    pub fn get_or_make(
        &self,
        key: &str,
        make: impl FnOnce() -> Result<ConfigCheck, String>,
    ) -> Check {
        let mut known = self.0.lock().expect("checks");
        if let Some(check) = known.get(key) {
            return check.clone();
        }
        let check = Arc::new(make());
        known.insert(key.to_owned(), check.clone());
        check
    }
}
