//! The plugin: what it registers and when.

use crate::{
    MANAGE, MIGRATIONS, READ, actions, cleanup,
    entity::{IncidentRead, IncidentState},
    routes,
    service::SUPPRESSION,
    store::Store,
    triggers,
};
use async_trait::async_trait;
use automation_core::registry::{ACTIONS, ARTIFACT_TYPES, TRIGGERS};
use automation_entity::{Delivery, ENTITY, EntityHandle, EntityState, KindOptions};
use plugin_api::{
    BoxError, InitCtx, Plugin, PluginId, PluginMetadata, RegisterEnv, Registered, queue::Retries,
};
use std::sync::Arc;

/// The incident plugin.
#[derive(Default)]
pub struct IncidentPlugin;

struct Incidents {
    store: Store,
}

impl Plugin for IncidentPlugin {
    fn metadata(&self) -> PluginMetadata {
        PluginMetadata {
            id: PluginId::new("incident"),
            display_name: "Incidents",
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    fn register(
        self: Box<Self>,
        env: &mut RegisterEnv<'_>,
    ) -> Result<Box<dyn Registered>, BoxError> {
        env.migrations(MIGRATIONS);
        env.access_rules(&[READ, MANAGE])?;

        let entities = env.extension(&ENTITY);
        let handle: EntityHandle<IncidentState> = entities.define(
            KindOptions {
                durable: true,
                ..Default::default()
            },
            IncidentRead,
        )?;
        entities.change_deriver(
            IncidentState::KIND,
            "incident",
            triggers::EVENTS,
            triggers::derive,
        )?;
        entities.payload_mapper(IncidentState::KIND, Arc::new(triggers::payload))?;

        let store = Store::new(env.database(), env.clock(), handle);
        let cleaner = store.clone();
        let delivery = Delivery::WorkQueue {
            worker_group: cleanup::GROUP.into(),
            retries: Retries::Limited(3),
        };
        entities.on_entity_changed("catalog-system", delivery, move |change, _| {
            let store = cleaner.clone();
            async move { cleanup::on_system_changed(&store, &change).await }
        })?;
        env.provide(&SUPPRESSION, Arc::new(store.clone()) as Arc<_>)?;
        for trigger in triggers::all() {
            env.extension(&TRIGGERS).register(trigger)?;
        }
        for artifact in actions::artifact_types() {
            env.extension(&ARTIFACT_TYPES).register(artifact)?;
        }
        Ok(Box::new(Incidents { store }))
    }
}

#[async_trait]
impl Registered for Incidents {
    async fn init(&self, ctx: &InitCtx) -> Result<(), BoxError> {
        for action in actions::all(&self.store) {
            ctx.extension(&ACTIONS).register(action)?;
        }
        ctx.routes(routes::routes(self.store.clone()))
    }
}
