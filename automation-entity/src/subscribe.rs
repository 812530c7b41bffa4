//! Subscriptions to changes (`entity §12`).
//!
//! They ride on an internal hook per kind that only the outbox loop emits, in the transaction that
//! takes the change from the outbox; groups, retries and dead letters are the hook bus's.

use crate::{
    change::{EntityChanged, FORM},
    options::Delivery,
};
use plugin_api::{
    BoxError, PluginId,
    hook::{EventMeta, HookBus, HookMode, RawHookHandler},
    queue::{JobError, Subscription},
    skew,
};
use serde::Deserialize;
use serde_json::Value;
use std::{
    future::Future,
    sync::{Arc, Mutex},
};

/// The internal hook of a kind; not exported, so that nobody else can emit or consume it.
pub(crate) fn hook_of(kind: &str) -> String {
    format!("automation.entity.changed.{kind}")
}

/// Handles the changes of one subscription.
#[async_trait::async_trait]
pub trait ChangeHandler: Send + Sync + 'static {
    /// `Ok`, or an error as for queue jobs.
    async fn handle(&self, change: EntityChanged, meta: EventMeta) -> Result<(), JobError>;
}

#[async_trait::async_trait]
impl<F, Fut> ChangeHandler for F
where
    F: Fn(EntityChanged, EventMeta) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), JobError>> + Send + 'static,
{
    async fn handle(&self, change: EntityChanged, meta: EventMeta) -> Result<(), JobError> {
        self(change, meta).await
    }
}

enum State {
    Waiting,
    Running(Subscription),
    Ended,
}

/// The caller's end of a subscription; clones are the same one.
#[derive(Clone)]
pub struct ChangeSubscription(Arc<Mutex<State>>);

impl Default for ChangeSubscription {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State::Waiting)))
    }
}

impl ChangeSubscription {
    /// Ends it; before the boot is complete this cancels it. Idempotent.
    pub async fn unsubscribe(&self) {
        let before = std::mem::replace(&mut *self.0.lock().expect("subscription"), State::Ended);
        if let State::Running(subscription) = before {
            subscription.unsubscribe().await;
        }
    }

    fn ended(&self) -> bool {
        matches!(*self.0.lock().expect("subscription"), State::Ended)
    }

    /// Keeps the bus's subscription; answers it back when the caller has unsubscribed meanwhile.
    fn keep(&self, subscription: Subscription) -> Option<Subscription> {
        let mut state = self.0.lock().expect("subscription");
        if matches!(*state, State::Ended) {
            return Some(subscription);
        }
        *state = State::Running(subscription);
        None
    }
}

/// A subscription before it is wired.
#[derive(Clone)]
pub(crate) struct Pending {
    pub plugin: PluginId,
    pub kind: String,
    pub delivery: Delivery,
    pub handler: Arc<dyn ChangeHandler>,
    pub subscription: ChangeSubscription,
}

impl Pending {
    /// Subscribes at the bus, unless the caller has unsubscribed.
    pub async fn wire(self, bus: &dyn HookBus) -> Result<(), BoxError> {
        if self.subscription.ended() {
            return Ok(());
        }
        let (mode, broadcast) = match self.delivery {
            Delivery::Broadcast => (HookMode::Broadcast, true),
            Delivery::WorkQueue {
                worker_group,
                retries,
            } => {
                let mode = HookMode::WorkQueue {
                    worker_group,
                    retries,
                };
                (mode, false)
            }
        };
        let handler = Arc::new(Decoding {
            kind: self.kind.clone(),
            plugin: self.plugin.clone(),
            broadcast,
            handler: self.handler,
        });
        let wired = bus
            .subscribe(&self.plugin, &hook_of(&self.kind), mode, handler)
            .await?;
        if let Some(unwanted) = self.subscription.keep(wired) {
            unwanted.unsubscribe().await;
        }
        Ok(())
    }
}

struct Decoding {
    kind: String,
    plugin: PluginId,
    broadcast: bool,
    handler: Arc<dyn ChangeHandler>,
}

#[async_trait::async_trait]
impl RawHookHandler for Decoding {
    async fn handle(&self, payload: Value, meta: EventMeta) -> Result<(), JobError> {
        if let Err(newer) = skew::check(&payload, FORM) {
            tracing::warn!(kind = %self.kind, plugin = %self.plugin, %newer, "An entity change cannot be read by this node.");
            return Err(JobError::Defer(skew::LEAVE_FOR));
        }
        let change = match EntityChanged::deserialize(&payload) {
            Ok(change) => change,
            Err(error) => {
                tracing::warn!(kind = %self.kind, plugin = %self.plugin, %error, "A malformed entity change was dropped.");
                return Ok(());
            }
        };
        let change_id = change.change_id;
        match self.handler.handle(change, meta).await {
            Err(error) if self.broadcast => {
                tracing::warn!(kind = %self.kind, plugin = %self.plugin, %change_id, %error, "A subscriber failed on an entity change; broadcasts are not retried.");
                Ok(())
            }
            other => other,
        }
    }
}
