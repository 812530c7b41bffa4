//! Hooks: typed events between plugins (`plugins §6`).

use crate::{
    actor::Actor,
    db::Tx,
    error::BoxError,
    plugin::PluginId,
    queue::{JobError, Retries, Subscription},
    values::Ts,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{future::Future, marker::PhantomData, sync::Arc};

/// The typed id of an event, `<plugin>.<noun>.<event>`, declared next to its payload by its owner.
pub struct Hook<P> {
    /// The id.
    pub id: &'static str,
    marker: PhantomData<fn() -> P>,
}
impl<P> Hook<P> {
    /// A hook by id.
    pub const fn new(id: &'static str) -> Self {
        Self {
            id,
            marker: PhantomData,
        }
    }
}
impl<P> Clone for Hook<P> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<P> Copy for Hook<P> {}

/// What travels beside a payload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventMeta {
    /// Who caused the event.
    pub actor: Actor,
    /// When it was emitted.
    #[serde(with = "crate::values::rfc3339")]
    pub emitted_at: Ts,
    /// Stable across redelivery.
    pub delivery_id: String,
    /// What led to it, when a run did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<crate::Cause>,
}

/// An event that is stored on behalf of something that happened earlier.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// What it carries.
    pub payload: Value,
    /// Who caused it.
    pub actor: Actor,
    /// What led to it, when a run did; a chain of automations must not begin anew with it.
    pub cause: Option<crate::Cause>,
}

/// Who handles an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookMode {
    /// Every node, no retries.
    Broadcast,
    /// One node per event.
    WorkQueue {
        /// The group, without the plugin's prefix.
        worker_group: String,
        /// Default is `Retries::Limited(3)`.
        retries: Retries,
    },
    /// This node only, in memory; receives only `emit_local`.
    InstanceLocal,
}

impl HookMode {
    /// A work queue with 3 retries.
    pub fn work_queue(group: impl Into<String>) -> Self {
        Self::WorkQueue {
            worker_group: group.into(),
            retries: Retries::Limited(3),
        }
    }
}

/// Why an emit or subscription was refused.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// Only the owner may emit.
    #[error(
        "plugin {plugin} must not emit hook {hook}: only the plugin whose id begins the hook's id may"
    )]
    NotOwner {
        /// The hook.
        hook: String,
        /// Who tried.
        plugin: PluginId,
    },
    /// A blank worker group.
    #[error("plugin {plugin} subscribes to hook {hook} as a work queue without a worker group")]
    NoGroup {
        /// The hook.
        hook: String,
        /// Who tried.
        plugin: PluginId,
    },
    /// The group is used twice in one plugin.
    #[error("plugin {plugin} uses worker group {group} twice; the second time for hook {hook}")]
    DuplicateGroup {
        /// The hook of the second use.
        hook: String,
        /// Who tried.
        plugin: PluginId,
        /// The group.
        group: String,
    },
    /// The payload does not serialise, or the event could not be stored.
    #[error("hook {hook}: {source}")]
    Store {
        /// The hook.
        hook: String,
        /// The cause.
        source: BoxError,
    },
}

/// Handles raw payloads.
#[async_trait::async_trait]
pub trait RawHookHandler: Send + Sync + 'static {
    /// `Ok`, or an error as for queue jobs.
    async fn handle(&self, payload: Value, meta: EventMeta) -> Result<(), JobError>;
}

struct Typed<P, F>(F, &'static str, PhantomData<fn(P)>);
#[async_trait::async_trait]
impl<P, F, Fut> RawHookHandler for Typed<P, F>
where
    P: DeserializeOwned + Send + 'static,
    F: Fn(P, EventMeta) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), JobError>> + Send,
{
    async fn handle(&self, payload: Value, meta: EventMeta) -> Result<(), JobError> {
        match P::deserialize(&payload) {
            Ok(p) => (self.0)(p, meta).await,
            Err(error) => {
                tracing::warn!(hook = self.1, %error, delivery_id = %meta.delivery_id, "A hook payload does not decode and was dropped.");
                Ok(())
            }
        }
    }
}

/// The untyped service; object-safe.
#[async_trait::async_trait]
pub trait HookBus: Send + Sync {
    /// Stores the event for all durable and broadcast groups, in `tx` or a transaction of its own.
    async fn emit(
        &self,
        by: &PluginId,
        hook: &str,
        payload: Value,
        actor: Actor,
        tx: Option<&mut Tx>,
    ) -> Result<(), HookError>;
    /// Stores events of one hook in order, in `tx`; a bus that can do so stores them at once. Each has
    /// the cause it comes with, whatever the running context says.
    async fn emit_all(
        &self,
        by: &PluginId,
        hook: &str,
        events: Vec<NewEvent>,
        tx: &mut Tx,
    ) -> Result<(), HookError> {
        for event in events {
            let context = crate::RequestContext {
                cause: event.cause.map(Arc::new),
                ..crate::RequestContext::current()
            };
            let emitted = self.emit(by, hook, event.payload, event.actor, Some(tx));
            context.scope(emitted).await?;
        }
        Ok(())
    }
    /// Calls this process's instance-local subscribers.
    async fn emit_local(
        &self,
        by: &PluginId,
        hook: &str,
        payload: Value,
        actor: Actor,
    ) -> Result<(), HookError>;
    /// Subscribes.
    async fn subscribe(
        &self,
        by: &PluginId,
        hook: &str,
        mode: HookMode,
        handler: Arc<dyn RawHookHandler>,
    ) -> Result<Subscription, HookError>;
}

/// Hook access with one plugin's identity; cheap to clone. Events emitted before the boot barrier
/// are stored and delivered after it (`plugins §3.4`).
#[derive(Clone)]
pub struct Hooks {
    bus: Arc<dyn HookBus>,
    plugin: PluginId,
}

impl Hooks {
    /// Access for one plugin.
    pub fn new(bus: Arc<dyn HookBus>, plugin: PluginId) -> Self {
        Self { bus, plugin }
    }
    fn encode<P: Serialize>(hook: &Hook<P>, payload: &P) -> Result<Value, HookError> {
        serde_json::to_value(payload).map_err(|e| HookError::Store {
            hook: hook.id.into(),
            source: Box::new(e),
        })
    }
    /// Stores an event; returns when it is stored. The actor comes from the running context.
    pub async fn emit<P: Serialize>(&self, hook: &Hook<P>, payload: &P) -> Result<(), HookError> {
        let actor = crate::RequestContext::current().actor;
        self.bus
            .emit(
                &self.plugin,
                hook.id,
                Self::encode(hook, payload)?,
                actor,
                None,
            )
            .await
    }
    /// Stores an event if and only if `tx` commits.
    pub async fn emit_in<P: Serialize>(
        &self,
        tx: &mut Tx,
        hook: &Hook<P>,
        payload: &P,
    ) -> Result<(), HookError> {
        let actor = crate::RequestContext::current().actor;
        self.bus
            .emit(
                &self.plugin,
                hook.id,
                Self::encode(hook, payload)?,
                actor,
                Some(tx),
            )
            .await
    }
    /// Calls the instance-local subscribers of this process; their failures are logged and counted.
    pub async fn emit_local<P: Serialize>(
        &self,
        hook: &Hook<P>,
        payload: &P,
    ) -> Result<(), HookError> {
        let actor = crate::RequestContext::current().actor;
        self.bus
            .emit_local(&self.plugin, hook.id, Self::encode(hook, payload)?, actor)
            .await
    }
    /// Subscribes a typed handler. A payload that does not decode is dropped with a warning.
    pub async fn on<P, F, Fut>(
        &self,
        hook: &Hook<P>,
        mode: HookMode,
        handler: F,
    ) -> Result<Subscription, HookError>
    where
        P: DeserializeOwned + Send + 'static,
        F: Fn(P, EventMeta) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), JobError>> + Send + 'static,
    {
        self.bus
            .subscribe(
                &self.plugin,
                hook.id,
                mode,
                Arc::new(Typed(handler, hook.id, PhantomData)),
            )
            .await
    }
    /// The untyped bus.
    pub fn bus(&self) -> &Arc<dyn HookBus> {
        &self.bus
    }
}
