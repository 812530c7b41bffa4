//! A plugin written in place: closures for its phases.

use plugin_api::{
    BoxError, InitCtx, Plugin, PluginId, PluginMetadata, ReadyCtx, RegisterEnv, Registered,
};
use std::{future::Future, pin::Pin};

/// What a phase of a [`TestPlugin`] answers: `Box::pin(async move { … Ok(()) })`.
pub type PhaseFuture<'a> = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send + 'a>>;

type Register = Box<dyn FnOnce(&mut RegisterEnv<'_>) -> Result<(), BoxError> + Send>;
type Init = Box<dyn for<'a> Fn(&'a InitCtx) -> PhaseFuture<'a> + Send + Sync>;
type Ready = Box<dyn for<'a> Fn(&'a ReadyCtx) -> PhaseFuture<'a> + Send + Sync>;
type Cleanup = Box<dyn Fn() -> PhaseFuture<'static> + Send + Sync>;

/// A plugin for tests. Phases that are not given do nothing.
///
/// ```
/// use test_kit::TestPlugin;
/// let plugin = TestPlugin::new("a")
///     .register(|env| env.access_rules(&[]))
///     .init(|ctx| Box::pin(async move { Ok(ctx.hints().notify("a.started")) }));
/// ```
pub struct TestPlugin {
    id: PluginId,
    register: Register,
    phases: Phases,
}

struct Phases {
    init: Init,
    ready: Ready,
    cleanup: Cleanup,
}

impl TestPlugin {
    /// A plugin that does nothing.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: PluginId::owned(id),
            register: Box::new(|_| Ok(())),
            phases: Phases {
                init: Box::new(|_| Box::pin(async { Ok(()) })),
                ready: Box::new(|_| Box::pin(async { Ok(()) })),
                cleanup: Box::new(|| Box::pin(async { Ok(()) })),
            },
        }
    }
    /// What it does in `register`.
    pub fn register(
        mut self,
        f: impl FnOnce(&mut RegisterEnv<'_>) -> Result<(), BoxError> + Send + 'static,
    ) -> Self {
        self.register = Box::new(f);
        self
    }
    /// What it does in `init`.
    pub fn init(
        mut self,
        f: impl for<'a> Fn(&'a InitCtx) -> PhaseFuture<'a> + Send + Sync + 'static,
    ) -> Self {
        self.phases.init = Box::new(f);
        self
    }
    /// What it does in `after_plugins_ready`.
    pub fn ready(
        mut self,
        f: impl for<'a> Fn(&'a ReadyCtx) -> PhaseFuture<'a> + Send + Sync + 'static,
    ) -> Self {
        self.phases.ready = Box::new(f);
        self
    }
    /// What it does when it is cleaned up.
    pub fn cleanup(mut self, f: impl Fn() -> PhaseFuture<'static> + Send + Sync + 'static) -> Self {
        self.phases.cleanup = Box::new(f);
        self
    }
}

impl Plugin for TestPlugin {
    fn metadata(&self) -> PluginMetadata {
        PluginMetadata {
            id: self.id.clone(),
            display_name: "Test",
            version: "0.0.0",
        }
    }
    fn register(
        self: Box<Self>,
        env: &mut RegisterEnv<'_>,
    ) -> Result<Box<dyn Registered>, BoxError> {
        (self.register)(env)?;
        Ok(Box::new(self.phases))
    }
}

#[async_trait::async_trait]
impl Registered for Phases {
    async fn init(&self, ctx: &InitCtx) -> Result<(), BoxError> {
        (self.init)(ctx).await
    }
    async fn after_plugins_ready(&self, ctx: &ReadyCtx) -> Result<(), BoxError> {
        (self.ready)(ctx).await
    }
    async fn cleanup(&self) -> Result<(), BoxError> {
        (self.cleanup)().await
    }
}
