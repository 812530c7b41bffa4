//! What the API and other parts of the host ask of the engine.

use crate::{
    cancel::{self, CancelError},
    delete, dwell,
    manual::{self, ManualFiring, ManualRun, ManualRunError},
    shared::Shared,
    store::{
        artifacts::{self, ArtifactRecord},
        runs::{self, LogRecord, RunFilter, RunRecord, StepRecord},
    },
};
use automation_core::{
    ArtifactId, AutomationId, RunId,
    registry::Registries,
    store::{AutomationStore, StoreError},
};
use automation_entity::{
    EntityEngine, Newest, Transition, TransitionFilter, field_text, transitions,
};
use plugin_api::{
    BoxError, Clock, Conn, ServiceRef, Ts,
    db::DbError,
    queue::{QueueDepth, QueueError},
};
use serde_json::Value;
use std::sync::Arc;
use template_engine::Filters;

/// The engine as a service.
pub const ENGINE: ServiceRef<Engine> = ServiceRef::new("automation.engine");

/// A handle on the running engine; cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
}

impl Engine {
    /// Stored automations.
    pub fn automations(&self) -> &AutomationStore {
        self.shared.automations.store()
    }
    /// What plugins registered.
    pub fn registries(&self) -> &Arc<Registries> {
        &self.shared.registries
    }
    /// Expression filters.
    pub fn filters(&self) -> Arc<Filters> {
        self.shared.filters.clone()
    }
    /// The one clock.
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.shared.clock.clone()
    }
    /// Entity kinds.
    pub fn entities(&self) -> &Arc<EntityEngine> {
        &self.shared.entities
    }

    /// Starts a run by hand; answers once it is created (`dispatch §16`).
    ///
    /// # Errors
    /// [`ManualRunError`].
    pub async fn manual_run(&self, request: ManualRun) -> Result<RunId, ManualRunError> {
        manual::run(&self.shared, request).await
    }

    /// Fires a trigger by hand, through its gates (`api §5.1`, `gates: all`).
    ///
    /// # Errors
    /// [`ManualRunError`]; a gate that says no is [`ManualRunError::Blocked`].
    pub async fn manual_firing(&self, request: ManualRun) -> Result<ManualFiring, ManualRunError> {
        manual::fire(&self.shared, request).await
    }

    /// Deletes an automation with everything that belongs to it; its runs end, wherever they are.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] and [`StoreError::Stale`].
    pub async fn delete(&self, id: AutomationId, version: Option<i64>) -> Result<(), StoreError> {
        delete::delete(&self.shared, id, version).await
    }

    /// Cancels a run; one that is over stays as it is (`dispatch §15`).
    ///
    /// # Errors
    /// [`CancelError`].
    pub async fn cancel(
        &self,
        automation: AutomationId,
        run: RunId,
        reason: Option<String>,
    ) -> Result<(), CancelError> {
        cancel::by_operator(&self.shared, automation, run, reason).await
    }

    /// A page of runs, newest first, after `(started_at, id)`.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn runs(
        &self,
        filter: &RunFilter,
        after: Option<(Ts, RunId)>,
        limit: u32,
    ) -> Result<Vec<RunRecord>, DbError> {
        runs::list(&self.shared.db, filter, after, limit).await
    }
    /// One run.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn run(&self, id: RunId) -> Result<Option<RunRecord>, DbError> {
        runs::get(&self.shared.db, id).await
    }
    /// Steps of a run, in the order they were begun.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn steps(&self, run: RunId) -> Result<Vec<StepRecord>, DbError> {
        runs::steps(&self.shared.db, run).await
    }
    /// Artifacts of a run, oldest first.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn artifacts(&self, run: RunId) -> Result<Vec<ArtifactRecord>, DbError> {
        artifacts::of_run(&self.shared.db, run).await
    }
    /// Log lines of a run, oldest first.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn logs(&self, run: RunId) -> Result<Vec<LogRecord>, DbError> {
        runs::logs(&self.shared.db, run).await
    }
    /// Closes an artifact, so that nothing consumes it any more; false when there is no open one.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn close_artifact(&self, id: ArtifactId) -> Result<bool, DbError> {
        artifacts::mark_closed(&self.shared.db, id, self.shared.clock.now()).await
    }
    /// Armed dwells of an automation, next first.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn timers(&self, automation: AutomationId) -> Result<Vec<dwell::Dwell>, DbError> {
        self.shared
            .db
            .sql(dwell::OF_AUTOMATION)
            .bind(automation)
            .all()
            .await
    }

    /// Since when a field of an entity has the value it has in `state`, and for how many
    /// milliseconds; none when the log does not tell.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn in_state_since(
        &self,
        kind: &str,
        id: &str,
        field: &str,
        state: &Value,
    ) -> Result<Option<(Ts, i64)>, BoxError> {
        let current = field_text(state.get(field));
        match self.shared.history.newest(kind, id, field).await? {
            Some(Newest::Value(text, at)) if text == current => {
                let held = self.shared.clock.now().millis() - at.millis();
                Ok(Some((at, held.max(0))))
            }
            _ => Ok(None),
        }
    }
    /// How often a field changed in the last `window_ms` milliseconds.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn transition_count(
        &self,
        kind: &str,
        id: &str,
        field: &str,
        window_ms: i64,
    ) -> Result<i64, BoxError> {
        let since = self.shared.clock.now().plus_millis(-window_ms);
        self.shared.history.count(kind, id, field, since).await
    }
    /// Transitions of an entity that pass the filter, newest first, below a row id.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn transitions(
        &self,
        kind: &str,
        id: &str,
        filter: &TransitionFilter,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<Transition>, DbError> {
        let db = Conn::Db(&self.shared.db);
        transitions(db, kind, id, filter, before, limit).await
    }

    /// Runs driven by this process, and transactions and commits of its committer so far.
    pub fn load(&self) -> (usize, u64, u64) {
        let (batches, commits) = self.shared.committer.counters();
        (self.shared.drivers.count(), batches, commits)
    }
    /// How often this process has taken a run up, to start or to resume it, since it started.
    pub fn drivers_begun(&self) -> u64 {
        self.shared.drivers.begun()
    }
    /// Queues in which work waits.
    ///
    /// # Errors
    /// When the backend does not answer.
    pub async fn queue_depths(&self) -> Result<Vec<QueueDepth>, QueueError> {
        self.shared.queues.depths().await
    }
    /// One cycle of the sweeper, now.
    pub async fn sweep(&self) -> u64 {
        crate::sweep::cycle(&self.shared).await
    }
}
