//! What plugins register with the engine: ids, sources, filters (`plugins §15`).

use crate::world::Made;
use automation_core::{
    registry::{
        ACTIONS, ARTIFACT_TYPES, Action, ActionCx, ActionDef, ActionResult, ArtifactTypeDef,
        FILTERS, FilterDef, Fire, TRIGGERS, Teardown, TriggerDef, TriggerIdentity, TriggerSetup,
        TriggerSource,
    },
    store::{AutomationChange, Source, Status},
};
use automation_dispatch::AutomationPlugin;
use plugin_api::{Actor, BoxError, RegisterEnv, config::ConfigSchema};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use test_kit::{Kit, Node, TestDb, TestPlugin, advance_until, both_engines, eventually, stays};
use tracing::Level;

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)]
struct Nothing {
    #[serde(default)]
    text: String,
}
struct Idle;
#[async_trait::async_trait]
impl Action for Idle {
    type Config = Nothing;
    async fn execute(&self, _: Nothing, _: &ActionCx) -> ActionResult {
        ActionResult::ok()
    }
}

/// Boots the engine with one plugin that registers this.
async fn boot(
    db: &TestDb,
    id: &'static str,
    register: impl FnOnce(&mut RegisterEnv<'_>) -> Result<(), BoxError> + Send + 'static,
) -> Result<Node, String> {
    let kit = Kit::new(db).await.plugin(AutomationPlugin::default());
    let plugin = TestPlugin::new(id).register(register);
    kit.plugin(plugin)
        .try_boot()
        .await
        .map_err(|e| format!("{e}: {e:?}"))
}

/// Sets bells up: each keeps what fires it until it is taken down.
#[derive(Clone, Default)]
struct Bells(Arc<Mutex<BTreeMap<TriggerIdentity, (Value, Fire)>>>);
struct Hung(Bells, TriggerIdentity);
#[async_trait::async_trait]
impl TriggerSetup for Bells {
    async fn setup(
        &self,
        config: Value,
        identity: TriggerIdentity,
        fire: Fire,
    ) -> Result<Box<dyn Teardown>, BoxError> {
        self.0
            .lock()
            .unwrap()
            .insert(identity.clone(), (config, fire));
        Ok(Box::new(Hung(self.clone(), identity)))
    }
}
#[async_trait::async_trait]
impl Teardown for Hung {
    async fn teardown(&self) {
        self.0.0.lock().unwrap().remove(&self.1);
    }
}

both_engines! {
    async fn plugins_19_31_a_second_registration_of_an_id_is_an_error(db: TestDb) {
        let trigger = || TriggerDef::entity_driven::<Made>("made");
        let refused = [
            boot(&db, "shop", move |env| {
                env.extension(&TRIGGERS).register(trigger())?;
                env.extension(&TRIGGERS).register(trigger())
            }).await,
            boot(&db, "shop", |env| {
                env.extension(&ACTIONS).register(ActionDef::new("sell", Idle))?;
                env.extension(&ACTIONS).register(ActionDef::new("sell", Idle))
            }).await,
            boot(&db, "shop", |env| {
                env.extension(&ARTIFACT_TYPES).register(ArtifactTypeDef::of::<Made>("bill", "Bill"))?;
                env.extension(&ARTIFACT_TYPES).register(ArtifactTypeDef::of::<Made>("bill", "Bill"))
            }).await,
        ];
        for (answer, what) in refused.into_iter().zip(["trigger shop.made", "action shop.sell", "artifact type shop.bill"]) {
            let error = answer.err().expect("the boot fails");
            assert!(error.contains(&format!("{what} is registered twice (plugin shop)")), "{error}");
        }
        // Ids are local: one that is qualified already would be doubled (`domains §1.1`).
        for id in ["shop.made", "Made", "1made", ""] {
            let answer = boot(&db, "shop", move |env| env.extension(&TRIGGERS).register(TriggerDef::entity_driven::<Made>(id))).await;
            let error = answer.err().expect("the boot fails");
            assert!(error.contains("must not repeat the plugin id"), "{error}");
        }
    }

    async fn plugins_19_31_artifact_types_are_qualified_and_must_exist(db: TestDb) {
        let node = boot(&db, "integration-jira", |env| {
            env.extension(&ARTIFACT_TYPES).register(ArtifactTypeDef::of::<Made>("issue", "Issue"))?;
            env.extension(&ACTIONS).register(ActionDef::new("create_issue", Idle).produces("issue"))?;
            env.extension(&ACTIONS).register(ActionDef::new("add_comment", Idle).consumes("issue"))
        }).await.expect("booted");
        let registries = node.engine().registries().clone();
        let create = registries.action("integration-jira.create_issue").expect("registered");
        let produced = create.produces.as_ref().map(|local| create.owner.qualify(local));
        assert_eq!(produced.as_deref(), Some("integration-jira.issue"));
        assert!(registries.artifact_type("integration-jira.issue").is_some());
        // Every trigger has exactly one source: there is no constructor without.
        for trigger in registries.triggers() {
            assert!(matches!(trigger.source, TriggerSource::Hook { .. } | TriggerSource::Setup(_) | TriggerSource::EntityDriven));
        }
        node.shutdown().await;
        let error = boot(&db, "shop", |env| env.extension(&ACTIONS).register(ActionDef::new("sell", Idle).produces("bill"))).await;
        let error = error.err().expect("the boot fails");
        assert!(error.contains("shop.sell") && error.contains("shop.bill"), "{error}");
    }

    async fn plugins_19_32_a_setup_trigger_of_an_automation_made_at_run_time_fires_until_it_is_disabled(db: TestDb) {
        let bells = Bells::default();
        let setup = bells.clone();
        let node = boot(&db, "tower", move |env| {
            let bell = TriggerDef::on_setup::<Value>("bell", Arc::new(setup)).config(ConfigSchema::of::<Nothing>(), None);
            env.extension(&TRIGGERS).register(bell)
        }).await.expect("booted");
        let hung = || bells.0.lock().unwrap().clone();
        assert!(hung().is_empty());
        let definition = json!({"name": "Bell", "mode": "parallel", "max_runs": 10, "triggers": [{"id": "noon", "event": "tower.bell", "config": {"text": "dong"}}], "actions": []});
        let automation = node.automation(Source::Value(definition.clone())).await;
        let other = node.automation(Source::Value(definition)).await;
        eventually(async || hung().len() == 2, "both are set up, without a restart").await;
        let identity = TriggerIdentity { automation_id: automation, trigger_id: "noon".into() };
        let (config, fire) = hung()[&identity].clone();
        assert_eq!(config, json!({"text": "dong"}));
        let now = plugin_api::Clock::now(&*node.clock());
        // Twice the same occurrence is one.
        for occurrence in ["12:00", "12:00", "13:00"] {
            node.run(fire(json!({"at": occurrence}), occurrence.into(), now)).await.expect("stored");
        }
        eventually(async || node.runs(automation).await.len() == 2, "two runs").await;
        assert!(stays(async || node.runs(automation).await.len() == 2).await);
        assert!(node.runs(other).await.is_empty(), "only the automation it was set up for");
        let change = AutomationChange { status: Some(Status::Disabled), ..Default::default() };
        node.engine().automations().update(automation, None, change, &Actor::system()).await.expect("disabled");
        eventually(async || !hung().contains_key(&identity), "it is taken down").await;
        assert_eq!(hung().len(), 1);
        node.run(fire(json!({}), "14:00".into(), now)).await.ok();
        assert!(stays(async || node.runs(automation).await.len() == 2).await, "a firing in flight starts nothing");
        node.shutdown().await;
    }

    async fn dispatch_a31_a_firing_of_a_trigger_that_was_edited_away_starts_nothing(db: TestDb) {
        let bells = Bells::default();
        let setup = bells.clone();
        let node = boot(&db, "tower", move |env| {
            let triggers = env.extension(&TRIGGERS);
            for id in ["bell", "gong"] {
                let setup = Arc::new(setup.clone());
                triggers.register(TriggerDef::on_setup::<Value>(id, setup).config(ConfigSchema::of::<Nothing>(), None))?;
            }
            Ok(())
        }).await.expect("booted");
        let definition = |event: &str, text: &str, filter: &str| Source::Value(json!({
            "name": "Bell", "mode": "parallel", "max_runs": 10, "actions": [],
            "triggers": [{"id": "noon", "event": event, "config": {"text": text}, "filter": filter}],
        }));
        let automation = node.automation(definition("tower.bell", "dong", "true")).await;
        let identity = TriggerIdentity { automation_id: automation, trigger_id: "noon".into() };
        let hung = || bells.0.lock().unwrap().get(&identity).cloned();
        eventually(async || hung().is_some(), "it is set up").await;
        let (_, fire) = hung().unwrap();
        let edit = async |definition| {
            let change = AutomationChange { definition: Some(definition), ..Default::default() };
            node.engine().automations().update(automation, None, change, &Actor::system()).await.expect("edited");
        };
        let now = plugin_api::Clock::now(&*node.clock());
        let ring = async |occurrence: &str| node.run(fire(json!({}), occurrence.into(), now)).await.expect("handled");
        // A filter is not what was set up: the armed one fires on.
        edit(definition("tower.bell", "dong", "1 == 1")).await;
        ring("1").await;
        eventually(async || node.runs(automation).await.len() == 1, "a run").await;
        edit(definition("tower.gong", "dong", "true")).await;
        ring("gong").await;
        assert!(stays(async || node.runs(automation).await.len() == 1).await, "another trigger under its id");
        // A tick of a new schedule may come to a node that has armed the old one.
        edit(definition("tower.bell", "ding", "true")).await;
        ring("2").await;
        eventually(async || node.runs(automation).await.len() == 2, "no tick of an edited schedule is lost").await;
        node.shutdown().await;
    }

    async fn plugins_19_33_a_plugin_adds_filters_and_replaces_none(db: TestDb) {
        let filter = |name: &str, answer: fn(&str) -> String| FilterDef {
            name: name.into(),
            signature: None,
            description: None,
            filter: Arc::new(move |value, _| Ok(value.and_then(Value::as_str).map(|t| answer(t).into()))),
        };
        let kit = Kit::new(&db).await;
        let logs = kit.logs();
        let plugin = TestPlugin::new("loud").register(move |env| {
            env.extension(&FILTERS).register(filter("minutes", |_| "mine".into()))?;
            env.extension(&FILTERS).register(filter("shout", |t| format!("{}!", t.to_uppercase())))
        });
        let node = kit.plugin(AutomationPlugin::default()).plugin(plugin).boot().await;
        let warnings = logs.find(Level::WARN, "minutes");
        assert!(warnings.iter().any(|l| l.to_string().contains("loud")), "{warnings:?}");
        let definition = json!({
            "name": "Loud", "mode": "parallel", "max_runs": 10,
            "triggers": [{"event": "automation.interval", "config": {"intervalSeconds": 60}}],
            "conditions": ["('a' | shout) == 'A!'", "(2 | minutes) == 120000"],
            "actions": [{"action": "automation.log", "config": {"message": "{{ 'hello' | shout }}"}}],
        });
        let automation = node.automation(Source::Value(definition)).await;
        advance_until(&node.clock(), std::time::Duration::from_secs(30), async || !node.runs(automation).await.is_empty(), "a tick").await;
        let run = node.run_with(automation, "success").await;
        let lines = node.engine().logs(run.id).await.expect("logs");
        assert_eq!(lines[0].message, "HELLO!");
        node.shutdown().await;
    }
}
