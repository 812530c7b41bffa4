//! The context types of the three phases (`plugins §2`). Each wraps the kernel, the runtime's side
//! of the seam, with the identity of one plugin.

use crate::{
    Clock,
    access::AccessRule,
    config::{ConfigStore, Configs},
    db::Db,
    error::BoxError,
    extension::{ExtensionError, ExtensionPoint, Implements, Point, Points},
    hints::Hints,
    hook::{HookBus, Hooks},
    http::Routes,
    locks::Locks,
    migration::Migration,
    plugin::PluginId,
    queue::{Queue, QueueManager},
    readiness::ProbeDef,
    service::{AnyService, ServiceError, ServiceFactory, ServiceLookup, ServiceRef, Services},
    signal::Signals,
    status::{LoopReporter, StatusBoard},
};
use masking::RunSecretRegistry;
use serde::Serialize;
use std::{future::Future, pin::Pin, sync::Arc};

/// A boot observer's view of one event (`plugins §3.5`).
#[derive(Clone, Debug)]
pub enum BootEvent {
    /// `core.plugin.initialized`: after a plugin's `init`. A failing observer halts the boot.
    PluginInitialized {
        /// The plugin.
        plugin: PluginId,
    },
    /// `core.accessRules.registered`: before `after_plugins_ready`. A failing observer is logged.
    AccessRulesRegistered {
        /// The plugin.
        plugin: PluginId,
        /// Its rules.
        rules: Vec<AccessRule>,
    },
}

/// A boot observer.
pub type BootObserver = Arc<dyn Fn(&BootEvent) -> Result<(), BoxError> + Send + Sync>;

/// Work that a plugin leaves with the runtime for later: see [`ReadyCtx::on_started`] and
/// [`ReadyCtx::on_cleanup`].
pub type Later =
    Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>> + Send>;

fn later<Fut>(f: impl FnOnce() -> Fut + Send + 'static) -> Later
where
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    Box::new(move || Box::pin(f()))
}

/// The runtime's side of the seam. Plugins never see it; they see the contexts below.
pub trait Kernel: ServiceLookup + 'static {
    /// Extension points.
    fn points(&self) -> &Points;
    /// Declares a service that `by` will provide in `init`.
    fn declare_service(&self, by: &PluginId, service: &'static str) -> Result<(), ServiceError>;
    /// Declares that `by` depends on a service.
    fn require_service(&self, by: &PluginId, service: &'static str);
    /// Registers an instance.
    fn put_service(
        &self,
        by: &PluginId,
        service: &'static str,
        value: AnyService,
    ) -> Result<(), ServiceError>;
    /// Registers a factory; it wins over an instance of the same id.
    fn put_factory(
        &self,
        by: &PluginId,
        service: &'static str,
        factory: ServiceFactory,
    ) -> Result<(), ServiceError>;
    /// Declares access rules; duplicates, malformed and foreign ids are errors.
    fn access_rules(&self, by: &PluginId, rules: &[AccessRule]) -> Result<(), BoxError>;
    /// Every declared rule.
    fn all_access_rules(&self) -> Vec<(PluginId, AccessRule)>;
    /// Sets a plugin's migrations.
    fn migrations(&self, by: &PluginId, migrations: &'static [Migration]);
    /// Adds a boot observer.
    fn observe_boot(&self, by: &PluginId, observer: BootObserver);
    /// Mounts routes under `/api/v1`.
    fn routes(&self, by: &PluginId, routes: Routes) -> Result<(), BoxError>;
    /// Registers a readiness probe.
    fn readiness(&self, by: &PluginId, probe: ProbeDef) -> Result<(), BoxError>;
    /// Keeps work until the boot barrier is open.
    fn on_started(&self, by: &PluginId, start: Later);
    /// Keeps work until the plugin is cleaned up.
    fn on_cleanup(&self, by: &PluginId, cleanup: Later);
    /// Where loops report.
    fn status(&self) -> StatusBoard;
    /// The framework's database handle.
    fn database(&self) -> Db;
    /// The plugin's own handle (its schema on Postgres).
    fn plugin_database(&self, plugin: &PluginId) -> Db;
    /// The one clock.
    fn clock(&self) -> Arc<dyn Clock>;
    /// Queues.
    fn queues(&self) -> Arc<dyn QueueManager>;
    /// Hooks.
    fn hooks(&self) -> Arc<dyn HookBus>;
    /// Advisory locks; transactions of sections see the plugin's own tables.
    fn locks(&self, plugin: &PluginId) -> Locks;
    /// Wake-up hints.
    fn hints(&self) -> Arc<dyn Hints>;
    /// Configs.
    fn configs(&self) -> Arc<dyn ConfigStore>;
    /// Signals.
    fn signals(&self) -> Arc<dyn Signals>;
    /// Mask sets of runs.
    fn run_secrets(&self) -> Arc<RunSecretRegistry>;
    /// True when other nodes may share the database (Postgres).
    fn clustered(&self) -> bool;
    /// This process, unique per start.
    fn node_id(&self) -> &str;
    /// The kernel as a service look-up that can be kept.
    fn lookup_arc(&self) -> Arc<dyn ServiceLookup>;
}

/// Phase `register`: declare, never touch a database or the network.
pub struct RegisterEnv<'a> {
    kernel: &'a Arc<dyn Kernel>,
    me: PluginId,
}

impl<'a> RegisterEnv<'a> {
    /// For the runtime.
    pub fn new(kernel: &'a Arc<dyn Kernel>, me: PluginId) -> Self {
        Self { kernel, me }
    }
    /// The registering plugin.
    pub fn plugin(&self) -> &PluginId {
        &self.me
    }
    /// The front of an extension point; calls made before its implementation exists are replayed.
    pub fn extension<P: Point>(&self, _point: &ExtensionPoint<P>) -> P::Front<'_> {
        self.kernel.points().front::<P>(&self.me, false)
    }
    /// As [`RegisterEnv::extension`], but calls are dropped when nobody implements the point.
    pub fn extension_optional<P: Point>(&self, _point: &ExtensionPoint<P>) -> P::Front<'_> {
        self.kernel.points().front::<P>(&self.me, true)
    }
    /// Implements an extension point; a second implementation is an error.
    pub fn implement<P: Point>(
        &mut self,
        _point: &ExtensionPoint<P>,
        implementation: Arc<dyn Implements<P>>,
    ) -> Result<(), ExtensionError> {
        self.kernel.points().implement(&self.me, implementation)
    }
    /// Declares a service that `init` will provide.
    pub fn provides<T: ?Sized>(&mut self, service: &ServiceRef<T>) -> Result<(), ServiceError> {
        self.kernel.declare_service(&self.me, service.id)
    }
    /// Declares a dependency: the provider's `init` runs first.
    pub fn requires<T: ?Sized>(&mut self, service: &ServiceRef<T>) {
        self.kernel.require_service(&self.me, service.id);
    }
    /// Registers an instance already now; consumers can get it from `init` on.
    pub fn provide<T: ?Sized + Send + Sync + 'static>(
        &mut self,
        service: &ServiceRef<T>,
        value: Arc<T>,
    ) -> Result<(), ServiceError> {
        self.kernel.declare_service(&self.me, service.id)?;
        self.kernel
            .put_service(&self.me, service.id, AnyService::new(value))
    }
    /// Declares access rules.
    pub fn access_rules(&mut self, rules: &[AccessRule]) -> Result<(), BoxError> {
        self.kernel.access_rules(&self.me, rules)
    }
    /// Sets the plugin's migrations; they run before its `init`.
    pub fn migrations(&mut self, migrations: &'static [Migration]) {
        self.kernel.migrations(&self.me, migrations);
    }
    /// Adds a boot observer.
    pub fn observe_boot(
        &mut self,
        observer: impl Fn(&BootEvent) -> Result<(), BoxError> + Send + Sync + 'static,
    ) {
        self.kernel.observe_boot(&self.me, Arc::new(observer));
    }
    /// The plugin's database handle. It may be stored now; it is usable from `init` on.
    pub fn database(&self) -> Db {
        self.kernel.plugin_database(&self.me)
    }
    /// The one clock.
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.kernel.clock()
    }
}

macro_rules! shared_context {
    ($t:ident) => {
        impl $t {
            /// For the runtime.
            pub fn new(kernel: Arc<dyn Kernel>, me: PluginId) -> Self {
                Self { kernel, me }
            }
            /// The plugin whose phase runs.
            pub fn plugin(&self) -> &PluginId {
                &self.me
            }
            /// The plugin's own database handle.
            pub fn database(&self) -> Db {
                self.kernel.plugin_database(&self.me)
            }
            /// The framework's handle, for the engine's own crates.
            pub fn framework_database(&self) -> Db {
                self.kernel.database()
            }
            /// Every plugin's own handle, for the entity engine: a kind is read and written on that
            /// of the plugin that defined it. May be kept.
            pub fn databases(&self) -> Arc<dyn Fn(&PluginId) -> Db + Send + Sync> {
                let kernel = self.kernel.clone();
                Arc::new(move |plugin| kernel.plugin_database(plugin))
            }
            /// The one clock.
            pub fn clock(&self) -> Arc<dyn Clock> {
                self.kernel.clock()
            }
            /// Services with this plugin's identity; may be kept.
            pub fn services(&self) -> Services {
                Services::new(self.kernel.lookup_arc(), self.me.clone())
            }
            /// A service, or an error naming it and this plugin.
            pub fn get_service<T: ?Sized + Send + Sync + 'static>(
                &self,
                service: &ServiceRef<T>,
            ) -> Result<Arc<T>, ServiceError> {
                self.services().get(service)
            }
            /// A typed queue handle; prefix the name with the plugin id.
            pub fn queue<T: Serialize + Send + Sync + 'static>(&self, name: &str) -> Queue<T> {
                Queue::new(self.kernel.queues(), name)
            }
            /// The queue service.
            pub fn queues(&self) -> Arc<dyn QueueManager> {
                self.kernel.queues()
            }
            /// Hooks with this plugin's identity; may be kept. Subscribe in `after_plugins_ready`.
            pub fn hooks(&self) -> Hooks {
                Hooks::new(self.kernel.hooks(), self.me.clone())
            }
            /// Advisory locks.
            pub fn locks(&self) -> Locks {
                self.kernel.locks(&self.me)
            }
            /// Wake-up hints.
            pub fn hints(&self) -> Arc<dyn Hints> {
                self.kernel.hints()
            }
            /// The plugin's configs.
            pub fn configs(&self) -> Configs {
                Configs::new(self.kernel.configs(), self.me.clone())
            }
            /// Signals.
            pub fn signals(&self) -> Arc<dyn Signals> {
                self.kernel.signals()
            }
            /// Mask sets of runs.
            pub fn run_secrets(&self) -> Arc<RunSecretRegistry> {
                self.kernel.run_secrets()
            }
            /// Where a loop of this plugin reports what it is doing, as `<plugin>.<name>`.
            pub fn reporter(&self, name: &str) -> LoopReporter {
                self.kernel.status().register(self.me.qualify(name))
            }
            /// What all loops of this process are doing.
            pub fn status(&self) -> StatusBoard {
                self.kernel.status()
            }
            /// Runs at shutdown; the last registered runs first, before
            /// [`Registered::cleanup`](crate::plugin::Registered::cleanup). A failure is logged and
            /// disturbs no other. All of a plugin's clean-up has 10 s together.
            pub fn on_cleanup<Fut>(&self, f: impl FnOnce() -> Fut + Send + 'static)
            where
                Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
            {
                self.kernel.on_cleanup(&self.me, later(f));
            }
            /// True when other nodes may share the database.
            pub fn clustered(&self) -> bool {
                self.kernel.clustered()
            }
            /// This process, unique per start.
            pub fn node_id(&self) -> &str {
                self.kernel.node_id()
            }
        }
    };
}

/// Phase `init`: own database and declared services.
pub struct InitCtx {
    kernel: Arc<dyn Kernel>,
    me: PluginId,
}
shared_context!(InitCtx);

impl InitCtx {
    /// The front of an extension point.
    pub fn extension<P: Point>(&self, _point: &ExtensionPoint<P>) -> P::Front<'_> {
        self.kernel.points().front::<P>(&self.me, false)
    }
    /// Registers a service.
    pub fn provide<T: ?Sized + Send + Sync + 'static>(
        &self,
        service: &ServiceRef<T>,
        value: Arc<T>,
    ) -> Result<(), ServiceError> {
        self.kernel
            .put_service(&self.me, service.id, AnyService::new(value))
    }
    /// Registers a service that is made anew for each consumer and knows who that is.
    pub fn provide_factory<T: ?Sized + Send + Sync + 'static>(
        &self,
        service: &ServiceRef<T>,
        factory: impl Fn(&PluginId) -> Arc<T> + Send + Sync + 'static,
    ) -> Result<(), ServiceError> {
        let factory = Arc::new(move |consumer: &PluginId| AnyService::new(factory(consumer)));
        self.kernel.put_factory(&self.me, service.id, factory)
    }
    /// Mounts routes under `/api/v1`.
    pub fn routes(&self, routes: Routes) -> Result<(), BoxError> {
        self.kernel.routes(&self.me, routes)
    }
    /// Registers a readiness probe.
    pub fn readiness(&self, probe: ProbeDef) -> Result<(), BoxError> {
        self.kernel.readiness(&self.me, probe)
    }
}

/// Phase `after_plugins_ready`: everything but defining and providing.
pub struct ReadyCtx {
    kernel: Arc<dyn Kernel>,
    me: PluginId,
}
shared_context!(ReadyCtx);

impl ReadyCtx {
    /// The front of an extension point (actions may be registered until the end of this phase).
    pub fn extension<P: Point>(&self, _point: &ExtensionPoint<P>) -> P::Front<'_> {
        self.kernel.points().front::<P>(&self.me, false)
    }
    /// Runs once the boot barrier is open: every plugin is ready and held-back events flow. The
    /// place to start loops that deliver to others. Run in the order of registration; a failure
    /// fails the boot.
    pub fn on_started<Fut>(&self, f: impl FnOnce() -> Fut + Send + 'static)
    where
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        self.kernel.on_started(&self.me, later(f));
    }
    /// Every access rule of every plugin.
    pub fn all_access_rules(&self) -> Vec<(PluginId, AccessRule)> {
        self.kernel.all_access_rules()
    }
}
