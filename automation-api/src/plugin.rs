//! The plugin that mounts the routes.

use crate::{
    Api, automations, decisions, definitions, entities, registry, runs, status, templates,
};
use async_trait::async_trait;
use automation_dispatch::ENGINE;
use plugin_api::{BoxError, InitCtx, Plugin, PluginId, PluginMetadata, RegisterEnv, Registered};

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
        Ok(self)
    }
}

#[async_trait]
impl Registered for AutomationApiPlugin {
    async fn init(&self, ctx: &InitCtx) -> Result<(), BoxError> {
        let api = Api {
            engine: ctx.get_service(&ENGINE)?,
            board: ctx.status(),
        };
        for routes in [
            automations::routes(),
            decisions::routes(),
            definitions::routes(),
            entities::routes(),
            registry::routes(),
            runs::routes(),
            status::routes(),
            templates::routes(),
        ] {
            ctx.routes(routes.with_state(api.clone()))?;
        }
        Ok(())
    }
}
