//! A node with the engine, the catalog and incidents, and automations that are started by hand.

use async_trait::async_trait;
use automation_core::registry::{ACTIONS, Action, ActionCx, ActionDef, ActionResult};
use automation_core::{AutomationId, RunId, store::Source};
use automation_dispatch::ENGINE;
use automation_dispatch::{AutomationPlugin, ManualRun, store::runs::RunRecord};
use catalog_plugin::CatalogPlugin;
use incident_plugin::IncidentPlugin;
use plugin_api::Actor;
use plugin_api::fail;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use test_kit::{Kit, Node, TestDb, TestPlugin, VirtualClock, until};

pub const EVENTS: &[&str] = &["incident.created", "incident.updated", "incident.resolved"];

pub struct World {
    pub node: Node,
}

impl World {
    pub async fn boot(db: &TestDb) -> Self {
        Self::boot_at(db, VirtualClock::new()).await
    }

    pub async fn boot_at(db: &TestDb, clock: Arc<VirtualClock>) -> Self {
        let node = Kit::with_clock(db, clock)
            .await
            .plugin(AutomationPlugin::default())
            .plugin(CatalogPlugin)
            .plugin(IncidentPlugin)
            .plugin(gate())
            .boot()
            .await;
        Self { node }
    }

    /// Opens an incident as a person and answers it.
    pub async fn open(&self, title: &str, systems: &[&str]) -> Value {
        let body = json!({"title": title, "system_ids": systems});
        self.node.post("/incidents", body).await.expect(201)
    }

    /// The incident with its timeline.
    pub async fn incident(&self, id: &Value) -> Value {
        let path = format!("/incidents/{}", id.as_str().expect("an id"));
        self.node.get(&path).await.ok()
    }

    /// All incidents, newest first.
    pub async fn incidents(&self) -> Vec<Value> {
        let page = self.node.get("/incidents?limit=200").await.ok();
        page["items"].as_array().expect("items").clone()
    }

    /// Messages of the timeline.
    pub async fn timeline(&self, id: &Value) -> Vec<String> {
        let incident = self.incident(id).await;
        let updates = incident["updates"].as_array().expect("a timeline");
        let message = |u: &Value| u["message"].as_str().expect("a message").to_owned();
        updates.iter().map(message).collect()
    }

    /// An automation of these actions that nothing but [`World::start`] starts. Its runs have the
    /// system as context key, or none.
    pub async fn automation(&self, actions: Value) -> AutomationId {
        let definition = json!({
            "name": "By hand",
            "mode": "parallel",
            "max_runs": 100,
            "triggers": [
                {"id": "system", "event": "catalog.deleted"},
                {"id": "nothing", "event": "automation.interval", "config": {"intervalSeconds": 86400}},
            ],
            "actions": actions,
        });
        self.node.automation(Source::Value(definition)).await
    }

    /// Starts a run about a system, or about nothing.
    pub async fn start(&self, automation: AutomationId, system: Option<&str>) -> RunId {
        let request = ManualRun {
            automation_id: automation,
            trigger_id: Some(system.map_or("nothing", |_| "system").to_owned()),
            payload: json!({"systemId": system}),
            validate_payload: false,
            actor: Actor::system(),
        };
        let run = self.node.run(self.node.engine().manual_run(request)).await;
        run.expect("a run")
    }

    /// The run once it is over.
    pub async fn ended(&self, run: RunId) -> RunRecord {
        until(
            async || {
                let found = self.node.engine().run(run).await.expect("the run")?;
                found.finished_at.is_some().then_some(found)
            },
            "the run ends",
        )
        .await
    }

    /// Runs actions about a system to the end: how it ended, and what the last artifact holds.
    pub async fn act(&self, actions: Value, system: Option<&str>) -> (RunRecord, Value) {
        let automation = self.automation(actions).await;
        let run = self.start(automation, system).await;
        let run = self.ended(run).await;
        let artifacts = self
            .node
            .engine()
            .artifacts(run.id)
            .await
            .expect("artifacts");
        let artifact = artifacts.into_iter().last();
        (run, artifact.map_or(Value::Null, |a| a.data.0))
    }
}

/// The action that opens an incident on the system of the run.
pub fn create(more: Value) -> Value {
    let mut config = json!({
        "title": "{{ trigger.payload.systemId }} is down",
        "severity": "critical",
        "systemIds": ["{{ trigger.payload.systemId }}"],
    });
    for (key, value) in more.as_object().expect("an object") {
        config[key] = value.clone();
    }
    json!({"id": "open", "action": "incident.create", "config": config})
}

/// The fail point that `gate.call` passes.
pub const GATE: &str = "gate";

/// The action `gate.call`: calls another action once it is let through, and as often as it is told to,
/// as an engine does that has not heard what came of the first time.
#[derive(Deserialize, JsonSchema)]
struct Gated {
    action: String,
    config: Value,
    #[serde(default = "once")]
    times: u32,
}

fn once() -> u32 {
    1
}

struct Gate;

#[async_trait]
impl Action for Gate {
    type Config = Gated;

    async fn execute(&self, c: Gated, cx: &ActionCx) -> ActionResult {
        fail::point(GATE).await.expect("a gate opens");
        let engine = cx.services.get(&ENGINE).expect("the engine");
        let called = engine.registries().action(&c.action).expect("the action");
        let mut last = ActionResult::ok();
        for _ in 0..c.times {
            let answer = called.action.execute(c.config.clone(), cx).await;
            last = answer.expect("the config decodes");
        }
        last
    }
}

fn gate() -> TestPlugin {
    TestPlugin::new("gate").init(|ctx| {
        Box::pin(async move {
            ctx.extension(&ACTIONS)
                .register(ActionDef::new("call", Gate))
        })
    })
}

/// The action of this name behind the gate.
pub fn gated(action: &str, config: Value) -> Value {
    json!({"id": "gated", "action": "gate.call", "config": {"action": action, "config": config}})
}
