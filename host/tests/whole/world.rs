//! A node with every plugin. Checks run when the test says so and never by themselves, and the clock
//! moves when the test says so: what happens, happens at a known instant.

use crate::switch::{Switch, Target};
use automation_api::AutomationApiPlugin;
use automation_core::{AutomationId, store::Source};
use automation_dispatch::{AutomationPlugin, store::runs::RunRecord};
use catalog_plugin::CatalogPlugin;
use healthcheck_plugin::{HealthcheckPlugin, executor::schedule::QUEUE};
use incident_plugin::IncidentPlugin;
use plugin_api::{Clock, Ts};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use test_kit::{Kit, Node, TestDb, VirtualClock, eventually, stays};

pub const MINUTE: Duration = Duration::from_secs(60);

pub struct World {
    pub node: Node,
    pub clock: Arc<VirtualClock>,
    switch: Switch,
}

impl World {
    /// At noon of a Thursday.
    pub async fn boot(db: &TestDb) -> Self {
        let (clock, switch) = (VirtualClock::new(), Switch::default());
        let checks = HealthcheckPlugin::default().strategy(Arc::new(switch.clone()));
        let node = Kit::with_clock(db, clock.clone())
            .await
            .plugin(AutomationPlugin::default())
            .plugin(AutomationApiPlugin)
            .plugin(CatalogPlugin)
            .plugin(IncidentPlugin)
            .plugin(checks)
            .boot()
            .await;
        Self {
            node,
            clock,
            switch,
        }
    }

    /// Creates a system and waits until events know its name.
    pub async fn system(&self, id: &str, name: &str) {
        let body = json!({"id": id, "name": name});
        self.node.post("/systems", body).await.expect(201);
        let directory = self.node.service("test", &catalog_common::SYSTEMS);
        let directory = directory.expect("the directory");
        eventually(async || directory.name(id).is_some(), "the name is known").await;
    }

    /// Creates a system with one check of the same name that has succeeded once.
    pub async fn watched(&self, id: &str, name: &str, thresholds: Value) {
        self.system(id, name).await;
        self.check(id, id, thresholds).await;
        self.run(id, id, Target::default()).await;
    }

    /// Creates a check of a system.
    pub async fn check(&self, check: &str, system: &str, thresholds: Value) {
        let body = json!({"strategy": "switch", "interval_seconds": 3600,
            "config": {"timeout": 60_000, "target": check}});
        self.node.put(&format!("/checks/{check}"), body).await.ok();
        let path = format!("/checks/{check}/assignments/{system}");
        let body = json!({"state_thresholds": thresholds});
        self.node.put(&path, body).await.ok();
        let queues = self.node.runtime().kernel().queues();
        for job in queues.list_recurring(QUEUE).await.expect("jobs") {
            let cancelled = queues.cancel_recurring(QUEUE, &job.job_id).await;
            cancelled.expect("a job is cancelled");
        }
    }

    async fn recorded(&self, check: &str, system: &str) -> usize {
        let path = format!("/check-runs?check={check}&system_id={system}&limit=200");
        let page = self.node.get(&path).await.ok();
        page["items"].as_array().expect("items").len()
    }

    /// Runs a check once with its target in this state, and waits until its changes are routed.
    pub async fn run(&self, check: &str, system: &str, target: Target) {
        self.switch.set(check, target);
        let before = self.recorded(check, system).await;
        let path = format!("/checks/{check}/assignments/{system}/run");
        let until = self.clock.now().plus_millis(target.slow_ms);
        // Something else may sleep until then, too.
        let others = self.clock.sleeping_until(until);
        self.node.post(&path, json!({})).await.ok();
        if target.slow_ms > 0 {
            let asleep = async || self.clock.sleeping_until(until) > others;
            eventually(asleep, "the check is running").await;
            self.clock.set(until);
        }
        eventually(
            async || self.recorded(check, system).await > before,
            "the run is recorded",
        )
        .await;
        self.node.routed().await;
    }

    /// Runs the check of a system that [`World::watched`] made: the system is down.
    pub async fn down(&self, system: &str) {
        let target = Target {
            down: true,
            ..Target::default()
        };
        self.run(system, system, target).await;
    }
    /// The system is up again.
    pub async fn up(&self, system: &str) {
        self.run(system, system, Target::default()).await;
    }
    /// The system answers after so many milliseconds.
    pub async fn slow(&self, system: &str, slow_ms: i64) {
        let target = Target {
            slow_ms,
            down: false,
        };
        self.run(system, system, target).await;
    }

    /// Stores an automation.
    pub async fn automation(&self, definition: Value) -> AutomationId {
        self.node.routed().await;
        self.node.automation(Source::Value(definition)).await
    }

    /// Waits until so many dwells of the automation are armed, and answers when they fire.
    pub async fn armed(&self, automation: AutomationId, n: usize) -> Vec<Ts> {
        let engine = self.node.engine();
        let timers = async || engine.timers(automation).await.expect("timers");
        let what = format!("{n} armed dwells");
        eventually(async || timers().await.len() == n, &what).await;
        timers().await.iter().map(|t| t.fire_at).collect()
    }

    /// Waits until the automation has so many runs, sees that there are no more, and answers them.
    pub async fn runs(&self, automation: AutomationId, n: usize) -> Vec<RunRecord> {
        let runs = async || self.node.runs(automation).await;
        let what = format!("{n} runs");
        eventually(async || runs().await.len() >= n, &what).await;
        assert!(
            stays(async || runs().await.len() == n).await,
            "more than {n} runs: {:?}",
            runs().await
        );
        runs().await
    }

    /// Waits until there are so many incidents, sees that there are no more, and answers them, oldest
    /// first.
    pub async fn incidents(&self, n: usize) -> Vec<Value> {
        let all = async || {
            let page = self.node.get("/incidents?limit=200").await.ok();
            let mut items = page["items"].as_array().expect("items").clone();
            items.reverse();
            items
        };
        let what = format!("{n} incidents");
        eventually(async || all().await.len() >= n, &what).await;
        assert!(
            stays(async || all().await.len() == n).await,
            "more than {n} incidents: {:?}",
            all().await
        );
        all().await
    }

    /// The incident with its timeline.
    pub async fn incident(&self, incident: &Value) -> Value {
        let path = format!("/incidents/{}", incident["id"].as_str().expect("an id"));
        self.node.get(&path).await.ok()
    }

    /// Messages in the logs of all runs of an automation, oldest first.
    pub async fn logged(&self, automation: AutomationId) -> Vec<String> {
        let mut lines = Vec::new();
        for run in self.node.runs(automation).await {
            let logs = self.node.engine().logs(run.id).await.expect("logs");
            lines.extend(logs.into_iter().map(|l| l.message));
        }
        lines
    }
}

/// The first failure degrades, the third makes unhealthy.
pub fn escalating() -> Value {
    json!({"degraded": {"minFailureCount": 1}, "unhealthy": {"minFailureCount": 3}})
}

/// The first failure makes unhealthy.
pub fn at_once() -> Value {
    json!({"degraded": {"minFailureCount": 1}, "unhealthy": {"minFailureCount": 1}})
}
