//! Which run may see which secrets, in this process and in memory only.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::set::MaskSet;

/// The secrets each live run has resolved; one per process, cheap to clone and share.
///
/// Nothing is persisted: a node that resumes a run captures its secrets again before it
/// walks or writes anything (secrets §12). Runs are keyed by their id as `u128`; a `Uuid`
/// converts by itself.
#[derive(Clone, Default)]
pub struct RunSecretRegistry {
    runs: Arc<RwLock<HashMap<u128, RunSecrets>>>,
}

struct RunSecrets {
    set: Arc<MaskSet>,
    /// Live [`RunSecretGuard`]s.
    guards: usize,
    /// The run is terminal; the entry goes with the last guard.
    ended: bool,
}

impl RunSecrets {
    fn new() -> Self {
        Self {
            set: MaskSet::shared_empty(),
            guards: 0,
            ended: false,
        }
    }
}

impl RunSecretRegistry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers a secret that `run` is about to see. Call before handing the value out.
    pub fn capture(&self, run: impl Into<u128>, secret: impl AsRef<str>) {
        self.capture_all(run, [secret]);
    }

    /// As [`Self::capture`] for several secrets; compiles the run's set once.
    pub fn capture_all<S: AsRef<str>>(
        &self,
        run: impl Into<u128>,
        secrets: impl IntoIterator<Item = S>,
    ) {
        let mut runs = self.write();
        let entry = runs.entry(run.into()).or_insert_with(RunSecrets::new);
        if let Some(grown) = entry.set.extended(secrets) {
            entry.set = Arc::new(grown);
        }
    }

    /// The secrets of `run` at this moment; empty for a run that has resolved none. A set
    /// taken earlier does not see later captures, so take it at the write, not before.
    pub fn set(&self, run: impl Into<u128>) -> Arc<MaskSet> {
        self.read()
            .get(&run.into())
            .map_or_else(MaskSet::shared_empty, |entry| Arc::clone(&entry.set))
    }

    /// The set of `run`, or the empty set for a write outside any run.
    pub fn set_for(&self, run: Option<impl Into<u128>>) -> Arc<MaskSet> {
        run.map_or_else(MaskSet::shared_empty, |run| self.set(run))
    }

    /// Keeps the secrets of `run` alive: a branch still finishing, or an action that
    /// outlives a cancel, must find them even after [`Self::drop_run`] (secrets §11.10).
    pub fn guard(&self, run: impl Into<u128>) -> RunSecretGuard {
        let run = run.into();
        self.write()
            .entry(run)
            .or_insert_with(RunSecrets::new)
            .guards += 1;
        RunSecretGuard {
            registry: self.clone(),
            run,
        }
    }

    /// Forgets the secrets of a terminal run, now or when its last guard is dropped.
    pub fn drop_run(&self, run: impl Into<u128>) {
        let run = run.into();
        let mut runs = self.write();
        if let Some(entry) = runs.get_mut(&run) {
            entry.ended = true;
            if entry.guards == 0 {
                runs.remove(&run);
            }
        }
    }

    /// A panic while the lock is held leaves the map whole: every change is one insertion or
    /// removal. Refusing to mask ever after would be worse.
    fn read(&self) -> RwLockReadGuard<'_, HashMap<u128, RunSecrets>> {
        self.runs.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<u128, RunSecrets>> {
        self.runs.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says how many runs have secrets, never which secrets.
impl std::fmt::Debug for RunSecretRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RunSecretRegistry({} runs)", self.read().len())
    }
}

/// Keeps a run's secrets until it is dropped; see [`RunSecretRegistry::guard`].
#[derive(Debug)]
#[must_use = "the secrets are kept only as long as the guard lives"]
pub struct RunSecretGuard {
    registry: RunSecretRegistry,
    run: u128,
}

impl Drop for RunSecretGuard {
    fn drop(&mut self) {
        let mut runs = self.registry.write();
        if let Some(entry) = runs.get_mut(&self.run) {
            entry.guards -= 1;
            if entry.guards == 0 && (entry.ended || entry.set.is_empty()) {
                runs.remove(&self.run);
            }
        }
    }
}
