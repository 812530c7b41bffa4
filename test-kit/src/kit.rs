//! A real runtime on a test's database and clock.

use crate::{Logs, TestDb, VirtualClock};
use plugin_api::{
    Plugin, PluginId, Services, fail,
    service::{ServiceError, ServiceRef},
};
use plugin_runtime::{BootError, Builder, ConfigKey, Runtime, ShutdownReason};
use std::{future::Future, sync::Arc};

/// Puts a runtime together; [`Kit::boot`] starts it.
pub struct Kit {
    builder: Builder,
    clock: Arc<VirtualClock>,
    logs: Logs,
    scope: fail::Scope,
}

impl Kit {
    /// On a test's database, with a virtual clock of its own and a fixed config key.
    pub async fn new(db: &TestDb) -> Self {
        Self::with_clock(db, VirtualClock::new()).await
    }

    /// With a clock that several nodes share.
    pub async fn with_clock(db: &TestDb, clock: Arc<VirtualClock>) -> Self {
        // A handle of its own, as a process would have.
        let builder = Runtime::builder(db.reopen().await)
            .clock(clock.clone())
            .config_key(ConfigKey::new([7; 32]));
        Self {
            builder,
            clock,
            logs: Logs::new(),
            scope: fail::Scope::default(),
        }
    }

    /// Adds a plugin.
    pub fn plugin(self, plugin: impl Plugin) -> Self {
        self.plugins([Box::new(plugin) as Box<dyn Plugin>])
    }
    /// Adds plugins.
    pub fn plugins(self, plugins: impl IntoIterator<Item = Box<dyn Plugin>>) -> Self {
        self.configure(|b| b.plugins(plugins))
    }
    /// Changes anything else of the builder.
    pub fn configure(mut self, f: impl FnOnce(Builder) -> Builder) -> Self {
        self.builder = f(self.builder);
        self
    }
    /// The clock, which can be moved before the boot.
    pub fn clock(&self) -> Arc<VirtualClock> {
        self.clock.clone()
    }
    /// The log of the runtime to come.
    pub fn logs(&self) -> Logs {
        self.logs.clone()
    }
    /// The fail points of the runtime to come.
    pub fn scope(&self) -> fail::Scope {
        self.scope.clone()
    }

    /// Boots.
    ///
    /// # Panics
    /// When the boot fails; see [`Kit::try_boot`].
    pub async fn boot(self) -> Node {
        let boot = Box::pin(self.try_boot());
        boot.await.unwrap_or_else(|e| panic!("{e}"))
    }

    /// Boots, or answers why not.
    pub async fn try_boot(self) -> Result<Node, BootError> {
        let Self {
            builder,
            clock,
            logs,
            scope,
        } = self;
        // On the heap: unoptimised, a boot inside a test's own future overflows the stack of its thread.
        let boot = Box::pin(builder.boot());
        let runtime = scope.run(logs.record(boot)).await?;
        Ok(Node {
            runtime: Some(runtime),
            clock,
            logs,
            scope,
        })
    }

    /// Two nodes of one cluster, on one clock, each with the plugins that `plugins` makes for it.
    ///
    /// # Panics
    /// On SQLite, which has one node, or when a boot fails.
    pub async fn two_nodes(
        db: &TestDb,
        mut plugins: impl FnMut(usize) -> Vec<Box<dyn Plugin>>,
    ) -> [Node; 2] {
        assert!(db.is_postgres(), "only Postgres is shared by nodes");
        let clock = VirtualClock::new();
        let first = Self::with_clock(db, clock.clone()).await;
        let first = first.plugins(plugins(0)).boot().await;
        let second = Self::with_clock(db, clock).await;
        let second = second.plugins(plugins(1)).boot().await;
        [first, second]
    }
}

/// A booted runtime. Dropped without [`Node::shutdown`] it is killed.
pub struct Node {
    runtime: Option<Runtime>,
    clock: Arc<VirtualClock>,
    logs: Logs,
    scope: fail::Scope,
}

impl Node {
    /// The runtime.
    pub fn runtime(&self) -> &Runtime {
        self.runtime
            .as_ref()
            .expect("a node runs until it is shut down")
    }
    /// The clock.
    pub fn clock(&self) -> Arc<VirtualClock> {
        self.clock.clone()
    }
    /// The log, from the boot on, of everything the runtime started.
    pub fn logs(&self) -> &Logs {
        &self.logs
    }
    /// Fail points.
    pub fn scope(&self) -> &fail::Scope {
        &self.scope
    }
    /// A service, asked for by a plugin of this id.
    pub fn service<T: ?Sized + Send + Sync + 'static>(
        &self,
        consumer: &'static str,
        service: &ServiceRef<T>,
    ) -> Result<Arc<T>, ServiceError> {
        self.services(consumer).get(service)
    }
    /// Services as a plugin of this id sees them.
    pub fn services(&self, consumer: &'static str) -> Services {
        self.runtime().services(PluginId::new(consumer))
    }
    /// Runs test code as if it were part of this node: its log, its fail points.
    pub async fn run<F: Future>(&self, f: F) -> F::Output {
        self.scope.run(self.logs.record(f)).await
    }
    /// Stops in good order.
    pub async fn shutdown(mut self) {
        if let Some(runtime) = self.runtime.take() {
            let stop = runtime.shutdown(ShutdownReason::Manual);
            self.scope.run(self.logs.record(stop)).await;
        }
    }
    /// Stops every task where it stands, as SIGKILL would. Leases, locks and rows stay as they are
    /// until they run out.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.scope.kill();
    }
}
