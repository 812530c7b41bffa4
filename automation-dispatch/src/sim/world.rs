//! What the simulated plugins offer, and the automations of a schedule.

use super::{Sim, generate::Cast, store};
use crate::automations::{Automation, Program};
use automation_core::{
    AutomationId,
    compiled::CompiledDefinition,
    registry::{
        Action, ActionCx, ActionDef, ActionPoint, ActionResult, ConfigGate, Registries, TriggerDef,
        TriggerPoint,
    },
};
use plugin_api::{PluginId, config::ConfigSchema, extension::Implements};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};

/// Config of the scripted action `test.call`.
#[derive(Deserialize, Serialize, JsonSchema)]
struct Config {
    /// The version of the definition it stands in.
    v: String,
    #[serde(default)]
    fails: bool,
    #[serde(default)]
    until: u32,
    #[serde(default)]
    ms: u32,
    #[serde(default)]
    set: String,
}
struct Call;
#[async_trait::async_trait]
impl Action for Call {
    type Config = Config;
    async fn execute(&self, _: Config, _: &ActionCx) -> ActionResult {
        ActionResult::ok()
    }
}

/// Payload of `test.level`.
#[derive(Deserialize, Serialize, JsonSchema)]
struct Level {
    n: i64,
}
/// Config of `test.level`.
#[derive(Deserialize, Serialize, JsonSchema, Default)]
struct Above {
    above: i64,
}

/// `test.call`, and `test.level`, which has a gate of its own.
pub fn registries() -> Arc<Registries> {
    thread_local! {
        static MADE: Arc<Registries> = make();
    }
    MADE.with(Arc::clone)
}

fn make() -> Arc<Registries> {
    let registries = Arc::new(Registries::default());
    let plugin = PluginId::new("test");
    let call = ActionDef::new("call", Call).produces("made");
    Implements::<ActionPoint>::apply(&registries, &plugin, call).expect("registers");
    let gate = Arc::new(|payload: &Value, config: &Value| {
        let above = payload["n"].as_i64() > config["above"].as_i64();
        Ok(if above {
            ConfigGate::Yes
        } else {
            ConfigGate::No
        })
    });
    let level =
        TriggerDef::entity_driven::<Level>("level").config(ConfigSchema::of::<Above>(), Some(gate));
    Implements::<TriggerPoint>::apply(&registries, &plugin, level).expect("registers");
    registries
}

/// Compiles a definition as the engine would.
pub fn compile(registries: &Registries, definition: &Value) -> Arc<Program> {
    let compiled = CompiledDefinition::load(definition, registries).unwrap_or_else(|e| {
        panic!("a generated definition does not compile: {e:?}\n{definition:#}")
    });
    Arc::new(Program::new(compiled))
}

/// The state of a schedule's world before anything happens.
pub fn fill(sim: &Arc<Sim>, cast: &Cast) {
    for definition in &cast.definitions {
        let id = AutomationId::from(sim.uuid());
        let program = compile(&sim.registries, definition);
        let current = Arc::new(Automation {
            id,
            enabled: true,
            version: 1,
            program: program.clone(),
        });
        let versions = BTreeMap::from([(1, program)]);
        let mut core = sim.core();
        core.store
            .automations
            .insert(id, store::Row { current, versions });
        core.store.memory.automations.push(id);
    }
    let mut core = sim.core();
    for id in ["t1", "t2", "t3"] {
        let thing = store::Thing {
            status: "ok".to_owned(),
            history: Vec::new(),
        };
        core.store.things.insert(id.to_owned(), thing);
    }
}
