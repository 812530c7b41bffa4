//! Acceptance cases that need a world of their own, or fit no other theme.

use crate::world::{DWELLS, LOCKS, STATES, World};
use automation_core::{
    registry::{ACTIONS, Action, ActionCx, ActionDef, ActionResult, TRIGGERS, TriggerDef},
    store::{NewAutomation, Source},
};
use automation_dispatch::AutomationPlugin;
use automation_entity::{HEALTH_READER, HealthReader, HealthState};
use plugin_api::{Actor, BoxError, fail, hook::Hook};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use test_kit::{Kit, TestDb, TestPlugin, advance_until, both_engines, eventually, stays};
use tracing::Level;

/// A config with a field of every kind that is not rendered, and one that is.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct KeepConfig {
    #[schemars(extend("x-secret" = true))]
    token: String,
    #[schemars(extend("x-editor-types" = ["shell"]))]
    script: String,
    #[schemars(extend("x-secret-env" = true))]
    secret_env: HashMap<String, String>,
    note: String,
}

/// Keeps what it was given.
struct Keep(Arc<Mutex<Vec<Value>>>);
#[async_trait::async_trait]
impl Action for Keep {
    type Config = KeepConfig;
    async fn execute(&self, config: KeepConfig, _: &ActionCx) -> ActionResult {
        self.0.lock().unwrap().push(json!(config));
        ActionResult::ok()
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Degraded {
    system_id: String,
}
const DEGRADED: Hook<Degraded> = Hook::new("clinic.degraded");

/// Every system is unhealthy, and in maintenance as long as the flag says so.
struct Clinic(Arc<AtomicBool>);
#[async_trait::async_trait]
impl HealthReader for Clinic {
    async fn health(
        &self,
        ids: &[String],
        window: u32,
    ) -> Result<HashMap<String, HealthState>, BoxError> {
        let state = HealthState {
            status: "unhealthy".into(),
            in_status_since: None,
            in_status_for_ms: 0,
            latency_ms: None,
            avg_latency_ms: None,
            p95_latency_ms: None,
            success_rate: None,
            last_run_at: None,
            in_maintenance: self.0.load(Ordering::SeqCst),
            transitions_in_window: 0,
            transition_window_minutes: window,
            evaluated_at: plugin_api::Ts::from_millis(0),
            healthy_checks: 0,
            total_checks: 1,
        };
        Ok(ids.iter().map(|id| (id.clone(), state.clone())).collect())
    }
}

both_engines! {
    async fn dispatch_c07_a_producer_without_an_id_is_warned_about_and_its_artifact_is_consumed(db: TestDb) {
        let w = World::new(&db).await;
        let text = "name: test\ntriggers: [{event: world.pinged}]\nactions:\n- {action: world.call, config: {name: nameless}}\n- {action: world.consume, config: {name: consumer}}";
        let new = NewAutomation::of(Source::Text(text.into()));
        let stored = w.engine.automations().create(new, &Actor::system()).await.expect("stored");
        let codes: Vec<&str> = stored.issues.iter().map(|i| i.code).collect();
        assert_eq!(codes, ["missing_producer_id"]);
        w.ping(Some("k"), 1).await;
        let run = w.run_with(stored.automation.id, "success").await;
        let artifacts = w.engine.artifacts(run.id).await.expect("artifacts");
        assert_eq!((artifacts.len(), &artifacts[0].action_id, &artifacts[0].data.0), (1, &None, &json!({"name": "nameless"})));
        let given = w.shared.given.lock().unwrap().clone();
        assert_eq!(given[1]["consumed"], json!({"made": {"name": "nameless"}}));
        w.node.shutdown().await;
    }

    async fn dispatch_c09_secrets_and_code_are_passed_as_they_are_written(db: TestDb) {
        let given: Arc<Mutex<Vec<Value>>> = Arc::default();
        let keep = Keep(given.clone());
        let vault = TestPlugin::new("vault").register(move |env| env.extension(&ACTIONS).register(ActionDef::new("keep", keep)));
        let node = Kit::new(&db).await.plugin(AutomationPlugin::default()).plugin(vault).boot().await;
        let config = json!({
            "token": "tok-{{ trigger.id }}",
            "script": "echo {{ trigger.id }} | awk '{print $1}'",
            "secretEnv": {"TOKEN": "{{ trigger.id }}"},
            "note": "{{ trigger.id }}",
        });
        let automation = node.automation(Source::Value(json!({
            "name": "Verbatim",
            "triggers": [{"id": "tick", "event": "automation.interval", "config": {"intervalSeconds": 60}}],
            "actions": [{"action": "vault.keep", "config": config}],
        }))).await;
        advance_until(&node.clock(), Duration::from_secs(30), async || !node.runs(automation).await.is_empty(), "a tick").await;
        node.run_with(automation, "success").await;
        let mut expected = config;
        expected["note"] = json!("tick");
        assert_eq!(given.lock().unwrap()[0], expected);
        node.shutdown().await;
    }

    async fn dispatch_c25_a_delay_that_ends_before_its_walk_rests_resumes(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged}]\nactions: [{action: world.call, config: {name: before}}, {delay: {seconds: 30}}, {action: world.call, config: {name: after}}]").await;
        // The suspension is committed; its driver has not come to rest.
        w.node.scope().arm("dispatch.commit.after", fail::Action::Hang);
        w.ping(Some("k"), 1).await;
        eventually(async || w.node.scope().visits("dispatch.commit.after") >= 1, "the suspension").await;
        assert_eq!(w.count(&db, LOCKS).await, 1);
        w.clock.advance(Duration::from_secs(30));
        assert!(stays(async || w.calls() == ["before"]).await);
        w.node.scope().disarm("dispatch.commit.after");
        w.until_calls(&["before", "after"]).await;
        w.run_with(a, "success").await;
        assert_eq!((w.count(&db, LOCKS).await, w.count(&db, STATES).await), (0, 0));
        assert!(stays(async || w.calls().len() == 2).await, "once");
        w.node.shutdown().await;
    }

    async fn template_q8_a_template_sets_the_duration_of_a_dwell(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged, for: {template: 'trigger.payload.n * 60'}}]\nmode: parallel\nmax_runs: 10\nactions: [{action: world.call, config: {name: '{{ trigger.payload.thing }}'}}]").await;
        // Not above zero, above 30 days: a warning and no dwell.
        for (thing, n) in [("zero", 0), ("negative", -1), ("long", 43_201)] {
            w.ping(Some(thing), n).await;
        }
        w.ping(Some("two"), 2).await;
        w.ping(Some("month"), 43_200).await;
        eventually(async || w.count(&db, DWELLS).await == 2, "two dwells").await;
        assert!(stays(async || w.count(&db, DWELLS).await == 2 && w.runs(a).await.is_empty()).await);
        assert!(w.node.logs().find(Level::WARN, "for").len() >= 3, "{:?}", w.node.logs().find(Level::WARN, ""));
        let timers = w.engine.timers(a).await.expect("timers");
        let seconds: Vec<i64> = timers.iter().map(|t| (t.fire_at.millis() - t.created_at.millis()) / 1000).collect();
        assert_eq!(seconds, [120, 43_200 * 60]);
        w.clock.advance(Duration::from_secs(119));
        assert!(stays(async || w.calls().is_empty()).await);
        w.clock.advance(Duration::from_secs(1));
        w.until_calls(&["two"]).await;
        w.node.shutdown().await;
    }

    async fn template_q8_a_template_sets_how_long_a_status_must_have_held(db: TestDb) {
        let w = World::new(&db).await;
        w.health("sys", "healthy");
        let a = w.automation("triggers: [{event: world.pinged}]\nmode: parallel\nmax_runs: 10\nconditions: [{state: {entity: sys, status: healthy, for: {template: 'trigger.payload.n * 60'}}}]\nactions: [{action: world.call, config: {name: 'n{{ trigger.payload.n }}'}}]").await;
        w.clock.advance(Duration::from_secs(300));
        // Held for five minutes: four are enough, six are too many, what is no duration never is.
        for n in [4, 6, 0, -1, 43_201] {
            w.ping(Some("k"), n).await;
        }
        w.until_calls(&["n4"]).await;
        assert!(stays(async || w.runs(a).await.len() == 1).await);
        w.node.shutdown().await;
    }

    async fn seeds_a_condition_in_braces_starts_no_run_in_maintenance(db: TestDb) {
        let maintenance = Arc::new(AtomicBool::new(true));
        let clinic = Arc::new(Clinic(maintenance.clone()));
        let hooks = Arc::new(OnceLock::new());
        let kept = hooks.clone();
        let plugin = TestPlugin::new("clinic")
            .register(move |env| {
                env.provide::<dyn HealthReader>(&HEALTH_READER, clinic)?;
                let degraded = TriggerDef::on_hook::<Degraded>("degraded", DEGRADED);
                env.extension(&TRIGGERS).register(degraded.context_field("systemId", "system"))
            })
            .init(move |ctx| {
                kept.set(ctx.hooks()).ok();
                Box::pin(async { Ok(()) })
            });
        let node = Kit::new(&db).await.plugin(AutomationPlugin::default()).plugin(plugin).boot().await;
        let automation = node.automation(Source::Value(json!({
            "name": "Skip during maintenance",
            "triggers": [{"event": "clinic.degraded"}],
            "conditions": ["{{ !health.system.in_maintenance }}"],
            "actions": [{"action": "automation.log", "config": {"message": "degraded"}}],
        }))).await;
        let emit = async || {
            let hooks: &plugin_api::hook::Hooks = hooks.get().expect("after init");
            node.run(hooks.emit(&DEGRADED, &Degraded { system_id: "pay".into() })).await.expect("emitted");
        };
        emit().await;
        assert!(stays(async || node.runs(automation).await.is_empty()).await, "not in maintenance");
        maintenance.store(false, Ordering::SeqCst);
        emit().await;
        node.run_with(automation, "success").await;
        assert!(stays(async || node.runs(automation).await.len() == 1).await);
        node.shutdown().await;
    }
}
