//! What a driver needs of the world around it. The engine gives it database, clock and providers; the
//! simulator gives it a model of them, and so plays the very loop that drives runs in production.

use super::{
    call::{self, RunFacts},
    task::LiveRun,
};
use crate::{
    announce,
    commit::{RunCommit, Verdict, group::CommitError},
    concurrency::queue,
    scope,
    shared::Shared,
    walk::{decide::Event, frame::Locals, view::Base},
};
use automation_core::{RunId, registry::Registries};
use futures::future::BoxFuture;
use plugin_api::{
    BoxError, Ts,
    masking::{MaskSet, RunSecretGuard},
};
use serde_json::Value;
use std::sync::Arc;
use template_engine::Filters;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// A provider call as the walker asked for it.
pub struct Calling {
    /// Path of the step.
    pub path: String,
    /// `<plugin>.<name>`.
    pub action: String,
    /// Rendered config.
    pub config: Value,
    /// Which execution.
    pub attempt: u32,
}

/// A look at live state as the walker asked for it.
pub struct Looking {
    /// Path of the `wait_until`.
    pub path: String,
    /// Its lock is committed: this is the second look.
    pub guard: bool,
    /// The scope in which computed ids are evaluated.
    pub locals: Locals,
}

/// The surroundings of one driver.
pub trait World: Send + Sync + 'static {
    /// Holds the run's secrets until its driver ends.
    type Secrets: Send + 'static;

    /// The present instant of the one clock.
    fn now(&self) -> Ts;
    /// A fresh UUIDv7.
    fn uuid(&self) -> Uuid;
    /// What plugins registered.
    fn registries(&self) -> &Registries;
    /// Expression filters.
    fn filters(&self) -> &Filters;
    /// Steps a run may begin.
    fn step_budget(&self) -> u32;
    /// The secrets of a run as they are now.
    fn masks(&self, run: RunId) -> Arc<MaskSet>;
    /// Keeps them.
    fn secrets(&self, run: RunId) -> Self::Secrets;
    /// True while the process is stopping.
    fn is_closing(&self) -> bool;
    /// The driver of a run is over.
    fn leave(&self, run: RunId, epoch: i64);
    /// Lets something go on without the driver.
    fn spawn(&self, rest: BoxFuture<'static, ()>);
    /// Commits, and tells the world what that changed.
    fn commit(&self, commit: RunCommit) -> BoxFuture<'_, Result<Verdict, CommitError>>;
    /// The run is over.
    fn finished(self: &Arc<Self>, run: &LiveRun);
    /// The oldest fired lock of a run.
    fn oldest_fired(&self, run: RunId) -> BoxFuture<'_, Result<Option<Event>, BoxError>>;
    /// The run's scope with live state as it is now.
    fn renewed<'a>(self: &'a Arc<Self>, run: &'a LiveRun) -> BoxFuture<'a, Arc<Base>>;
    /// Performs a call, whether or not its driver waits for it. None: it did not begin, because the
    /// driver is over, or its lease may have run out and somebody else may be walking the run.
    fn call(self: &Arc<Self>, run: RunFacts, call: Calling) -> BoxFuture<'static, Option<Event>>;
    /// Reads live state.
    fn read(self: &Arc<Self>, run: &LiveRun, look: Looking) -> BoxFuture<'static, Event>;
}

/// A task that ends with whoever waits for it.
struct Task<T>(JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl World for Shared {
    type Secrets = RunSecretGuard;

    fn now(&self) -> Ts {
        self.clock.now()
    }
    fn uuid(&self) -> Uuid {
        self.clock.new_uuid()
    }
    fn registries(&self) -> &Registries {
        &self.registries
    }
    fn filters(&self) -> &Filters {
        &self.filters
    }
    fn step_budget(&self) -> u32 {
        self.limits.steps
    }
    fn masks(&self, run: RunId) -> Arc<MaskSet> {
        self.secrets.set(run.uuid().as_u128())
    }
    fn secrets(&self, run: RunId) -> RunSecretGuard {
        self.secrets.guard(run.uuid().as_u128())
    }
    fn is_closing(&self) -> bool {
        self.drivers.is_closing()
    }
    fn leave(&self, run: RunId, epoch: i64) {
        self.drivers.leave(run, epoch);
    }
    fn spawn(&self, rest: BoxFuture<'static, ()>) {
        plugin_api::spawn(rest);
    }
    fn commit(&self, commit: RunCommit) -> BoxFuture<'_, Result<Verdict, CommitError>> {
        Box::pin(async move {
            let verdict = self.committer.commit(commit.clone()).await?;
            announce::committed(self, &commit, verdict);
            Ok(verdict)
        })
    }
    fn finished(self: &Arc<Self>, run: &LiveRun) {
        let (id, automation) = (run.head.run_id, run.head.automation_id);
        self.secrets.drop_run(id.uuid().as_u128());
        queue::ended(self, automation, &run.program);
        tracing::info!(run_id = %id, automation_id = %automation, "A run has ended.");
    }
    fn oldest_fired(&self, run: RunId) -> BoxFuture<'_, Result<Option<Event>, BoxError>> {
        // Whoever may not drive any more is stopped here too.
        Box::pin(super::patiently(
            &*self.clock,
            || true,
            move || async move { Ok(crate::waits::oldest_fired(self, run).await?) },
        ))
    }
    fn renewed<'a>(self: &'a Arc<Self>, run: &'a LiveRun) -> BoxFuture<'a, Arc<Base>> {
        Box::pin(async move {
            let (key, locals) = (run.head.context_key.as_deref(), run.walk.locals(""));
            let live = scope::for_program(self, &run.program, key, &locals, &run.base).await;
            Arc::new(Base {
                live,
                ..Base::clone(&run.base)
            })
        })
    }
    fn call(self: &Arc<Self>, run: RunFacts, c: Calling) -> BoxFuture<'static, Option<Event>> {
        // A task of its own, so that it goes on while the driver commits what another branch did.
        let mut task = Task(plugin_api::spawn(call::call(self.clone(), run, c)));
        Box::pin(async move { (&mut task.0).await.ok().flatten() })
    }
    fn read(self: &Arc<Self>, run: &LiveRun, look: Looking) -> BoxFuture<'static, Event> {
        let (shared, program, base) = (self.clone(), run.program.clone(), run.base.clone());
        let key = run.head.context_key.clone();
        Box::pin(async move {
            if look.guard {
                // Between the committed lock and its guard a test lets the world move.
                let _ = plugin_api::fail::point("dispatch.wait.guard").await;
            }
            let (path, locals) = (look.path, look.locals);
            let key = key.as_deref();
            let live = crate::waits::read_for(&shared, &program, &path, &base, &locals, key).await;
            Event::Read { path, live }
        })
    }
}
