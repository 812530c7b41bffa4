//! For plugins with triggers and actions: storing automations on a node that runs the engine, and
//! waiting for what they do.

use crate::{Node, eventually, until};
use automation_core::{
    AutomationId, RunId,
    store::{NewAutomation, Source},
};
use automation_dispatch::{
    ENGINE, Engine,
    store::runs::{RunFilter, RunRecord, StepRecord},
};
use plugin_api::Actor;
use serde_json::{Value, json};
use std::sync::Arc;

plugin_api::statements! {
    OUTBOX = "select count(*) from signalbox.entity_outbox";
}

impl Node {
    /// The engine.
    ///
    /// # Panics
    /// When the node runs without it.
    pub fn engine(&self) -> Arc<Engine> {
        self.service("test", &ENGINE).expect("the engine runs here")
    }

    /// Stores an enabled automation.
    ///
    /// # Panics
    /// When the engine refuses it, with everything it says.
    pub async fn automation(&self, definition: Source) -> AutomationId {
        let engine = self.engine();
        let new = NewAutomation::of(definition);
        match engine.automations().create(new, &Actor::system()).await {
            Ok(stored) => stored.automation.id,
            Err(e) => panic!("{e}: {e:?}"),
        }
    }

    /// The runs of an automation, oldest first.
    pub async fn runs(&self, automation: AutomationId) -> Vec<RunRecord> {
        let filter = RunFilter {
            automation_id: Some(automation),
            ..RunFilter::default()
        };
        let mut runs = self
            .engine()
            .runs(&filter, None, 1000)
            .await
            .expect("runs are read");
        runs.reverse();
        runs
    }

    /// Waits until the automation has a run with this status and answers the newest.
    pub async fn run_with(&self, automation: AutomationId, status: &str) -> RunRecord {
        let what = format!("a run that is {status}");
        until(
            async || {
                let runs = self.runs(automation).await;
                runs.into_iter().rfind(|r| r.status == status)
            },
            &what,
        )
        .await
    }

    /// The steps of a run, in the order they were begun.
    pub async fn steps(&self, run: RunId) -> Vec<StepRecord> {
        self.engine().steps(run).await.expect("steps are read")
    }

    /// Waits until every recorded change has been routed, so that what is stored next meets none of
    /// them.
    pub async fn routed(&self) {
        let db = self.runtime().database();
        let left = async || db.sql(OUTBOX).one::<i64>().await.expect("the outbox");
        eventually(async || left().await == 0, "every change is routed").await;
    }

    /// Records every event of these ids from now on.
    pub async fn listen(&self, events: &[&str]) -> Events<'_> {
        self.routed().await;
        let triggers: Vec<Value> = events.iter().map(|e| json!({"event": e})).collect();
        let definition = json!({
            "name": format!("Records {}", events.join(", ")),
            "mode": "parallel",
            "max_runs": 1000,
            "triggers": triggers,
            "actions": [],
        });
        let automation = self.automation(Source::Value(definition)).await;
        Events {
            node: self,
            automation,
        }
    }
}

/// What [`Node::listen`] has heard.
pub struct Events<'a> {
    node: &'a Node,
    automation: AutomationId,
}

impl Events<'_> {
    /// Event ids and payloads so far, oldest first.
    pub async fn so_far(&self) -> Vec<(String, Value)> {
        let runs = self.node.runs(self.automation).await;
        runs.into_iter()
            .map(|r| (r.trigger_event_id, r.trigger_payload.0))
            .collect()
    }
    /// The same once there are as many as this.
    pub async fn at_least(&self, n: usize) -> Vec<(String, Value)> {
        let what = format!("{n} events");
        eventually(async || self.so_far().await.len() >= n, &what).await;
        self.so_far().await
    }
    /// Only the ids.
    pub async fn ids(&self, at_least: usize) -> Vec<String> {
        let events = self.at_least(at_least).await;
        events.into_iter().map(|(id, _)| id).collect()
    }
}
