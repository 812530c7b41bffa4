//! A small world: things with a status, a pinged hook, a scripted action, health that the test sets.

use automation_core::{
    AutomationId, RunId,
    registry::{
        ACTIONS, ARTIFACT_TYPES, Action, ActionCx, ActionDef, ActionResult, ArtifactTypeDef,
        ConfigGate, LogLevel, TRIGGERS, TriggerDef,
    },
    store::{NewAutomation, Source},
};
use automation_dispatch::{
    AutomationPlugin, ENGINE, Engine, ManualFiring, ManualRun, ManualRunError,
    store::runs::{RunFilter, RunRecord, StepRecord},
};
use automation_entity::{
    ENTITY, EntityChanged, EntityHandle, EntityRead, EntityState, HEALTH_READER, HealthReader,
    HealthState, KindOptions, MutateOpts,
};
use plugin_api::{
    Actor, BoxError, Conn, Migration, Ts, config::ConfigSchema, hook::Hook, hook::Hooks,
    masking::RunSecretRegistry, queue::QueueManager,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};
use test_kit::{Kit, Logs, Node, TestDb, TestPlugin, VirtualClock, eventually, until};
use tokio::sync::watch;

/// Payload of the hook `world.ping`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Ping {
    pub thing: Option<String>,
    #[serde(default)]
    pub n: i64,
}
pub const PING: Hook<Ping> = Hook::new("world.ping");

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Thing {
    pub status: String,
}
impl EntityState for Thing {
    const KIND: &'static str = "thing";
}

plugin_api::statements! {
    PUT = "insert into things (id, status) values ($1, $2) on conflict (id) do update set status = excluded.status";
    pub LOCKS = "select count(*) from signalbox.automation_wait_locks";
    pub LOGS = "select count(*) from signalbox.automation_run_logs";
    pub STATES = "select count(*) from signalbox.automation_run_state";
    pub DWELLS = "select count(*) from signalbox.automation_dwell_timers";
    pub LEASES = "select count(*) from signalbox.automation_run_state where lease_owner is not null";
    DELETE = "delete from things where id = $1";
    READ = {
        sqlite: "select id, status from things where id in (select value from json_each($1))",
        postgres: "select id, status from things where id = any($1)",
    };
}

const TABLES: &[Migration] = &[Migration {
    number: 1,
    name: "0001_things",
    sqlite: "create table things (id text primary key, status text not null)",
    postgres: "create table things (id text primary key, status text not null)",
}];

#[derive(Clone)]
struct ReadThings(Arc<Shared>);
#[async_trait::async_trait]
impl EntityRead<Thing> for ReadThings {
    async fn read(
        &self,
        mut at: Conn<'_>,
        ids: &[String],
    ) -> Result<HashMap<String, Thing>, BoxError> {
        if *self.0.reader_down.lock().unwrap() {
            return Err("the reader is down".into());
        }
        plugin_api::row! { struct Row { id: String, status: String } }
        let rows: Vec<Row> = at.sql(READ).texts(ids).all().await?;
        Ok(rows
            .into_iter()
            .map(|r| (r.id, Thing { status: r.status }))
            .collect())
    }
}

/// What the nodes of a test share beside the database.
#[derive(Default)]
pub struct Shared {
    /// Calls of `world.call`, as `name` or `name!` when it failed, in order.
    pub calls: Mutex<Vec<String>>,
    /// What each call was given: idempotency key, attempt, consumed artifacts; and on which node, from 1.
    pub given: Mutex<Vec<Value>>,
    /// Health by system.
    pub health: Mutex<HashMap<String, (String, Option<Ts>)>>,
    /// Health ids that were asked for.
    pub asked: Mutex<Vec<Vec<String>>>,
    /// Reading things fails.
    pub reader_down: Mutex<bool>,
    /// Reading health fails.
    pub health_down: Mutex<bool>,
    /// Hanging calls that were told to end, by name.
    pub heard: Mutex<Vec<String>>,
    /// Lets a held call go.
    pub let_go: tokio::sync::Notify,
    /// Nodes booted so far.
    nodes: AtomicU64,
}

/// Config of `world.call`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CallConfig {
    pub name: String,
    #[serde(default)]
    pub fails: String,
    /// Waits until the test opens the gate.
    #[serde(default)]
    pub hangs: bool,
    /// Waits until the test lets one go.
    #[serde(default)]
    pub held: bool,
    #[serde(default)]
    pub panics: bool,
}

#[derive(Serialize, Deserialize, JsonSchema)]
pub struct Made {
    pub name: String,
}

struct Call {
    node: u64,
    shared: Arc<Shared>,
    gate: watch::Receiver<bool>,
    parts: Arc<OnceLock<Parts>>,
}
#[async_trait::async_trait]
impl Action for Call {
    type Config = CallConfig;
    async fn execute(&self, config: CallConfig, cx: &ActionCx) -> ActionResult {
        self.shared.given.lock().unwrap().push(json!({
            "name": config.name, "node": self.node, "key": cx.idempotency_key, "attempt": cx.attempt,
            "consumed": cx.consumed, "trigger": cx.scope.trigger,
        }));
        let failed = if config.fails.is_empty() { "" } else { "!" };
        self.shared
            .calls
            .lock()
            .unwrap()
            .push(format!("{}{failed}", config.name));
        assert!(!config.panics, "the action panics");
        if let Some(secret) = config.name.strip_prefix("secret ") {
            let parts = self.parts.get().expect("after init");
            parts.secrets.capture(cx.run_id.uuid().as_u128(), secret);
            cx.log.line(LogLevel::Info, &format!("using {secret}"));
        }
        if config.held {
            self.shared.let_go.notified().await;
        }
        if config.hangs {
            let (mut gate, mut cancel) = (self.gate.clone(), cx.cancel.clone());
            let told = tokio::select! {
                biased;
                _ = gate.wait_for(|open| *open) => false,
                () = cancel.cancelled() => true,
            };
            if told {
                // It hears, and goes on none the less.
                self.shared.heard.lock().unwrap().push(config.name.clone());
                gate.wait_for(|open| *open).await.ok();
            }
        }
        if config.fails.is_empty() {
            let external = match config.name.strip_prefix("secret ") {
                Some(secret) => format!("id-{secret}"),
                None => "ext-1".to_owned(),
            };
            ActionResult::artifact(&Made { name: config.name }).external_id(external)
        } else {
            ActionResult::failed(config.fails)
        }
    }
}

/// `world.set`: makes a thing, from inside a run.
struct SetThing(Arc<OnceLock<EntityHandle<Thing>>>);
#[async_trait::async_trait]
impl Action for SetThing {
    type Config = CallConfig;
    async fn execute(&self, config: CallConfig, _: &ActionCx) -> ActionResult {
        let things = self.0.get().expect("defined");
        put(things, &config.name, "set").await;
        ActionResult::ok()
    }
}

async fn put(things: &EntityHandle<Thing>, id: &str, status: &str) {
    let write = things.mutate_in(id, MutateOpts::default(), async |tx| {
        tx.sql(PUT)
            .bind(id.to_owned())
            .bind(status.to_owned())
            .execute()
            .await?;
        Ok(Thing {
            status: status.to_owned(),
        })
    });
    write.await.expect("the thing changes");
}

struct Health(Arc<Shared>, Arc<VirtualClock>);
#[async_trait::async_trait]
impl HealthReader for Health {
    async fn health(
        &self,
        ids: &[String],
        window: u32,
    ) -> Result<HashMap<String, HealthState>, BoxError> {
        use plugin_api::Clock;
        self.0.asked.lock().unwrap().push(ids.to_vec());
        if *self.0.health_down.lock().unwrap() {
            return Err("health is down".into());
        }
        let now = self.1.now();
        let all = self.0.health.lock().unwrap();
        Ok(ids
            .iter()
            .filter_map(|id| {
                let (status, since) = all.get(id)?;
                Some((
                    id.clone(),
                    HealthState {
                        status: status.clone(),
                        in_status_since: *since,
                        in_status_for_ms: since.map_or(0, |s| now.millis() - s.millis()),
                        latency_ms: None,
                        avg_latency_ms: None,
                        p95_latency_ms: None,
                        success_rate: None,
                        last_run_at: None,
                        in_maintenance: false,
                        transitions_in_window: 0,
                        transition_window_minutes: window,
                        evaluated_at: now,
                        healthy_checks: 0,
                        total_checks: 1,
                    },
                ))
            })
            .collect())
    }
}

/// Gate config of `world.measured`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct Above {
    above: i64,
}

const EVENTS: &[&str] = &["world.went_down", "world.came_up", "world.changed"];

fn derive(c: &EntityChanged) -> Vec<&'static str> {
    let mut events = Vec::new();
    if c.changed("status") {
        match c.next_field("status").and_then(Value::as_str) {
            Some("down") => events.push("world.went_down"),
            Some("up") => events.push("world.came_up"),
            _ => {}
        }
        events.push("world.changed");
    }
    events
}

/// Shows the log of a node whose test fails.
struct Tell(Logs);
impl Drop for Tell {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for line in self.0.lines() {
                eprintln!("{line}");
            }
        }
    }
}

/// One node of the world.
pub struct World {
    pub node: Node,
    pub engine: Arc<Engine>,
    pub shared: Arc<Shared>,
    pub clock: Arc<VirtualClock>,
    gate: watch::Sender<bool>,
    _tell: Tell,
    things: EntityHandle<Thing>,
    parts: Arc<OnceLock<Parts>>,
}

/// What the test plugin got in `init`.
pub struct Parts {
    pub hooks: Hooks,
    pub queues: Arc<dyn QueueManager>,
    pub secrets: Arc<RunSecretRegistry>,
}

impl World {
    /// Boots on a database.
    pub async fn new(db: &TestDb) -> Self {
        Self::boot(db, Arc::default(), VirtualClock::new()).await
    }

    pub async fn boot(db: &TestDb, shared: Arc<Shared>, clock: Arc<VirtualClock>) -> Self {
        Box::pin(Self::boot_with(
            db,
            shared,
            clock,
            AutomationPlugin::default(),
        ))
        .await
    }

    /// Boots with an engine of other settings.
    pub async fn boot_with(
        db: &TestDb,
        shared: Arc<Shared>,
        clock: Arc<VirtualClock>,
        engine: AutomationPlugin,
    ) -> Self {
        let (gate, opened) = watch::channel(false);
        let number = shared.nodes.fetch_add(1, Ordering::Relaxed) + 1;
        let handle: Arc<OnceLock<EntityHandle<Thing>>> = Arc::default();
        let parts: Arc<OnceLock<Parts>> = Arc::default();
        let plugin = {
            let (shared, handle, health) = (
                shared.clone(),
                handle.clone(),
                Arc::new(Health(shared.clone(), clock.clone())),
            );
            let (parts, called) = (parts.clone(), parts.clone());
            let setting = handle.clone();
            TestPlugin::new("world")
                .register(move |env| {
                    env.migrations(TABLES);
                    let entities = env.extension(&ENTITY);
                    let things = entities
                        .define::<Thing>(KindOptions::default(), ReadThings(shared.clone()))?;
                    let _ = handle.set(things);
                    entities.change_deriver("thing", "world", EVENTS, derive)?;
                    let triggers = env.extension(&TRIGGERS);
                    for event in ["went_down", "came_up", "changed"] {
                        triggers.register(TriggerDef::entity_driven::<Value>(event))?;
                    }
                    triggers.register(
                        TriggerDef::on_hook::<Ping>("pinged", PING).context_field("thing", "thing"),
                    )?;
                    triggers.register(
                        TriggerDef::on_hook::<Ping>("measured", PING)
                            .context_field("thing", "thing")
                            .config(
                                ConfigSchema::of::<Above>(),
                                Some(Arc::new(|payload, config| {
                                    let n = payload["n"].as_i64().unwrap_or_default();
                                    if n > config["above"].as_i64().unwrap_or_default() {
                                        Ok(ConfigGate::Yes)
                                    } else {
                                        Ok(ConfigGate::No)
                                    }
                                })),
                            ),
                    )?;
                    env.extension(&ARTIFACT_TYPES)
                        .register(ArtifactTypeDef::of::<Made>("made", "Made"))?;
                    let call = |shared: &Arc<Shared>| Call {
                        node: number,
                        shared: shared.clone(),
                        gate: opened.clone(),
                        parts: called.clone(),
                    };
                    let actions = env.extension(&ACTIONS);
                    actions.register(ActionDef::new("call", call(&shared)).produces("made"))?;
                    actions.register(ActionDef::new("set", SetThing(setting.clone())))?;
                    actions.register(ActionDef::new("consume", call(&shared)).consumes("made"))?;
                    env.provide::<dyn HealthReader>(&HEALTH_READER, health.clone())?;
                    Ok(())
                })
                .init(move |ctx| {
                    let parts = parts.clone();
                    Box::pin(async move {
                        let _ = parts.set(Parts {
                            hooks: ctx.hooks(),
                            queues: ctx.queues(),
                            secrets: ctx.run_secrets(),
                        });
                        Ok(())
                    })
                })
        };
        let node = Kit::with_clock(db, clock.clone())
            .await
            .plugin(engine)
            .plugin(plugin)
            .boot()
            .await;
        let engine = node.service("test", &ENGINE).expect("the engine runs");
        Self {
            _tell: Tell(node.logs().clone()),
            things: handle.get().expect("defined").clone(),
            node,
            engine,
            shared,
            clock,
            gate,
            parts,
        }
    }

    /// Stores an enabled automation. `body` is YAML without the name.
    pub async fn automation(&self, body: &str) -> AutomationId {
        let text = format!("name: test\n{body}");
        let new = NewAutomation::of(Source::Text(text));
        let actor = Actor::system();
        match self.engine.automations().create(new, &actor).await {
            Ok(stored) => stored.automation.id,
            Err(e) => panic!("{e}: {e:?}"),
        }
    }

    /// Changes a thing through its handle.
    pub async fn set(&self, id: &str, status: &str) {
        self.node.run(put(&self.things, id, status)).await;
    }

    /// The status of a thing, if there is one.
    pub async fn status(&self, id: &str) -> Option<String> {
        let thing = self.things.get(id).await.expect("things can be read");
        thing.map(|t| t.status)
    }

    /// Changes a thing in a task of the node, which may die meanwhile.
    pub async fn try_set(&self, id: &str, status: &str) {
        let (things, id, status) = (self.things.clone(), id.to_owned(), status.to_owned());
        let write = async move { put(&things, &id, &status).await };
        let task = async { plugin_api::spawn(write).await.ok() };
        self.node.run(task).await;
    }

    /// Removes a thing through its handle.
    pub async fn remove(&self, id: &str) {
        let id2 = id.to_owned();
        let write = self
            .things
            .remove_in(id, MutateOpts::default(), async |tx| {
                tx.sql(DELETE).bind(id2.clone()).execute().await?;
                Ok(())
            });
        self.node.run(write).await.expect("the thing goes");
    }

    /// Emits `world.ping`.
    pub async fn ping(&self, thing: Option<&str>, n: i64) {
        let hooks = &self.parts().hooks;
        let payload = Ping {
            thing: thing.map(str::to_owned),
            n,
        };
        self.node
            .run(hooks.emit(&PING, &payload))
            .await
            .expect("emitted");
    }

    /// Sets a system's health, since now.
    pub fn health(&self, system: &str, status: &str) {
        use plugin_api::Clock;
        let now = self.clock.now();
        let mut all = self.shared.health.lock().unwrap();
        all.insert(system.into(), (status.into(), Some(now)));
    }

    pub fn parts(&self) -> &Parts {
        self.parts.get().expect("after init")
    }

    pub fn open_gate(&self) {
        self.gate.send_replace(true);
    }

    /// Opens the gate when the node itself is gone into its stop.
    pub fn gate(&self) -> watch::Sender<bool> {
        self.gate.clone()
    }

    pub fn calls(&self) -> Vec<String> {
        self.shared.calls.lock().unwrap().clone()
    }

    pub async fn until_calls(&self, wanted: &[&str]) {
        eventually(
            async || self.calls() == wanted,
            &format!("calls {wanted:?}; there are {:?}", self.calls()),
        )
        .await;
    }

    pub async fn runs(&self, automation: AutomationId) -> Vec<RunRecord> {
        let filter = RunFilter {
            automation_id: Some(automation),
            ..Default::default()
        };
        let mut runs = self.engine.runs(&filter, None, 100).await.expect("runs");
        runs.reverse();
        runs
    }

    /// Waits until the automation has one run with this status and answers it.
    pub async fn run_with(&self, automation: AutomationId, status: &str) -> RunRecord {
        until(
            async || {
                let mut runs = self.runs(automation).await;
                runs.retain(|r| r.status == status);
                runs.pop()
            },
            &format!("a run with status {status}"),
        )
        .await
    }

    pub async fn steps(&self, run: RunId) -> Vec<StepRecord> {
        self.engine.steps(run).await.expect("steps")
    }

    /// `path=status` of each step.
    pub async fn step_list(&self, run: RunId) -> Vec<String> {
        let mut list: Vec<String> = self
            .steps(run)
            .await
            .into_iter()
            .map(|s| match s.error_code {
                Some(code) => format!("{}={}({code})", s.action_path, s.status),
                None => format!("{}={}", s.action_path, s.status),
            })
            .collect();
        list.sort();
        list
    }

    /// Starts a run by hand.
    pub async fn manual(&self, automation: AutomationId) -> RunId {
        let run = self.engine.manual_run(by_hand(automation));
        self.node.run(run).await.expect("a run starts")
    }

    /// Fires the first trigger by hand; answers the gate that holds it back.
    pub async fn fire(&self, automation: AutomationId) -> Result<ManualFiring, &'static str> {
        let firing = self.engine.manual_firing(by_hand(automation));
        self.node.run(firing).await.map_err(|e| match e {
            ManualRunError::Blocked { gate } => gate,
            other => panic!("{other}"),
        })
    }

    /// Rows of a framework table.
    pub async fn count(&self, db: &TestDb, sql: plugin_api::db::Sql) -> i64 {
        db.db().sql(sql).one().await.expect("a count")
    }
}

fn by_hand(automation_id: AutomationId) -> ManualRun {
    ManualRun {
        automation_id,
        trigger_id: None,
        payload: json!({"thing": "t", "n": 1}),
        validate_payload: false,
        actor: Actor::system(),
    }
}
