//! A booted plugin with a strategy that the test switches on and off, driven over its routes.

use crate::{
    engine::{Seen, TestEngine},
    probe::Vault,
};
use async_trait::async_trait;
use automation_core::registry::Registries;
use automation_entity::{HEALTH_READER, HealthReader, HealthState};
use axum::{body::Body, http::Request};
use healthcheck_plugin::{
    HealthcheckPlugin,
    assertions::{Field, FieldKind},
    executor::schedule::QUEUE,
    strategies::{CollectCx, Collected, CollectorDef, Session, Strategy},
};
use http_body_util::BodyExt;
use plugin_api::{
    AccessRule, Actor, BoxError, Clock, Db, InitCtx, Plugin, PluginId, PluginMetadata, Principal,
    RegisterEnv, Registered,
    actor::ActorType,
    config::ConfigSchema,
    secrets::{SECRETS, SecretResolver},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use test_kit::{Kit, Node, TestDb, VirtualClock, eventually};
use tower::ServiceExt;

/// What a target does when it is checked.
#[derive(Clone, Copy, Default)]
pub enum Target {
    #[default]
    Up,
    Down,
    /// Refuses, and repeats what it was called.
    Echoing,
    Hanging,
}

/// What the targets do; the others are up.
#[derive(Clone, Default)]
pub struct Switch {
    targets: Arc<Mutex<HashMap<String, Target>>>,
    /// Connections begun.
    pub begun: Arc<AtomicUsize>,
}

impl Switch {
    /// Lets every run of the target fail, or succeed again.
    pub fn down(&self, target: &str, down: bool) {
        self.set(target, if down { Target::Down } else { Target::Up });
    }
    /// Sets what the target does.
    pub fn set(&self, target: &str, does: Target) {
        self.targets.lock().unwrap().insert(target.into(), does);
    }
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct SwitchConfig {
    timeout: u64,
    target: String,
}

#[async_trait]
impl Strategy for Switch {
    fn id(&self) -> &'static str {
        "healthcheck-switch.switch"
    }
    fn display_name(&self) -> &'static str {
        "Switch"
    }
    fn description(&self) -> &'static str {
        "Says what the test says."
    }
    fn config(&self) -> ConfigSchema {
        // Its key was once called `aim`.
        ConfigSchema::of::<SwitchConfig>().migrated("`aim` became `target`", |mut config| {
            if let Some(aim) = config.as_object_mut().and_then(|c| c.remove("aim")) {
                config["target"] = aim;
            }
            Ok(config)
        })
    }
    fn collectors(&self) -> Vec<CollectorDef> {
        vec![CollectorDef {
            id: "healthcheck-switch.echo",
            display_name: "Echo",
            config: ConfigSchema::of::<EchoConfig>(),
            fields: ECHOED,
            allow_multiple: false,
            secret_keys: &["text"],
            check: |_| Vec::new(),
        }]
    }
    async fn connect(
        &self,
        config: &Value,
        _clock: &Arc<dyn Clock>,
    ) -> Result<Arc<dyn Session>, String> {
        let target = config["target"].as_str().unwrap_or("");
        self.begun.fetch_add(1, Ordering::SeqCst);
        let does = self.targets.lock().unwrap().get(target).copied();
        match does.unwrap_or_default() {
            Target::Up => Ok(Arc::new(Connected)),
            Target::Down => Err("refused".into()),
            Target::Echoing => Err(format!("{target} refused")),
            Target::Hanging => std::future::pending().await,
        }
    }
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct EchoConfig {
    text: String,
}

const ECHOED: &[Field] = &[Field::new("text", FieldKind::String)];

struct Connected;
#[async_trait]
impl Session for Connected {
    /// Stores what it is told, and fails with it.
    async fn collect(&self, _: &str, config: &Value, _: &CollectCx) -> Collected {
        let text = config["text"].as_str().unwrap_or("");
        Collected::of(
            &json!({ "text": text }),
            Some(format!("the target said {text}")),
        )
    }
}

/// A secrets platform with one secret.
struct Secrets(&'static str, &'static str);

impl Plugin for Secrets {
    fn metadata(&self) -> PluginMetadata {
        PluginMetadata {
            id: PluginId::new("secrets"),
            display_name: "Secrets",
            version: "0",
        }
    }
    fn register(
        self: Box<Self>,
        env: &mut RegisterEnv<'_>,
    ) -> Result<Box<dyn Registered>, BoxError> {
        env.provides(&SECRETS)?;
        Ok(self)
    }
}

#[async_trait]
impl Registered for Secrets {
    async fn init(&self, ctx: &InitCtx) -> Result<(), BoxError> {
        let known = [(self.0.to_owned(), self.1.to_owned())].into();
        let resolver: Arc<dyn SecretResolver> = Arc::new(Vault(known));
        Ok(ctx.provide(&SECRETS, resolver)?)
    }
}

/// A node and what came out of it.
pub struct World {
    pub node: Node,
    pub seen: Arc<Seen>,
    pub switch: Switch,
    pub registries: Arc<Registries>,
}

impl World {
    /// Boots on a database.
    pub async fn boot(db: &TestDb) -> Self {
        Self::boot_at(db, VirtualClock::new()).await
    }

    /// Boots at an instant.
    pub async fn boot_at(db: &TestDb, clock: Arc<VirtualClock>) -> Self {
        Self::boot_with(db, clock, Vec::new()).await
    }

    /// Boots with a secrets platform that knows one secret.
    pub async fn boot_knowing(db: &TestDb, name: &'static str, value: &'static str) -> Self {
        let secrets: Box<dyn Plugin> = Box::new(Secrets(name, value));
        Self::boot_with(db, VirtualClock::new(), vec![secrets]).await
    }

    async fn boot_with(
        db: &TestDb,
        clock: Arc<VirtualClock>,
        beside: Vec<Box<dyn Plugin>>,
    ) -> Self {
        let (seen, switch) = (Arc::<Seen>::default(), Switch::default());
        let registries = Arc::<Registries>::default();
        let plugin = HealthcheckPlugin::default().strategy(Arc::new(switch.clone()));
        let node = Kit::with_clock(db, clock)
            .await
            .plugin(TestEngine(seen.clone(), registries.clone()))
            .plugin(plugin)
            .plugins(beside)
            .boot()
            .await;
        Self {
            node,
            seen,
            switch,
            registries,
        }
    }

    /// Two nodes on one Postgres, one clock and one switch.
    pub async fn two(db: &TestDb) -> [Self; 2] {
        let switch = Switch::default();
        let parts = || (Arc::<Seen>::default(), Arc::<Registries>::default());
        let made = [parts(), parts()];
        let nodes = Kit::two_nodes(db, |n| {
            let (seen, registries) = made[n].clone();
            let plugin = HealthcheckPlugin::default().strategy(Arc::new(switch.clone()));
            vec![
                Box::new(TestEngine(seen, registries)) as Box<dyn Plugin>,
                Box::new(plugin),
            ]
        })
        .await;
        let mut made = made.into_iter();
        nodes.map(|node| {
            let (seen, registries) = made.next().expect("two nodes");
            Self {
                node,
                seen,
                switch: switch.clone(),
                registries,
            }
        })
    }

    /// The plugin's database.
    pub fn db(&self) -> Db {
        let plugin = PluginId::new("healthcheck");
        self.node.runtime().kernel().plugin_database(&plugin)
    }

    /// The person who makes the requests.
    pub fn person() -> Actor {
        Actor {
            kind: ActorType::User,
            id: "anna".into(),
            name: None,
        }
    }

    /// Makes a request as a person who may do everything; answers status and body.
    pub async fn call(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        self.call_as(method, path, body, &["*"]).await
    }

    /// Makes a request as a person with some rules.
    pub async fn call_as(
        &self,
        method: &str,
        path: &str,
        body: Value,
        rules: &[&str],
    ) -> (u16, Value) {
        let rules: BTreeSet<String> = rules.iter().map(|r| (*r).to_owned()).collect();
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header("content-type", "application/json")
            .body(if body.is_null() {
                Body::empty()
            } else {
                Body::from(body.to_string())
            })
            .expect("a request");
        let actor = Self::person();
        request.extensions_mut().insert(Principal {
            actor: actor.clone(),
            rules,
        });
        let router = self.node.runtime().router();
        let answer = plugin_api::RequestContext::of(actor)
            .scope(router.oneshot(request))
            .await
            .expect("an answer");
        let status = answer.status().as_u16();
        let bytes = answer
            .into_body()
            .collect()
            .await
            .expect("a body")
            .to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        (status, body)
    }

    /// As [`World::call`], for requests that succeed.
    #[track_caller]
    pub fn ok(
        &self,
        method: &'static str,
        path: String,
        body: Value,
    ) -> impl Future<Output = Value> {
        let at = std::panic::Location::caller();
        async move {
            let (status, answer) = self.call(method, &path, body).await;
            assert!(
                (200..300).contains(&status),
                "{at}: {method} {path}: {status} {answer}"
            );
            answer
        }
    }

    /// Creates a check on a switch and assigns systems to it with thresholds. It runs when the test
    /// says so and never by itself.
    pub async fn check(&self, name: &str, systems: &[&str], thresholds: Value) -> Value {
        let check = self.scheduled(name, systems, thresholds).await;
        let queues = self.node.runtime().kernel().queues();
        for job in queues.list_recurring(QUEUE).await.expect("jobs") {
            let cancelled = queues.cancel_recurring(QUEUE, &job.job_id).await;
            cancelled.expect("a job is cancelled");
        }
        check
    }

    /// As [`World::check`], with its schedule.
    pub async fn scheduled(&self, name: &str, systems: &[&str], thresholds: Value) -> Value {
        let input = json!({ "strategy": "switch", "intervalSeconds": 3600,
            "config": { "timeout": 5000, "target": name } });
        let check = self.ok("PUT", format!("/checks/{name}"), input).await;
        for system in systems {
            let input = json!({ "state_thresholds": thresholds });
            self.ok("PUT", format!("/checks/{name}/assignments/{system}"), input)
                .await;
        }
        check
    }

    /// Runs a check of a system once, to the end.
    pub async fn run(&self, name: &str, system: &str) {
        let before = self.runs(name, system).await;
        self.ok(
            "POST",
            format!("/checks/{name}/assignments/{system}/run"),
            Value::Null,
        )
        .await;
        eventually(
            async || self.runs(name, system).await > before,
            "the run is recorded",
        )
        .await;
    }

    /// Runs a check with its target down or up.
    pub async fn run_as(&self, name: &str, system: &str, down: bool) {
        self.switch.down(name, down);
        self.run(name, system).await;
    }

    /// How many runs are recorded, up to 200.
    pub async fn runs(&self, name: &str, system: &str) -> usize {
        let path = format!("/check-runs?check={name}&system_id={system}&limit=200");
        let page = self.ok("GET", path, Value::Null).await;
        page["items"].as_array().expect("items").len()
    }

    /// `status`, `healthy_checks`, `total_checks` of a system.
    pub async fn health(&self, system: &str) -> (String, u64, u64) {
        let h = self
            .ok("GET", format!("/health/{system}"), Value::Null)
            .await;
        (
            h["status"].as_str().expect("a status").to_owned(),
            h["healthy_checks"].as_u64().expect("a count"),
            h["total_checks"].as_u64().expect("a count"),
        )
    }

    /// The provider's view of one system.
    pub async fn state(&self, system: &str) -> HealthState {
        let reader: Arc<dyn HealthReader> = self
            .node
            .service("automation", &HEALTH_READER)
            .expect("the provider");
        let ids = [system.to_owned()];
        let mut states = reader.health(&ids, 60).await.expect("an answer");
        states.remove(system).expect("every id is answered")
    }

    /// Waits until so many derived events have come out, and answers all of them.
    pub async fn events(&self, at_least: usize) -> Vec<(String, Value)> {
        let seen = &self.seen;
        eventually(
            async || seen.events.lock().unwrap().len() >= at_least,
            "events come out",
        )
        .await;
        seen.events.lock().unwrap().clone()
    }

    /// The ids of the events so far.
    pub async fn event_ids(&self, at_least: usize) -> Vec<String> {
        self.events(at_least)
            .await
            .into_iter()
            .map(|e| e.0)
            .collect()
    }

    /// The system's history as `from>to`, oldest first.
    pub async fn history(&self, system: &str) -> Vec<String> {
        let rows: Vec<Row> = self
            .db()
            .sql(HISTORY)
            .bind(system)
            .all()
            .await
            .expect("the history");
        rows.into_iter()
            .map(|r| format!("{}>{}", r.from_status.unwrap_or_default(), r.to_status))
            .collect()
    }
}

plugin_api::row! {
    struct Row { from_status: Option<String>, to_status: String }
}
plugin_api::statements! {
    HISTORY = "select from_status, to_status from health_check_state_transitions
        where system_id = $1 order by transitioned_at, id";
}

/// One failure makes a check unhealthy.
pub fn at_once() -> Value {
    json!({ "degraded": { "minFailureCount": 1 }, "unhealthy": { "minFailureCount": 1 } })
}

/// Needed by tests of rules.
pub fn rule(r: &AccessRule) -> &'static str {
    r.id
}
