//! What plugins have registered, and the rules a registration must satisfy (`entity §3`, §11–14).

use crate::{
    derive::Deriver,
    engine::EntityEngine,
    error::DefineError,
    kind::KindCore,
    options::{Delivery, NonReactiveTable},
    point::{EntityCall, EntityPoint, MapPayload},
    state::ErasedKind,
    subscribe::Pending,
};
use plugin_api::{BoxError, PluginId, extension::Implements, hook::HookBus};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// All registrations of an engine.
#[derive(Default)]
pub(crate) struct Registered {
    pub kinds: Vec<Arc<KindCore>>,
    pub derivers: Vec<Deriver>,
    pub mappers: HashMap<String, MapPayload>,
    pub groups: HashSet<(PluginId, String)>,
    pub pending: Vec<Pending>,
    pub subscribed: HashSet<String>,
    pub non_reactive: Vec<NonReactiveTable>,
    pub closed: bool,
    pub wired: bool,
}

impl Implements<EntityPoint> for EntityEngine {
    fn apply(&self, caller: &PluginId, call: EntityCall) -> Result<(), BoxError> {
        let mut registered = self.registered.write().expect("registrations");
        match call {
            EntityCall::Define(call) => self.define(&mut registered, caller, call.0)?,
            EntityCall::Deriver {
                kind,
                name,
                events,
                derive,
            } => {
                named(caller, &kind)?;
                let derivers = &mut registered.derivers;
                if !derivers
                    .iter()
                    .any(|d| d.plugin == *caller && d.kind == kind && d.name == name)
                {
                    derivers.push(Deriver {
                        plugin: caller.clone(),
                        kind,
                        name,
                        events,
                        derive,
                    });
                }
            }
            EntityCall::Mapper { kind, map } => {
                named(caller, &kind)?;
                let known = registered
                    .mappers
                    .entry(kind.clone())
                    .or_insert_with(|| map.clone());
                if !Arc::ptr_eq(known, &map) {
                    return refuse(caller, kind, "the kind has another payload mapper already");
                }
            }
            EntityCall::Subscribe {
                kind,
                delivery,
                handler,
                subscription,
            } => {
                named(caller, &kind)?;
                claim_group(&mut registered, caller, &kind, &delivery)?;
                registered.subscribed.insert(kind.clone());
                let pending = Pending {
                    plugin: caller.clone(),
                    kind,
                    delivery,
                    handler,
                    subscription,
                };
                match (registered.wired, self.running.get()) {
                    (true, Some(running)) => wire_now(pending, running.deps.hooks.clone()),
                    _ => registered.pending.push(pending),
                }
            }
            EntityCall::NonReactive {
                table,
                reason,
                note,
            } => {
                if table.trim().is_empty() {
                    return refuse(caller, String::new(), "a non-reactive table needs a name");
                }
                registered.non_reactive.push(NonReactiveTable {
                    plugin: caller.as_str().to_owned(),
                    table,
                    reason,
                    note,
                });
            }
        }
        Ok(())
    }
}

impl EntityEngine {
    /// At the end of the boot: names that lead nowhere are worth a warning (`entity §12.2`, §13.1).
    pub(crate) fn check_names(&self) {
        let registered = self.registered.read().expect("registrations");
        let known = |kind: &str| registered.kinds.iter().any(|k| k.kind() == kind);
        for kind in registered.subscribed.iter().filter(|k| !known(k)) {
            tracing::warn!(%kind, "A plugin subscribes to changes of an entity kind that nobody defines.");
        }
        for deriver in &registered.derivers {
            let (plugin, kind) = (&deriver.plugin, &deriver.kind);
            if !known(kind) {
                tracing::warn!(%plugin, %kind, "A change deriver is registered for an entity kind that nobody defines.");
            }
            for event in deriver.events {
                if self.registries.trigger(event).is_none() {
                    tracing::warn!(%plugin, %kind, event, "A change deriver lists an event that no registered trigger has.");
                }
            }
        }
    }

    fn define(
        &self,
        registered: &mut Registered,
        caller: &PluginId,
        kind: Arc<KindCore>,
    ) -> Result<(), DefineError> {
        if registered.closed {
            return Err(DefineError::TooLate {
                plugin: caller.clone(),
                kind: kind.kind().to_owned(),
            });
        }
        kind.check()?;
        if let Some(first) = registered.kinds.iter().find(|k| k.kind() == kind.kind()) {
            return Err(DefineError::DuplicateKind {
                plugin: caller.clone(),
                kind: kind.kind().to_owned(),
                owner: first.owner().clone(),
            });
        }
        if let Some(running) = self.running.get() {
            running.bind(&kind);
        }
        registered.kinds.push(kind);
        Ok(())
    }
}

fn claim_group(
    registered: &mut Registered,
    caller: &PluginId,
    kind: &str,
    delivery: &Delivery,
) -> Result<(), BoxError> {
    let Delivery::WorkQueue { worker_group, .. } = delivery else {
        return Ok(());
    };
    if worker_group.trim().is_empty() {
        return refuse(caller, kind.to_owned(), "a work queue needs a worker group");
    }
    if !registered
        .groups
        .insert((caller.clone(), worker_group.clone()))
    {
        let reason = format!("worker group {worker_group} is used twice");
        return refuse(caller, kind.to_owned(), reason);
    }
    Ok(())
}

fn wire_now(pending: Pending, bus: Arc<dyn HookBus>) {
    plugin_api::spawn(async move {
        let (plugin, kind) = (pending.plugin.clone(), pending.kind.clone());
        if let Err(error) = pending.wire(&*bus).await {
            tracing::error!(%plugin, %kind, %error, "A subscription to entity changes could not be made.");
        }
    });
}

fn named(caller: &PluginId, kind: &str) -> Result<(), BoxError> {
    if kind.trim().is_empty() {
        return refuse(caller, kind.to_owned(), "the kind is blank");
    }
    Ok(())
}

fn refuse(caller: &PluginId, kind: String, reason: impl Into<String>) -> Result<(), BoxError> {
    Err(DefineError::Registration {
        plugin: caller.clone(),
        kind,
        reason: reason.into(),
    }
    .into())
}
