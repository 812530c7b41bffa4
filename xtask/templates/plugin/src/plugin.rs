//! What the plugin registers, and when.

use std::sync::Arc;

use async_trait::async_trait;
use automation_core::registry::{ACTIONS, TRIGGERS};
use automation_entity::{ENTITY, EntityState, KindOptions};
use plugin_api::{BoxError, InitCtx, Plugin, PluginId, PluginMetadata, RegisterEnv, Registered};

use crate::{
    MIGRATIONS, action,
    entity::{ItemRead, ItemState},
    store::Store,
    trigger,
};

/// The plugin as the host lists it.
#[derive(Default)]
pub struct SprocketPlugin;

impl Plugin for SprocketPlugin {
    fn metadata(&self) -> PluginMetadata {
        PluginMetadata {
            id: PluginId::new("sprocket"),
            display_name: "Sprocket",
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    /// Declares everything; the database is not usable yet.
    fn register(
        self: Box<Self>,
        env: &mut RegisterEnv<'_>,
    ) -> Result<Box<dyn Registered>, BoxError> {
        env.migrations(MIGRATIONS);
        let entities = env.extension(&ENTITY);
        let handle = entities.define::<ItemState>(KindOptions::default(), ItemRead)?;
        entities.change_deriver(
            ItemState::KIND,
            "sprocket",
            trigger::EVENTS,
            trigger::derive,
        )?;
        entities.payload_mapper(ItemState::KIND, Arc::new(trigger::payload))?;
        env.extension(&TRIGGERS).register(trigger::failing())?;
        Ok(Box::new(Running {
            store: Store::new(env.database(), env.clock(), handle),
        }))
    }
}

/// The plugin after `register`.
struct Running {
    store: Store,
}

#[async_trait]
impl Registered for Running {
    async fn init(&self, ctx: &InitCtx) -> Result<(), BoxError> {
        ctx.extension(&ACTIONS)
            .register(action::set_status(self.store.clone()))
    }
}
