//! A running host, and how it stops.

use crate::{
    Readiness,
    builder::Builder,
    clock_sync::DbClock,
    hook::SqlHookBus,
    host::{Host, guarded_async},
};
use axum::Router;
use plugin_api::{
    AccessRule, Clock, Db, Kernel, PluginId, Registered, Services, StatusBoard,
    core::{
        self, CORE, ClockSync, DeregisterReason, PlatformShutdown, PluginDeregistering,
        ShutdownReason,
    },
    db::DbError,
    hook::{Hook, Hooks},
    http::RouteInfo,
    signal::Signals,
    timeout,
};
use serde::Serialize;
use std::{sync::Arc, time::Duration};
use tokio::task::JoinHandle;

/// All of a plugin's clean-up together.
const CLEANUP: Duration = Duration::from_secs(10);
/// All local subscribers of one event of the shutdown together.
const TELL: Duration = Duration::from_secs(10);

pub(crate) struct Booted {
    pub id: PluginId,
    pub plugin: Box<dyn Registered>,
}

/// A host whose boot is complete.
pub struct Runtime {
    pub(crate) host: Arc<Host>,
    pub(crate) bus: Arc<SqlHookBus>,
    pub(crate) db_clock: Option<Arc<DbClock>>,
    #[cfg(feature = "postgres")]
    pub(crate) wire: Option<crate::hints::wire::Wire>,
    /// In `init` order.
    pub(crate) plugins: Vec<Booted>,
    pub(crate) tasks: Vec<JoinHandle<()>>,
}

impl Runtime {
    /// Starts to put a runtime together.
    pub fn builder(db: Db) -> Builder {
        Builder::new(db)
    }

    /// The kernel, from which phase contexts are made.
    pub fn kernel(&self) -> Arc<dyn Kernel> {
        self.host.clone()
    }
    /// Services as one consumer sees them.
    pub fn services(&self, consumer: PluginId) -> Services {
        Services::new(self.host.lookup_arc(), consumer)
    }
    /// The routes of all plugins under `/api/v1`. Rules are checked against the
    /// [`Principal`](plugin_api::Principal) that the host's middleware puts into the request.
    pub fn router(&self) -> Router {
        let declared = self.host.declared();
        Router::new().nest("/api/v1", declared.router.clone())
    }
    /// Every route with its plugin and rule.
    pub fn routes(&self) -> Vec<(PluginId, RouteInfo)> {
        let declared = self.host.declared();
        declared.routes.clone()
    }
    /// Every access rule, the host's own first.
    pub fn access_rules(&self) -> Vec<(PluginId, AccessRule)> {
        self.host.rules.all()
    }
    /// Readiness, for `/readyz`.
    pub fn readiness(&self) -> Arc<Readiness> {
        self.host.readiness.clone()
    }
    /// What the loops of this process are doing.
    pub fn status(&self) -> StatusBoard {
        self.host.status.clone()
    }
    /// Signals; the live stream subscribes here.
    pub fn signals(&self) -> Arc<dyn Signals> {
        self.host.signals.clone()
    }
    /// The framework's database.
    pub fn database(&self) -> Db {
        self.host.db.clone()
    }
    /// The one clock.
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.host.clock.clone()
    }
    /// This process.
    pub fn node_id(&self) -> &str {
        &self.host.node_id
    }
    /// Plugins in `init` order.
    pub fn plugins(&self) -> Vec<PluginId> {
        self.plugins.iter().map(|p| p.id.clone()).collect()
    }
    /// Measures the difference to the database's clock again, at most every 20 s; nothing to do
    /// where one process owns the database.
    pub async fn sync_clock(&self) -> Result<(), DbError> {
        match &self.db_clock {
            Some(clock) => clock.sync().await,
            None => Ok(()),
        }
    }

    /// Stops: `/readyz` turns 503, local subscribers are told, queues finish what runs, plugins are
    /// cleaned up in reverse `init` order. Failures are logged. The main database handle stays open
    /// for the host to close.
    pub async fn shutdown(mut self, reason: ShutdownReason) {
        self.take_down(reason).await;
    }

    pub(crate) async fn take_down(&mut self, reason: ShutdownReason) {
        self.host.readiness.stopping();
        self.tell(&core::PLATFORM_SHUTDOWN, &PlatformShutdown { reason })
            .await;
        self.host.queues.stop().await;
        self.bus.stop().await;
        while let Some(Booted { id, plugin }) = self.plugins.pop() {
            let event = PluginDeregistering {
                plugin_id: id.as_str().to_owned(),
                reason: DeregisterReason::Shutdown,
            };
            self.tell(&core::PLUGIN_DEREGISTERING, &event).await;
            let cleanup = clean_up(&self.host, &id, &*plugin);
            if timeout(&*self.host.clock, CLEANUP, cleanup).await.is_err() {
                tracing::error!(plugin = %id, "Cleaning up took longer than 10 s and was left.");
            }
        }
        for task in self.tasks.drain(..) {
            task.abort();
        }
        // What the clean-ups gave back is of use to other nodes only if they hear of it.
        #[cfg(feature = "postgres")]
        if let Some(wire) = self.wire.take() {
            wire.close().await;
        }
        let dbs = std::mem::take(&mut *self.host.plugin_dbs.lock().expect("plugin databases"));
        if self.host.clustered {
            // On SQLite they are the main handle.
            for db in dbs.into_values() {
                db.close().await;
            }
        }
        tracing::info!(?reason, "Stopped.");
    }

    async fn tell<P: Serialize>(&self, hook: &Hook<P>, payload: &P) {
        let hooks = Hooks::new(self.host.hooks.clone(), CORE);
        let told = hooks.emit_local(hook, payload);
        match timeout(&*self.host.clock, TELL, told).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(hook = hook.id, %error, "Local subscribers could not be told.");
            }
            Err(_) => {
                tracing::error!(
                    hook = hook.id,
                    "A local subscriber took longer than 10 s and was left."
                );
            }
        }
    }
}

async fn clean_up(host: &Host, id: &PluginId, plugin: &dyn Registered) {
    loop {
        // The last registered first; taken one by one, so that none is lost to the time limit unseen.
        let next = {
            let mut declared = host.declared();
            declared.cleanups.get_mut(id).and_then(Vec::pop)
        };
        let Some(cleanup) = next else { break };
        if let Err(error) = guarded_async(async { cleanup().await }).await {
            tracing::error!(plugin = %id, %error, "A clean-up failed; the others run.");
        }
    }
    if let Err(error) = guarded_async(plugin.cleanup()).await {
        tracing::error!(plugin = %id, %error, "A clean-up failed; the others run.");
    }
}
