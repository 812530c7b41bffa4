//! What is known about the caller of the code that is running: a task-local set by the router, the
//! hook and queue consumers and the run driver, read by `emit` and by entity handles
//! (`plugins §10`). Task-locals die in a bare `tokio::spawn`, so tasks are started with [`spawn`].

use crate::actor::Actor;
use std::future::Future;

/// The caller.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// Who acts.
    pub actor: Actor,
    /// The run on whose behalf, if any; masking of what leaves a handle hangs on it (`entity §9`).
    pub run_id: Option<uuid::Uuid>,
    /// What led here; carried on by changes and events.
    pub cause: Option<std::sync::Arc<crate::Cause>>,
}

impl RequestContext {
    /// Background work of the platform.
    pub fn system() -> Self {
        Self {
            actor: Actor::system(),
            run_id: None,
            cause: None,
        }
    }
    /// An actor outside any run.
    pub fn of(actor: Actor) -> Self {
        Self {
            actor,
            run_id: None,
            cause: None,
        }
    }
    /// The context of the running task; the system context when none was set.
    pub fn current() -> Self {
        CONTEXT
            .try_with(Clone::clone)
            .unwrap_or_else(|_| Self::system())
    }
    /// Runs a future in this context.
    pub async fn scope<F: Future>(self, f: F) -> F::Output {
        CONTEXT.scope(self, f).await
    }
}

tokio::task_local! {
    static CONTEXT: RequestContext;
}

/// Starts a task that keeps the caller's context, dry run and tracing span. The only way to start tasks.
#[expect(clippy::disallowed_methods, reason = "the one place that starts tasks")]
pub fn spawn<F>(future: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    use tracing::Instrument;
    let span = tracing::Span::current();
    let future = crate::dry_run::inherit(future);
    #[cfg(feature = "fail-points")]
    if let Some(scope) = crate::fail::current() {
        let context = RequestContext::current();
        let inner = scope.clone();
        let task = tokio::spawn(
            async move { inner.run(CONTEXT.scope(context, future)).await }.instrument(span),
        );
        scope.track(task.abort_handle());
        return task;
    }
    match CONTEXT.try_with(Clone::clone) {
        Ok(context) => tokio::spawn(CONTEXT.scope(context, future).instrument(span)),
        Err(_) => tokio::spawn(future.instrument(span)),
    }
}
