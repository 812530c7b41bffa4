//! Starter automations (`definition §12`).

use crate::plain::World;
use automation_core::registry::{STARTERS, StarterDef};
use serde_json::{Value, json};
use test_kit::{TestDb, TestPlugin, both_engines};
use tracing::Level;

fn starter(id: &str, actions: Value) -> StarterDef {
    StarterDef {
        id: id.into(),
        name: "Good".into(),
        description: "Does good.".into(),
        category: "Tests".into(),
        icon: None,
        definition: json!({
            "name": "Good",
            "triggers": [{"event": "automation.interval", "config": {"intervalSeconds": 60}}],
            "actions": actions,
        }),
    }
}

fn log(level: &str) -> Value {
    json!([{"action": "automation.log", "config": {"message": "m", "level": level}}])
}

fn plugin() -> TestPlugin {
    TestPlugin::new("world").register(|env| {
        let starters = env.extension(&STARTERS);
        starters.register(starter("good", log("info")))?;
        starters.register(starter(
            "absent",
            json!([{"action": "pager.page", "config": {}}]),
        ))?;
        starters.register(starter("drifted", log("loud")))?;
        starters.register(starter("good", log("warn")))?;
        let long = StarterDef {
            name: "x".repeat(121),
            ..starter("long", log("info"))
        };
        starters.register(long)?;
        Ok(())
    })
}

both_engines! {
    async fn definition_18_32_a_starter_that_cannot_be_used_is_withheld_and_the_boot_succeeds(db: TestDb) {
        let w = World::with(&db, plugin()).await;
        let answer = w.get("/starters").await;
        let items = answer["items"].as_array().unwrap();
        let ids: Vec<&str> = items.iter().filter_map(|s| s["id"].as_str()).collect();
        for here in ["world.good", "automation.nightly-report", "automation.latency-threshold"] {
            assert!(ids.contains(&here), "{ids:?}");
        }
        assert!(ids.is_sorted(), "{ids:?}");
        // The incident and health-check plugins are not here, and nobody delivers notifications.
        for absent in ["world.absent", "world.drifted", "world.long", "automation.auto-incident", "automation.page-oncall-sustained-degradation"] {
            assert!(!ids.contains(&absent), "{ids:?}");
        }
        let good = items.iter().find(|s| s["id"] == "world.good").unwrap();
        assert_eq!(good["owner_plugin_id"], "world");
        assert_eq!(good["definition"]["mode"], "single");
        assert_eq!(good["definition"]["actions"][0]["config"]["level"], "info", "the first of an id");
        assert!(good["yaml"].as_str().unwrap().starts_with("name: Good\n"));

        let status = w.get("/status").await;
        let withheld = |id: &str| status["withheld_starters"].as_array().unwrap().iter().find(|s| s["id"] == id).cloned().unwrap();
        assert_eq!(withheld("world.absent")["missing"], json!(["there is no action `pager.page`"]));
        assert!(withheld("world.drifted")["invalid"][0].as_str().unwrap().starts_with("actions.0.config.level:"));
        assert!(withheld("world.long")["invalid"][0].as_str().unwrap().starts_with("name:"));
        let logs = w.node.logs();
        assert_eq!(logs.find(Level::WARN, "world.absent").len(), 1);
        assert_eq!(logs.find(Level::ERROR, "world.drifted").len(), 1);
        w.node.shutdown().await;
    }
}
