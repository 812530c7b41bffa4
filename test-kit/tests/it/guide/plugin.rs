//! What the plugin registers, and when.

use super::{
    action::{self, Agent},
    entity::{Backup, ReadBackups},
    routes,
    store::{MIGRATIONS, STORE, Store},
    trigger,
};
use async_trait::async_trait;
use automation_core::registry::{ACTIONS, ARTIFACT_TYPES, TRIGGERS};
use automation_entity::{ENTITY, EntityHandle, EntityState, KindOptions};
use plugin_api::{
    BoxError, InitCtx, Plugin, PluginId, PluginMetadata, ReadyCtx, RegisterEnv, Registered,
};
use std::sync::Arc;

/// The plugin as the host lists it.
pub struct BackupPlugin {
    pub agent: Arc<dyn Agent>,
}

impl Plugin for BackupPlugin {
    fn metadata(&self) -> PluginMetadata {
        PluginMetadata {
            id: PluginId::new("backup"),
            display_name: "Backups",
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    /// Says everything that others may depend on. Neither database nor network are usable yet.
    fn register(
        self: Box<Self>,
        env: &mut RegisterEnv<'_>,
    ) -> Result<Box<dyn Registered>, BoxError> {
        env.migrations(MIGRATIONS);
        env.access_rules(&[routes::READ, routes::MANAGE])?;
        env.provides(&STORE)?;

        let entities = env.extension(&ENTITY);
        let handle = entities.define::<Backup>(KindOptions::default(), ReadBackups)?;
        entities.change_deriver(Backup::KIND, "backup", trigger::EVENTS, trigger::derive)?;
        entities.payload_mapper(Backup::KIND, Arc::new(trigger::payload))?;

        let triggers = env.extension(&TRIGGERS);
        triggers.register(trigger::failed(env.database()))?;
        triggers.register(trigger::too_small())?;
        triggers.register(trigger::reminder(env.clock()))?;
        env.extension(&ARTIFACT_TYPES).register(action::started())?;
        Ok(Box::new(Running {
            agent: self.agent,
            handle,
        }))
    }
}

/// The plugin after `register`, with what it made there.
struct Running {
    agent: Arc<dyn Agent>,
    handle: EntityHandle<Backup>,
}

#[async_trait]
impl Registered for Running {
    /// Migrations have run; the own database and declared services are usable.
    async fn init(&self, ctx: &InitCtx) -> Result<(), BoxError> {
        let store = Store {
            clock: ctx.clock(),
            handle: self.handle.clone(),
            hooks: ctx.hooks(),
        };
        ctx.provide(&STORE, Arc::new(store.clone()))?;
        ctx.extension(&ACTIONS)
            .register(action::run(self.agent.clone()))?;
        ctx.routes(routes::routes(store))
    }

    /// Every plugin has been initialised: the place for subscriptions, consumers and loops.
    async fn after_plugins_ready(&self, ctx: &ReadyCtx) -> Result<(), BoxError> {
        tracing::info!(node = ctx.node_id(), "Backups are watched.");
        Ok(())
    }
}
