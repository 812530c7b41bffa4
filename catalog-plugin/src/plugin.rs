//! The plugin: what it registers and when.

use crate::{
    MANAGE, MIGRATIONS, READ, actions,
    directory::Directory,
    entity::{SystemRead, SystemState},
    routes,
    store::Store,
    triggers,
};
use async_trait::async_trait;
use automation_core::registry::{ACTIONS, ARTIFACT_TYPES, TRIGGERS};
use automation_entity::{Delivery, ENTITY, EntityHandle, EntityState, KindOptions};
use catalog_common::SYSTEMS;
use plugin_api::{BoxError, InitCtx, Plugin, PluginId, PluginMetadata, RegisterEnv, Registered};
use std::sync::Arc;

/// The catalog plugin.
#[derive(Default)]
pub struct CatalogPlugin;

struct Catalog {
    handle: EntityHandle<SystemState>,
    directory: Arc<Directory>,
}

impl Plugin for CatalogPlugin {
    fn metadata(&self) -> PluginMetadata {
        PluginMetadata {
            id: PluginId::new("catalog"),
            display_name: "Catalog",
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    fn register(
        self: Box<Self>,
        env: &mut RegisterEnv<'_>,
    ) -> Result<Box<dyn Registered>, BoxError> {
        env.migrations(MIGRATIONS);
        env.access_rules(&[READ, MANAGE])?;
        let directory = Arc::new(Directory::default());
        env.provide(&SYSTEMS, directory.clone() as Arc<_>)?;

        let entities = env.extension(&ENTITY);
        let handle = entities.define::<SystemState>(KindOptions::default(), SystemRead)?;
        entities.change_deriver(
            SystemState::KIND,
            "catalog-system",
            triggers::EVENTS,
            triggers::derive,
        )?;
        entities.payload_mapper(SystemState::KIND, Arc::new(triggers::payload))?;
        let cache = directory.clone();
        entities.on_entity_changed(SystemState::KIND, Delivery::Broadcast, move |change, _| {
            cache.follow(&change);
            std::future::ready(Ok(()))
        })?;
        for trigger in triggers::all() {
            env.extension(&TRIGGERS).register(trigger)?;
        }
        for artifact in actions::artifact_types() {
            env.extension(&ARTIFACT_TYPES).register(artifact)?;
        }
        Ok(Box::new(Catalog { handle, directory }))
    }
}

#[async_trait]
impl Registered for Catalog {
    async fn init(&self, ctx: &InitCtx) -> Result<(), BoxError> {
        let store = Store::new(ctx.database(), ctx.clock(), self.handle.clone());
        self.directory.load(store.clone()).await?;
        for action in actions::all(&store) {
            ctx.extension(&ACTIONS).register(action)?;
        }
        ctx.routes(routes::routes(store))?;
        Ok(())
    }
}
