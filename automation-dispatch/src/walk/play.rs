//! Playing definitions against the real decisions without a database: what a model store, a virtual
//! clock and scripted providers make of them, with a crash at any decision.

use super::{
    decide::{Act, CallOutcome, Cx, Decision, Event, FireReason, Rest, Write, decide},
    tree::Walk,
    view::{Base, Live},
};
use automation_core::{
    LockId,
    compiled::CompiledDefinition,
    definition::Definition,
    registry::{Action, ActionCx, ActionDef, ActionPoint, ActionResult, Registries},
};
use plugin_api::{PluginId, Ts, extension::Implements};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::{
    cell::Cell,
    collections::{BTreeMap, VecDeque},
    sync::{Arc, atomic::AtomicU64, atomic::Ordering},
};

/// Config of the scripted action `test.call`.
#[derive(Deserialize, Serialize, JsonSchema)]
struct Config {
    name: String,
    #[serde(default)]
    fails: String,
    /// Fails only in attempts up to this one; 0: in all.
    #[serde(default)]
    until: u32,
    /// `retry_after_ms` of a failure.
    #[serde(default)]
    after_ms: Option<u64>,
}
struct Call;
#[async_trait::async_trait]
impl Action for Call {
    type Config = Config;
    async fn execute(&self, _: Config, _: &ActionCx) -> ActionResult {
        ActionResult::ok()
    }
}
/// Registries with `test.call`, which produces `test.made`.
pub fn registries() -> Arc<Registries> {
    let registries = Arc::new(Registries::default());
    let plugin = PluginId::new("test");
    Implements::<ActionPoint>::apply(
        &registries,
        &plugin,
        ActionDef::new("call", Call).produces("made"),
    )
    .expect("registers");
    registries
}

/// Compiles actions written as YAML.
pub fn compile(actions: &str, registries: &Registries) -> Arc<CompiledDefinition> {
    let indented: String = actions.lines().map(|l| format!("  {l}\n")).collect();
    let yaml = format!("name: t\ntriggers: [{{event: test.fired}}]\nactions:\n{indented}");
    let node = automation_core::yaml::read(&yaml, &Default::default()).expect("yaml");
    let (definition, issues) = Definition::read(&node);
    let definition = definition.unwrap_or_else(|| panic!("{issues:?}"));
    Arc::new(CompiledDefinition::compile(&definition, registries).expect("compiles"))
}

/// A run in the model.
pub struct Play {
    pub registries: Arc<Registries>,
    pub program: Arc<CompiledDefinition>,
    pub walk: Walk,
    pub base: Base,
    pub now: Ts,
    pub rest: Rest,
    /// `name#attempt` of each call that a provider got.
    pub calls: Vec<String>,
    /// Step rows by path.
    pub steps: BTreeMap<String, Map<String, Value>>,
    /// Committed locks: deadline, if any.
    pub locks: BTreeMap<LockId, (String, &'static str, Option<Ts>)>,
    /// Live state that reads answer, one after another; the last one stays.
    pub live: VecDeque<Live>,
    pub decisions: usize,
    pub log: Vec<String>,
    /// Stop with a crash after this decision: acts are lost, the tree goes through JSON.
    pub crash_after: Option<usize>,
    pub step_budget: u32,
    ids: Arc<AtomicU64>,
}

impl Play {
    pub fn new(actions: &str) -> Self {
        let registries = registries();
        Self {
            program: compile(actions, &registries),
            registries,
            walk: Walk::new(),
            base: Base {
                trigger: Arc::new(
                    json!({"id": "t", "event": "test.fired", "payload": {"n": 1, "text": "abc"}}),
                ),
                now: Arc::new(json!("2026-01-15T12:00:00.000Z")),
                live: Live::none(),
            },
            now: Ts::parse("2026-01-15T12:00:00Z").expect("instant"),
            rest: Rest::Walking,
            calls: Vec::new(),
            steps: BTreeMap::new(),
            locks: BTreeMap::new(),
            live: VecDeque::from([Live::default()]),
            decisions: 0,
            log: Vec::new(),
            crash_after: None,
            step_budget: super::decide::STEP_BUDGET,
            ids: Arc::default(),
        }
    }

    /// Lets one event happen and performs what comes of it, until nothing is in flight.
    pub fn happen(&mut self, event: Event) -> &mut Self {
        let mut queue = VecDeque::from([event]);
        let crashed = Cell::new(false);
        while let Some(event) = queue.pop_front() {
            let decision = self.decide(event);
            if Some(self.decisions) == self.crash_after && !crashed.get() {
                crashed.set(true);
                // Everything in memory is gone: the checkpoint and the artifacts come back, and the
                // lists of loops from their steps.
                let artifacts = self.walk.artifacts.clone();
                let text = serde_json::to_string(&self.walk).expect("serialises");
                self.walk = serde_json::from_str(&text).expect("comes back");
                self.walk.artifacts = artifacts;
                for step in self.walk.lists_wanted() {
                    let mut rows = self.steps.values();
                    let row = rows
                        .find(|r| r["id"] == json!(step))
                        .expect("the loop's step");
                    let list = row["result"]["forEachList"].as_array().expect("a list");
                    self.walk.give_list(step, list.clone());
                }
                queue.clear();
                if matches!(self.rest, Rest::Walking) {
                    queue.push_back(Event::Recovered);
                }
                continue;
            }
            for act in decision.then {
                queue.push_back(self.perform(act));
            }
        }
        self
    }

    fn decide(&mut self, event: Event) -> Decision {
        let ids = self.ids.clone();
        let fresh = move || uuid::Uuid::from_u128(u128::from(ids.fetch_add(1, Ordering::Relaxed)));
        let cx = Cx {
            program: &self.program,
            registries: &self.registries,
            filters: self.registries.filters(),
            context_key: Some("sys"),
            base: &self.base,
            now: self.now,
            ids: &fresh,
            step_budget: self.step_budget,
        };
        let decision = decide(&mut self.walk, event, &cx);
        self.decisions += 1;
        self.rest = decision.rest.clone();
        for write in &decision.writes {
            self.write(write);
        }
        decision
    }

    fn write(&mut self, write: &Write) {
        match write {
            Write::Step(s) => {
                let row = self.steps.entry(s.path.clone()).or_default();
                row.entry("id").or_insert_with(|| json!(s.id));
                row.insert("status".into(), json!(s.status));
                row.insert("attempts".into(), json!(s.attempts));
                if let Some((code, _)) = &s.error {
                    row.insert("error".into(), json!(code));
                }
                if let Some(result) = &s.result {
                    row.insert("result".into(), result.clone());
                }
            }
            Write::Lock(l) => {
                self.locks
                    .insert(l.id, (l.path.clone(), l.kind, l.timeout_at));
            }
            Write::Unlock(l) => {
                self.locks.remove(l);
            }
            Write::Log { message, .. } => self.log.push(message.clone()),
            Write::Artifact { .. } | Write::Checked { .. } => {}
        }
    }

    fn perform(&mut self, act: Act) -> Event {
        match act {
            Act::Call {
                path,
                config,
                attempt,
                ..
            } => {
                let name = config["name"].as_str().unwrap_or_default().to_owned();
                self.calls.push(format!("{name}#{attempt}"));
                let until = config["until"].as_u64().unwrap_or_default();
                let fails = until == 0 || u64::from(attempt) <= until;
                let result = match config["fails"].as_str() {
                    Some(text) if !text.is_empty() && fails => ActionResult {
                        retry_after_ms: config["after_ms"].as_u64(),
                        ..ActionResult::failed(text)
                    },
                    _ => ActionResult::artifact(&json!({"name": name})),
                };
                Event::Called {
                    path,
                    attempt,
                    outcome: CallOutcome::Answered {
                        result,
                        artifact_error: None,
                    },
                }
            }
            Act::Read { path, .. } => {
                let live = if self.live.len() > 1 {
                    self.live.pop_front()
                } else {
                    self.live.front().cloned()
                };
                Event::Read {
                    path,
                    live: Arc::new(live.unwrap_or_default()),
                }
            }
        }
    }

    /// Starts the run.
    pub fn start(&mut self) -> &mut Self {
        self.happen(Event::Start)
    }

    /// Fires the oldest lock.
    pub fn fire(&mut self, reason: FireReason) -> &mut Self {
        let path = self.locks.values().next().expect("a lock").0.clone();
        self.fire_at(&path, reason, None)
    }

    /// Fires the lock at a path.
    pub fn fire_at(&mut self, at: &str, reason: FireReason, payload: Option<Value>) -> &mut Self {
        let (lock, (path, _, at)) = self
            .locks
            .iter()
            .find(|(_, v)| v.0 == at)
            .map(|(l, v)| (*l, v.clone()))
            .unwrap_or_else(|| panic!("no lock at {at}: {:?}", self.locks));
        if let (FireReason::Timer | FireReason::Timeout, Some(at)) = (reason, at) {
            self.now = at;
        }
        self.happen(Event::Fired {
            path,
            lock,
            reason,
            payload,
        })
    }

    /// Starts, and fires every delay until the run is over.
    pub fn through(&mut self) -> &mut Self {
        self.start();
        while self.rest == Rest::Suspended {
            self.fire(FireReason::Timer);
        }
        self
    }

    pub fn status(&self, path: &str) -> &str {
        self.steps
            .get(path)
            .and_then(|s| s["status"].as_str())
            .unwrap_or("-")
    }
    pub fn error(&self, path: &str) -> &str {
        self.steps
            .get(path)
            .and_then(|s| s.get("error"))
            .and_then(Value::as_str)
            .unwrap_or("-")
    }
    pub fn end(&self) -> (&'static str, Option<&'static str>) {
        match &self.rest {
            Rest::Finished { status, code, .. } => (status, *code),
            other => panic!("the run has not ended: {other:?}"),
        }
    }
}
