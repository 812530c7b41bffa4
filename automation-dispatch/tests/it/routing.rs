//! Stage 1: what a change costs, and whom it reaches.

use crate::world::{LOCKS, World};
use automation_core::{
    registry::{TRIGGERS, TriggerDef},
    store::Source,
};
use automation_dispatch::{AutomationPlugin, ManualRun};
use automation_entity::{
    ENTITY, EntityChanged, EntityHandle, EntityRead, EntityState, KindOptions, MutateOpts,
};
use futures::future::join_all;
use plugin_api::{Actor, BoxError, Conn, Id};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock},
};
use test_kit::{Kit, Logs, Node, TestDb, TestPlugin, both_engines, stays, within};
use tokio::sync::oneshot;
use tracing::Level;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Gauge {
    level: i64,
}
impl EntityState for Gauge {
    const KIND: &'static str = "gauge";
}

/// Gauges in memory. A read can be held back after it has looked.
#[derive(Clone, Default)]
struct Gauges {
    levels: Arc<Mutex<HashMap<String, Gauge>>>,
    hold: Arc<Mutex<Option<Held>>>,
}
struct Held {
    looked: oneshot::Sender<()>,
    go_on: oneshot::Receiver<()>,
}
#[async_trait::async_trait]
impl EntityRead<Gauge> for Gauges {
    async fn read(&self, _: Conn<'_>, ids: &[String]) -> Result<HashMap<String, Gauge>, BoxError> {
        let found = {
            let levels = self.levels.lock().unwrap();
            let one = |id: &String| Some((id.clone(), levels.get(id)?.clone()));
            ids.iter().filter_map(one).collect()
        };
        let held = self.hold.lock().unwrap().take();
        if let Some(held) = held {
            held.looked.send(()).ok();
            held.go_on.await.ok();
        }
        Ok(found)
    }
}

/// A node with gauges.
struct Meter {
    node: Node,
    gauges: Gauges,
    handle: EntityHandle<Gauge>,
}

impl Meter {
    async fn boot(db: &TestDb) -> Self {
        let gauges = Gauges::default();
        let handle: Arc<OnceLock<EntityHandle<Gauge>>> = Arc::default();
        let (read, kept) = (gauges.clone(), handle.clone());
        let plugin = TestPlugin::new("meter").register(move |env| {
            let entities = env.extension(&ENTITY);
            let made = entities.define::<Gauge>(KindOptions::default(), read)?;
            assert!(kept.set(made).is_ok());
            entities.change_deriver("gauge", "meter", EVENTS, derive)?;
            for event in EVENTS {
                let local = event.rsplit('.').next().expect("a local id");
                let trigger = TriggerDef::entity_driven::<Value>(local);
                env.extension(&TRIGGERS).register(trigger)?;
            }
            Ok(())
        });
        let kit = Kit::new(db).await.plugin(AutomationPlugin::default());
        Self {
            node: kit.plugin(plugin).boot().await,
            gauges,
            handle: handle.get().expect("defined").clone(),
        }
    }

    /// Sets the gauge `g` and waits until the change is routed.
    async fn set(&self, level: i64) {
        let write = self.handle.mutate("g", MutateOpts::default(), async || {
            let mut levels = self.gauges.levels.lock().unwrap();
            levels.insert("g".into(), Gauge { level });
            Ok(Gauge { level })
        });
        self.node.run(write).await.expect("written");
        self.node.routed().await;
    }
}

const EVENTS: &[&str] = &["meter.a", "meter.b", "meter.c", "meter.d", "meter.e"];

/// A positive level means five events, any other none.
fn derive(change: &EntityChanged) -> Vec<&'static str> {
    match change.next_field("level").and_then(Value::as_i64) {
        Some(1..) => EVENTS.to_vec(),
        _ => Vec::new(),
    }
}

/// How often the automations were read.
fn reads(logs: &Logs) -> usize {
    let statements = logs.find(Level::DEBUG, "automations where generation >");
    statements
        .iter()
        .filter(|l| l.target == "sqlx::query")
        .count()
}

plugin_api::batch_row! {
    struct Wake { id: Id, wait_lock_id: Id, entity_ref: String }
}
plugin_api::statements! {
    EDIT = "update signalbox.automation_generation set value = value + 1 where one = 1 returning value";
    LOCK_IDS = "select id from signalbox.automation_wait_locks";
    WAKES = "select count(*) from signalbox.automation_wake_index where ref = $1";
}

both_engines! {
    async fn entity_23_16_five_derived_events_cost_one_read_of_the_automations_and_none_costs_none(db: TestDb) {
        let m = Meter::boot(&db).await;
        m.set(0).await;
        let before = reads(m.node.logs());
        m.set(-1).await;
        m.set(5).await;
        assert_eq!(reads(m.node.logs()), before, "nothing was edited: no look at the automations");
        // As an edit by another node would whose hint was lost.
        let edited: i64 = db.db().sql(EDIT).one().await.expect("a generation");
        assert!(edited > 0);
        m.set(6).await;
        assert_eq!(reads(m.node.logs()), before + 1, "five events, one read");
        m.set(-2).await;
        assert_eq!(reads(m.node.logs()), before + 1, "nothing derived, no read");
        m.node.shutdown().await;
    }

    async fn entity_23_19_eight_inserts_of_one_ref_leave_one_row(db: TestDb) {
        let w = World::new(&db).await;
        w.set("x", "open").await;
        let a = w.automation("triggers: [{event: world.pinged}]\nactions:\n- wait_until: {condition: 'state.thing.x.status == \"closed\"'}\n- {action: world.call, config: {name: done}}").await;
        w.ping(Some("k"), 1).await;
        w.run_with(a, "waiting").await;
        let lock: Id = db.db().sql(LOCK_IDS).one().await.expect("the lock");
        let statements = automation_dispatch::statements();
        let (_, insert) = statements.iter().find(|(name, _)| *name == "INSERT_WAKES").expect("the statement");
        let inserts = (0..8).map(|n| {
            let row = Wake { id: Id(uuid::Uuid::from_u128(1000 + n)), wait_lock_id: lock, entity_ref: "thing:twin".into() };
            async { db.db().sql(*insert).rows(&[row]).execute().await }
        });
        let written: u64 = join_all(inserts).await.into_iter().map(|n| n.expect("inserted")).sum();
        assert_eq!(written, 1);
        assert_eq!(db.db().sql(WAKES).bind("thing:twin".to_owned()).one::<i64>().await.expect("a count"), 1);
        w.node.shutdown().await;
    }

    async fn entity_23_19_a_wildcard_lock_and_an_exact_lock_are_both_found_once(db: TestDb) {
        let w = World::new(&db).await;
        for (thing, status) in [("x", "open"), ("which", "x")] {
            w.set(thing, status).await;
        }
        let wait = |name: &str, condition: &str| format!("triggers: [{{event: world.pinged}}]\nactions:\n- wait_until: {{condition: '{condition}'}}\n- {{action: world.call, config: {{name: {name}}}}}");
        let exact = w.automation(&wait("exact", "state.thing.x.status == \"closed\"")).await;
        let wild = w.automation(&wait("wild", "state.thing[state.thing.which.status].status == \"closed\"")).await;
        // One lock with both refs.
        let both = w.automation(&wait("both", "state.thing.x.status == \"closed\" && state.thing[state.thing.which.status].status == \"closed\"")).await;
        w.ping(Some("k"), 1).await;
        for a in [exact, wild, both] {
            w.run_with(a, "waiting").await;
        }
        let rows = async |entity_ref: &str| db.db().sql(WAKES).bind(entity_ref.to_owned()).one::<i64>().await.expect("a count");
        assert_eq!((rows("thing:x").await, rows("thing:*").await), (2, 2));
        w.set("x", "closed").await;
        for a in [exact, wild, both] {
            w.run_with(a, "success").await;
        }
        let mut calls = w.calls();
        calls.sort_unstable();
        assert_eq!(calls, ["both", "exact", "wild"]);
        assert!(stays(async || w.calls().len() == 3).await);
        assert_eq!(w.count(&db, LOCKS).await, 0);
        w.node.shutdown().await;
    }

    async fn entity_23_20_a_change_between_the_first_evaluation_and_the_lock_resumes_inline(db: TestDb) {
        let m = Meter::boot(&db).await;
        m.set(-1).await;
        let automation = m.node.automation(Source::Value(json!({
            "name": "Waits",
            "triggers": [{"event": "meter.a"}],
            "actions": [{"wait_until": {"condition": "state.gauge.g.level == -5"}}],
        }))).await;
        // The first evaluation has read the old level and has not answered; no lock is committed.
        let ((looked, has_looked), (release, go_on)) = (oneshot::channel(), oneshot::channel());
        *m.gauges.hold.lock().unwrap() = Some(Held { looked, go_on });
        let request = ManualRun { automation_id: automation, trigger_id: None, payload: json!({}), validate_payload: false, actor: Actor::system() };
        m.node.run(m.node.engine().manual_run(request)).await.expect("a run");
        within(has_looked, "the first evaluation").await.expect("it looked");
        assert_eq!(db.db().sql(LOCKS).one::<i64>().await.expect("a count"), 0);
        // The change is routed and meets no lock; nothing changes any more.
        m.set(-5).await;
        assert_eq!(db.db().sql(LOCKS).one::<i64>().await.expect("a count"), 0);
        release.send(()).expect("it waits");
        m.node.run_with(automation, "success").await;
        assert_eq!(db.db().sql(LOCKS).one::<i64>().await.expect("a count"), 0);
        m.node.shutdown().await;
    }
}
