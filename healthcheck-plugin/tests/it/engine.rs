//! The smallest engine around the plugin: real entities and registries; what would be dispatched is
//! kept for the test to read.

use async_trait::async_trait;
use automation_core::registry::{
    ACTIONS, ARTIFACT_TYPES, FILTERS, REGISTRIES, Registries, TRIGGERS,
};
use automation_entity::{
    ChangeRouter, ENTITY, EntityChanged, EntityDeps, EntityEngine, EntityHandle, EntityOptions,
    EntityRead, EntityState, KindOptions, VerifyReads,
};
use healthcheck_plugin::events::{CHECK_COMPLETED, CHECK_FAILED, CheckEvent};
use plugin_api::{
    BoxError, Conn, InitCtx, Plugin, PluginId, PluginMetadata, ReadyCtx, RegisterEnv, Registered,
    Tx, hook::HookMode,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
};

/// What came out of the plugin.
#[derive(Default)]
pub struct Seen {
    /// Changes in the order of the outbox.
    pub changes: Mutex<Vec<EntityChanged>>,
    /// Derived events with their payloads.
    pub events: Mutex<Vec<(String, Value)>>,
    /// Payloads of the two hooks, each under its id.
    pub hooks: Mutex<Vec<(&'static str, CheckEvent)>>,
    /// Systems that exist no longer.
    pub removed: Mutex<HashSet<String>>,
}

/// The plugin `automation` of the tests.
pub struct TestEngine(pub Arc<Seen>, pub Arc<Registries>);

/// A system that a catalog would own.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct System {
    pub name: String,
}
impl EntityState for System {
    const KIND: &'static str = "catalog-system";
}

/// Every system exists until the test removes it.
struct Systems(Arc<Seen>);
#[async_trait]
impl EntityRead<System> for Systems {
    async fn read(
        &self,
        _at: Conn<'_>,
        ids: &[String],
    ) -> Result<HashMap<String, System>, BoxError> {
        let removed = self.0.removed.lock().unwrap();
        let named = |id: &String| (id.clone(), System { name: id.clone() });
        Ok(ids
            .iter()
            .filter(|id| !removed.contains(*id))
            .map(named)
            .collect())
    }
}

struct Running {
    entities: Arc<EntityEngine>,
    registries: Arc<Registries>,
    seen: Arc<Seen>,
    systems: EntityHandle<System>,
}

impl Plugin for TestEngine {
    fn metadata(&self) -> PluginMetadata {
        PluginMetadata {
            id: PluginId::new("automation"),
            display_name: "Engine",
            version: "0",
        }
    }
    fn register(
        self: Box<Self>,
        env: &mut RegisterEnv<'_>,
    ) -> Result<Box<dyn Registered>, BoxError> {
        let registries = self.1.clone();
        let options = EntityOptions {
            verify_reads: VerifyReads::Fail,
            ..EntityOptions::default()
        };
        let entities = EntityEngine::new(options, registries.clone());
        entities.install(env)?;
        env.implement(&TRIGGERS, Arc::new(registries.clone()))?;
        env.implement(&ACTIONS, Arc::new(registries.clone()))?;
        env.implement(&ARTIFACT_TYPES, Arc::new(registries.clone()))?;
        env.implement(&FILTERS, Arc::new(registries.clone()))?;
        env.provide(&REGISTRIES, registries.clone())?;
        let systems = env
            .extension(&ENTITY)
            .define::<System>(KindOptions::default(), Systems(self.0.clone()))?;
        env.provide(&SYSTEM_HANDLE, Arc::new(systems.clone()))?;
        Ok(Box::new(Running {
            entities,
            registries,
            seen: self.0,
            systems,
        }))
    }
}

/// The handle of systems, for the test.
pub const SYSTEM_HANDLE: plugin_api::ServiceRef<EntityHandle<System>> =
    plugin_api::ServiceRef::new("automation.test_systems");

#[async_trait]
impl Registered for Running {
    async fn init(&self, ctx: &InitCtx) -> Result<(), BoxError> {
        self.entities.bind(EntityDeps::of(ctx));
        Ok(())
    }
    async fn after_plugins_ready(&self, ctx: &ReadyCtx) -> Result<(), BoxError> {
        self.registries.check_artifact_names()?;
        assert_eq!(self.systems.kind(), "catalog-system");
        for (hook, group) in [(CHECK_COMPLETED, "completed"), (CHECK_FAILED, "failed")] {
            let seen = self.seen.clone();
            ctx.hooks()
                .on(&hook, HookMode::work_queue(group), move |event, _meta| {
                    seen.hooks.lock().unwrap().push((hook.id, event));
                    async { Ok(()) }
                })
                .await?;
        }
        let router = Router {
            entities: self.entities.clone(),
            seen: self.seen.clone(),
        };
        self.entities.start(Arc::new(router)).await
    }
    async fn cleanup(&self) -> Result<(), BoxError> {
        self.entities.stop().await;
        Ok(())
    }
}

struct Router {
    entities: Arc<EntityEngine>,
    seen: Arc<Seen>,
}

#[async_trait]
impl ChangeRouter for Router {
    async fn route(&self, _tx: &mut Tx, changes: &[EntityChanged]) -> Result<(), BoxError> {
        for change in changes {
            for event in self.entities.derive(change) {
                let payload = self.entities.payload(change, &event)?;
                self.seen.events.lock().unwrap().push((event, payload));
            }
            self.seen.changes.lock().unwrap().push(change.clone());
        }
        Ok(())
    }
}
