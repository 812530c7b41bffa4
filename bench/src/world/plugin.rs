//! The plugin: its entity, triggers, action, and the health of systems that live in memory.

use super::{
    Parts, Progress,
    action::Call,
    thing::{self, Read, TABLES, Thing},
};
use automation_core::registry::{ACTIONS, ActionDef, TRIGGERS, TriggerDef};
use automation_entity::{ENTITY, HEALTH_READER, HealthReader, HealthState, KindOptions};
use plugin_api::{
    BoxError, Clock, InitCtx, Plugin, PluginId, PluginMetadata, RegisterEnv, Registered, hook::Hook,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::HashMap, sync::Arc};

/// Payload of the hook that a ping emits.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Ping {
    /// The thing it is about.
    pub thing: String,
}

/// The hook.
pub const PING: Hook<Ping> = Hook::new("bench.ping");

/// The plugin before its registration.
pub(super) struct BenchPlugin {
    parts: Arc<Parts>,
    progress: Arc<Progress>,
}

impl BenchPlugin {
    /// Hands out its parts during the boot.
    pub fn new(parts: Arc<Parts>, progress: Arc<Progress>) -> Self {
        Self { parts, progress }
    }
}

impl Plugin for BenchPlugin {
    fn metadata(&self) -> PluginMetadata {
        PluginMetadata {
            id: PluginId::new("bench"),
            display_name: "Benchmark",
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    fn register(
        self: Box<Self>,
        env: &mut RegisterEnv<'_>,
    ) -> Result<Box<dyn Registered>, BoxError> {
        env.migrations(TABLES);
        let entities = env.extension(&ENTITY);
        let things = entities.define::<Thing>(KindOptions::default(), Read)?;
        let _ = self.parts.things.set(things);
        entities.change_deriver("thing", "bench", thing::EVENTS, thing::derive)?;
        let triggers = env.extension(&TRIGGERS);
        for event in ["ticked", "went_down", "came_up", "parked", "other"] {
            triggers.register(TriggerDef::entity_driven::<Value>(event))?;
        }
        triggers.register(
            TriggerDef::on_hook::<Ping>("pinged", PING).context_field("thing", "thing"),
        )?;
        let call = ActionDef::new("call", Call(self.progress));
        env.extension(&ACTIONS).register(call)?;
        let systems: Arc<dyn HealthReader> = Arc::new(Systems(env.clock()));
        env.provide(&HEALTH_READER, systems)?;
        Ok(Box::new(Running(self.parts)))
    }
}

struct Running(Arc<Parts>);

#[async_trait::async_trait]
impl Registered for Running {
    async fn init(&self, ctx: &InitCtx) -> Result<(), BoxError> {
        let _ = self.0.hooks.set(ctx.hooks());
        let _ = self.0.queues.set(ctx.queues());
        let _ = self.0.hints.set(ctx.hints());
        Ok(())
    }
}

/// Systems are as healthy as their names say, and reading that costs nothing.
pub struct Systems(Arc<dyn Clock>);

#[async_trait::async_trait]
impl HealthReader for Systems {
    async fn health(
        &self,
        ids: &[String],
        window: u32,
    ) -> Result<HashMap<String, HealthState>, BoxError> {
        let now = self.0.now();
        let health = |id: &String| {
            let status = if id.starts_with("bad") {
                "unhealthy"
            } else {
                "healthy"
            };
            let state = HealthState {
                status: status.to_owned(),
                in_status_since: Some(now.plus_millis(-60_000)),
                in_status_for_ms: 60_000,
                latency_ms: Some(12.5),
                avg_latency_ms: Some(11.0),
                p95_latency_ms: Some(20.0),
                success_rate: Some(0.99),
                last_run_at: Some(now),
                in_maintenance: false,
                transitions_in_window: 2,
                transition_window_minutes: window,
                evaluated_at: now,
                healthy_checks: 1,
                total_checks: 1,
            };
            (id.clone(), state)
        };
        Ok(ids.iter().map(health).collect())
    }
}
