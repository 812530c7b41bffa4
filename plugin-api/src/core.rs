//! What the host itself offers under the reserved id `core`: its hooks (`plugins §6.7`), its access
//! rule, and the core services that actions can ask for by reference (`plugins §5.4`).

use crate::{
    access::AccessRule, clock::Clock, config::Configs, db::Db, hook::Hook, locks::AdvisoryLocks,
    plugin::PluginId, queue::QueueManager, service::ServiceRef, signal::Signals,
};
use serde::{Deserialize, Serialize};

/// The host's id; no plugin can have it.
pub const CORE: PluginId = PluginId::new("core");

/// Reading what concerns the host as a whole, such as the messages of readiness probes.
pub const READ: AccessRule = AccessRule::new("core.read", "See the state of the host");

/// A config was stored. Broadcast; without the value, which may be secret.
pub const CONFIG_UPDATED: Hook<ConfigUpdated> = Hook::new("core.config.updated");

/// Payload of [`CONFIG_UPDATED`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigUpdated {
    /// Whose config.
    pub plugin_id: String,
    /// Its id.
    pub key: String,
}

/// The host is about to stop. Instance-local.
pub const PLATFORM_SHUTDOWN: Hook<PlatformShutdown> = Hook::new("core.platform.shutdown");

/// Why the host stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShutdownReason {
    /// SIGTERM or SIGINT.
    Signal,
    /// It cannot go on.
    Error,
    /// Asked for.
    Manual,
}

/// Payload of [`PLATFORM_SHUTDOWN`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlatformShutdown {
    /// Why.
    pub reason: ShutdownReason,
}

/// A plugin is about to be cleaned up. Instance-local.
pub const PLUGIN_DEREGISTERING: Hook<PluginDeregistering> = Hook::new("core.plugin.deregistering");

/// Why a plugin goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeregisterReason {
    /// Removed.
    Uninstall,
    /// Switched off.
    Disable,
    /// The host stops.
    Shutdown,
}

/// Payload of [`PLUGIN_DEREGISTERING`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginDeregistering {
    /// Which.
    pub plugin_id: String,
    /// Why.
    pub reason: DeregisterReason,
}

/// The consumer's own database handle.
pub const DATABASE: ServiceRef<Db> = ServiceRef::new("database");
/// The consumer's own configs.
pub const CONFIG: ServiceRef<Configs> = ServiceRef::new("config");
/// Queues.
pub const QUEUES: ServiceRef<dyn QueueManager> = ServiceRef::new("queue_manager");
/// Signals.
pub const SIGNALS: ServiceRef<dyn Signals> = ServiceRef::new("signals");
/// Advisory locks.
pub const LOCKS: ServiceRef<dyn AdvisoryLocks> = ServiceRef::new("advisory_lock");
/// The one clock.
pub const CLOCK: ServiceRef<dyn Clock> = ServiceRef::new("clock");
/// Keeps this node's clock equal to the database's; absent where one process owns the database.
pub const CLOCK_SYNC: ServiceRef<dyn ClockSync> = ServiceRef::new("clock_sync");

/// Measures the difference between this node's clock and the database's (`dispatch §1`).
#[async_trait::async_trait]
pub trait ClockSync: Send + Sync {
    /// Measures again unless that was done in the last 20 s. Called with lease renewals while
    /// something runs; an idle node measures every 5 minutes.
    async fn sync(&self) -> Result<(), crate::db::DbError>;
}
