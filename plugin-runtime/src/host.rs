//! What plugins stand on: the runtime's side of the phase contexts.

#[cfg(feature = "postgres")]
use crate::locks::PostgresLocks;
use crate::{
    locks::MemoryLocks, queue::panic_text, readiness::Readiness, rules::AccessRules,
    services::ServiceRegistry,
};
use axum::Router;
use futures::FutureExt;
use plugin_api::{
    AccessRule, BoxError, Clock, Db, Kernel, Migration, PluginId, StatusBoard,
    config::ConfigStore,
    extension::Points,
    hints::Hints,
    hook::HookBus,
    http::{RouteInfo, Routes},
    locks::Locks,
    masking::RunSecretRegistry,
    phases::{BootObserver, Later},
    queue::QueueManager,
    readiness::ProbeDef,
    service::{AnyService, ServiceError, ServiceFactory, ServiceLookup},
    signal::Signals,
};
use std::{
    any::Any,
    collections::HashMap,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

/// Locks, of which Postgres keeps one view per plugin.
pub(crate) enum LockService {
    Memory(Arc<MemoryLocks>),
    #[cfg(feature = "postgres")]
    Postgres(PostgresLocks),
}

/// What `register` and the phases after it leave for the boot and the shutdown.
#[derive(Default)]
pub(crate) struct Declared {
    pub migrations: HashMap<PluginId, &'static [Migration]>,
    pub observers: Vec<(PluginId, BootObserver)>,
    pub started: Vec<(PluginId, Later)>,
    pub cleanups: HashMap<PluginId, Vec<Later>>,
    pub router: Router,
    pub routes: Vec<(PluginId, RouteInfo)>,
}

/// The kernel of one process.
pub(crate) struct Host {
    pub me: Weak<Host>,
    pub points: Points,
    pub services: ServiceRegistry,
    pub rules: AccessRules,
    pub declared: Mutex<Declared>,
    pub readiness: Arc<Readiness>,
    pub status: StatusBoard,
    pub db: Db,
    pub plugin_dbs: Mutex<HashMap<PluginId, Db>>,
    pub clock: Arc<dyn Clock>,
    pub queues: Arc<dyn QueueManager>,
    pub hooks: Arc<dyn HookBus>,
    pub locks: LockService,
    pub hints: Arc<dyn Hints>,
    pub configs: Arc<dyn ConfigStore>,
    pub signals: Arc<dyn Signals>,
    pub run_secrets: Arc<RunSecretRegistry>,
    pub clustered: bool,
    pub node_id: String,
}

impl Host {
    /// Also after a plugin panicked in a declaration, so that what it and others declared before is
    /// still cleaned up.
    pub fn declared(&self) -> MutexGuard<'_, Declared> {
        self.declared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Calls a plugin's code; its panic is an error like any other, so that nobody else pays for it.
pub(crate) fn guarded<T>(code: impl FnOnce() -> Result<T, BoxError>) -> Result<T, BoxError> {
    catch_unwind(AssertUnwindSafe(code)).unwrap_or_else(|panic| Err(panicked(&*panic)))
}

/// As [`guarded`], for code that waits.
pub(crate) async fn guarded_async<T>(
    code: impl Future<Output = Result<T, BoxError>>,
) -> Result<T, BoxError> {
    let result = AssertUnwindSafe(code).catch_unwind().await;
    result.unwrap_or_else(|panic| Err(panicked(&*panic)))
}

fn panicked(panic: &(dyn Any + Send)) -> BoxError {
    format!("it panicked: {}", panic_text(panic)).into()
}

impl ServiceLookup for Host {
    fn lookup(
        &self,
        service: &'static str,
        consumer: &PluginId,
    ) -> Result<AnyService, ServiceError> {
        self.services.lookup(service, consumer)
    }
}

impl Kernel for Host {
    fn points(&self) -> &Points {
        &self.points
    }
    fn declare_service(&self, by: &PluginId, service: &'static str) -> Result<(), ServiceError> {
        self.services.declare(by, service)
    }
    fn require_service(&self, by: &PluginId, service: &'static str) {
        self.services.require(by, service);
    }
    fn put_service(
        &self,
        by: &PluginId,
        service: &'static str,
        value: AnyService,
    ) -> Result<(), ServiceError> {
        self.services.put(by, service, value)
    }
    fn put_factory(
        &self,
        by: &PluginId,
        service: &'static str,
        factory: ServiceFactory,
    ) -> Result<(), ServiceError> {
        self.services.put_factory(by, service, factory)
    }
    fn access_rules(&self, by: &PluginId, rules: &[AccessRule]) -> Result<(), BoxError> {
        Ok(self.rules.register(by, rules)?)
    }
    fn all_access_rules(&self) -> Vec<(PluginId, AccessRule)> {
        self.rules.all()
    }
    fn migrations(&self, by: &PluginId, migrations: &'static [Migration]) {
        self.declared().migrations.insert(by.clone(), migrations);
    }
    fn observe_boot(&self, by: &PluginId, observer: BootObserver) {
        self.declared().observers.push((by.clone(), observer));
    }
    fn routes(&self, by: &PluginId, routes: Routes) -> Result<(), BoxError> {
        let (router, table) = routes.into_parts();
        let mut declared = self.declared();
        for route in &table {
            let (method, path) = (&route.method, route.path);
            if !self.rules.knows(route.rule) {
                return Err(format!(
                    "route {method} {path} needs the access rule `{}`, which no plugin declares",
                    route.rule
                )
                .into());
            }
            let taken = |(_, r): &&(PluginId, RouteInfo)| r.method == *method && r.path == path;
            if let Some((owner, _)) = declared.routes.iter().find(taken) {
                return Err(
                    format!("route {method} {path} already belongs to plugin {owner}").into(),
                );
            }
        }
        let all = std::mem::take(&mut declared.router);
        declared.router = all.merge(router);
        let table = table.into_iter().map(|r| (by.clone(), r));
        declared.routes.extend(table);
        Ok(())
    }
    fn readiness(&self, by: &PluginId, probe: ProbeDef) -> Result<(), BoxError> {
        self.readiness.register(by, probe)
    }
    fn on_started(&self, by: &PluginId, start: Later) {
        self.declared().started.push((by.clone(), start));
    }
    fn on_cleanup(&self, by: &PluginId, cleanup: Later) {
        let mut declared = self.declared();
        declared
            .cleanups
            .entry(by.clone())
            .or_default()
            .push(cleanup);
    }
    fn status(&self) -> StatusBoard {
        self.status.clone()
    }
    fn database(&self) -> Db {
        self.db.clone()
    }
    fn plugin_database(&self, plugin: &PluginId) -> Db {
        let mut dbs = self.plugin_dbs.lock().expect("plugin databases");
        dbs.entry(plugin.clone())
            .or_insert_with(|| self.db.scoped(&plugin.schema()))
            .clone()
    }
    fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }
    fn queues(&self) -> Arc<dyn QueueManager> {
        self.queues.clone()
    }
    fn hooks(&self) -> Arc<dyn HookBus> {
        self.hooks.clone()
    }
    fn locks(&self, plugin: &PluginId) -> Locks {
        match &self.locks {
            LockService::Memory(locks) => {
                let _ = plugin;
                locks.clone()
            }
            #[cfg(feature = "postgres")]
            LockService::Postgres(locks) => Arc::new(locks.for_schema(plugin.schema())),
        }
    }
    fn hints(&self) -> Arc<dyn Hints> {
        self.hints.clone()
    }
    fn configs(&self) -> Arc<dyn ConfigStore> {
        self.configs.clone()
    }
    fn signals(&self) -> Arc<dyn Signals> {
        self.signals.clone()
    }
    fn run_secrets(&self) -> Arc<RunSecretRegistry> {
        self.run_secrets.clone()
    }
    fn clustered(&self) -> bool {
        self.clustered
    }
    fn node_id(&self) -> &str {
        &self.node_id
    }
    fn lookup_arc(&self) -> Arc<dyn ServiceLookup> {
        self.me.upgrade().expect("the host lives while it is used")
    }
}
