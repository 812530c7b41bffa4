//! The plugin that mounts the routes.

use crate::{
    Api, automations, decisions, definitions, entities, registry, runs, starters, status,
    templates, timers,
};
use async_trait::async_trait;
use automation_dispatch::ENGINE;
use plugin_api::{
    BoxError, InitCtx, Plugin, PluginId, PluginMetadata, ReadyCtx, RegisterEnv, Registered,
};
use std::sync::Arc;

/// The engine's routes.
#[derive(Default)]
pub struct AutomationApiPlugin;

impl Plugin for AutomationApiPlugin {
    fn metadata(&self) -> PluginMetadata {
        PluginMetadata {
            id: PluginId::new("automation-api"),
            display_name: "Automation API",
            version: env!("CARGO_PKG_VERSION"),
        }
    }
    fn register(
        self: Box<Self>,
        env: &mut RegisterEnv<'_>,
    ) -> Result<Box<dyn Registered>, BoxError> {
        env.requires(&ENGINE);
        Ok(Box::<Running>::default())
    }
}

#[derive(Default)]
struct Running {
    starters: Arc<starters::Judged>,
}

#[async_trait]
impl Registered for Running {
    async fn init(&self, ctx: &InitCtx) -> Result<(), BoxError> {
        let api = Api {
            engine: ctx.get_service(&ENGINE)?,
            queues: ctx.queues(),
            board: ctx.status(),
            starters: self.starters.clone(),
        };
        for routes in [
            automations::routes(),
            decisions::routes(),
            definitions::routes(),
            entities::routes(),
            registry::routes(),
            runs::routes(),
            starters::routes(),
            status::routes(),
            templates::routes(),
            timers::routes(),
        ] {
            ctx.routes(routes.with_state(api.clone()))?;
        }
        Ok(())
    }

    /// Plugins may register until the end of this phase, so starters are judged behind it.
    async fn after_plugins_ready(&self, ctx: &ReadyCtx) -> Result<(), BoxError> {
        let engine = ctx.get_service(&ENGINE)?;
        let starters = self.starters.clone();
        ctx.on_started(move || async move {
            starters.get(&engine);
            Ok(())
        });
        Ok(())
    }
}
