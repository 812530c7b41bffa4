//! Scope enrichment (`entity §20`).

use crate::kit::*;
use automation_entity::{refs::Refs, *};
use plugin_api::{BoxError, Ts, service::AnyService};
use serde_json::{Map, Value, json};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};
use template_engine::condition::Condition;
use test_kit::{Logs, TestDb};
use tracing::Level;

/// Knows every system but `nobody`; remembers what it was asked.
#[derive(Default)]
struct Reader {
    asked: Mutex<Vec<(Vec<String>, u32)>>,
    down: AtomicBool,
}

#[async_trait::async_trait]
impl HealthReader for Reader {
    async fn health(
        &self,
        ids: &[String],
        window: u32,
    ) -> Result<HashMap<String, HealthState>, BoxError> {
        self.asked.lock().unwrap().push((ids.to_vec(), window));
        if self.down.load(Ordering::SeqCst) {
            return Err("down".into());
        }
        let state = |id: &String| HealthState {
            status: format!("status of {id}"),
            in_status_since: None,
            in_status_for_ms: 0,
            latency_ms: Some(1.5),
            avg_latency_ms: None,
            p95_latency_ms: None,
            success_rate: Some(1.0),
            last_run_at: Ts::parse("2026-01-15T11:00:00Z"),
            in_maintenance: false,
            transitions_in_window: 2,
            transition_window_minutes: window,
            evaluated_at: Ts::parse("2026-01-15T12:00:00Z").unwrap(),
            healthy_checks: 3,
            total_checks: 4,
        };
        let known = ids.iter().filter(|id| *id != "nobody");
        Ok(known.map(|id| (id.clone(), state(id))).collect())
    }
}

async fn world() -> (TestDb, Node, EntityHandle<Thing>, Arc<Reader>) {
    let db = TestDb::sqlite().await;
    let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
    let reader = Arc::new(Reader::default());
    let service: Arc<dyn HealthReader> = reader.clone();
    node.services
        .0
        .lock()
        .unwrap()
        .insert(HEALTH_READER.id, AnyService::new(service));
    (db, node, handle, reader)
}

fn refs(source: Value) -> Refs {
    automation_entity::refs::of_condition(&Condition::parse(&source).unwrap())
}

fn ask(refs: &Refs) -> Ask<'_> {
    Ask {
        automation: "test",
        refs,
        health: true,
        context_key: None,
        uses_state: &[],
        changed: &[],
        window_minutes: 60,
    }
}

async fn one(node: &Node, ask: Ask<'_>) -> Resolved {
    node.engine.enrich(&[ask]).await.remove(0)
}

fn into(resolved: &Resolved, scope: Value) -> Value {
    let Value::Object(mut scope) = scope else {
        panic!("a scope is an object")
    };
    resolved.apply(&mut scope);
    Value::Object(scope)
}

#[tokio::test]
async fn entity_20_1_health_ids_in_order_from_one_call() {
    let (_db, node, _, reader) = world().await;
    let refs = refs(
        json!({"and": ["health.systems.c.status", "state.health.d.status", "health.systems[trigger.x]"]}),
    );
    let uses = ["b".to_owned(), " ".to_owned(), "key".to_owned()];
    let resolved = one(
        &node,
        Ask {
            context_key: Some("key"),
            uses_state: &uses,
            changed: &[("health".into(), "woke".into())],
            window_minutes: 15,
            ..ask(&refs)
        },
    )
    .await;
    let asked = reader.asked.lock().unwrap().clone();
    assert_eq!(
        asked,
        [(
            ["key", "b", "c", "d", "woke"].map(str::to_owned).to_vec(),
            15
        )]
    );
    let scope = into(&resolved, json!({}));
    assert_eq!(scope["health"]["system"], scope["health"]["systems"]["key"]);
    assert_eq!(
        scope["health"]["systems"]["c"],
        json!({
            "status": "status of c", "in_status_since": null, "in_status_for_ms": 0, "latency_ms": 1.5, "success_rate": 1.0,
            "last_run_at": "2026-01-15T11:00:00.000Z", "in_maintenance": false, "transitions_in_window": 2,
            "transition_window_minutes": 15, "evaluated_at": "2026-01-15T12:00:00.000Z",
        })
    );
    // Projected from the same call.
    assert_eq!(
        scope["state"]["health"],
        json!({"d": {"status": "status of d", "healthyChecks": 3, "totalChecks": 4}})
    );
    assert!(!resolved.inconclusive);
}

#[tokio::test]
async fn entity_20_2_without_ids_or_reader_health_is_empty() {
    let (_db, node, _, reader) = world().await;
    let none = Refs::default();
    assert_eq!(
        one(&node, ask(&none)).await.health(),
        &json!({"systems": {}})
    );
    assert!(reader.asked.lock().unwrap().is_empty());
    let keyed = Ask {
        context_key: Some("nobody"),
        ..ask(&none)
    };
    assert_eq!(one(&node, keyed).await.health(), &json!({"systems": {}}));
    node.services.0.lock().unwrap().clear();
    let logs = Logs::new();
    let alone = logs
        .record(one(
            &node,
            Ask {
                context_key: Some("a"),
                ..ask(&none)
            },
        ))
        .await;
    assert_eq!(
        (alone.health(), alone.inconclusive),
        (&json!({"systems": {}}), false)
    );
    assert!(logs.find(Level::WARN, "").is_empty());
}

#[tokio::test]
async fn entity_23_28_at_most_fifty_ids_and_an_outage_is_empty() {
    let (_db, node, handle, reader) = world().await;
    let (none, logs) = (Refs::default(), Logs::new());
    let uses: Vec<String> = (0..55).map(|n| format!("s{n}")).collect();
    let many = logs
        .record(one(
            &node,
            Ask {
                uses_state: &uses,
                ..ask(&none)
            },
        ))
        .await;
    assert_eq!(many.health()["systems"].as_object().unwrap().len(), 50);
    assert_eq!(reader.asked.lock().unwrap()[0].0, uses[..50]);
    let warnings = logs.find(Level::WARN, "");
    assert!(
        warnings.len() == 1
            && warnings[0].to_string().contains("55")
            && warnings[0].to_string().contains("50")
    );
    // An outage: empty, with a warning; other kinds go on.
    set(&handle, "x", thing("open")).await.unwrap();
    reader.down.store(true, Ordering::SeqCst);
    let both = refs(json!("health.systems.a.status == state.thing.x.status"));
    let down = logs.record(one(&node, ask(&both))).await;
    let scope = into(&down, json!({}));
    assert_eq!(
        (&scope["health"], &scope["state"]["thing"]["x"]["status"]),
        (&json!({"systems": {}}), &json!("open"))
    );
    assert_eq!(logs.find(Level::WARN, "Health could not be read").len(), 1);
    assert!(down.inconclusive, "what the condition reads was not read");
    let other = refs(json!("state.thing.x.status"));
    let down = one(
        &node,
        Ask {
            context_key: Some("a"),
            ..ask(&other)
        },
    )
    .await;
    assert!(!down.inconclusive, "this one does not look at health");
}

#[tokio::test]
async fn entity_23_27_a_removed_entity_does_not_live_on_in_the_scope() {
    let (_db, node, handle, _) = world().await;
    set(&handle, "x", thing("open")).await.unwrap();
    let read = refs(json!("state.thing.x == null"));
    let checkpoint = into(
        &one(&node, ask(&read)).await,
        json!({"state": {"other": {"kept": 1}, "thing": {"y": 2}}}),
    );
    assert_eq!(checkpoint["state"]["thing"]["x"]["status"], "open");
    unset(&handle, "x").await.unwrap();
    let woken = Ask {
        changed: &[("thing".into(), "x".into())],
        ..ask(&read)
    };
    let scope = into(&one(&node, woken).await, checkpoint);
    assert_eq!(
        scope["state"],
        json!({"other": {"kept": 1}, "thing": {"x": null, "y": 2}})
    );
    let filters = template_engine::Filters::default();
    let env = template_engine::Env::new(&filters, "2026-01-15T12:00:00Z".parse().unwrap());
    let condition = Condition::parse(&json!("state.thing['x'] == null")).unwrap();
    assert!(condition.test(&scope, &env).unwrap());
}

#[tokio::test]
async fn entity_20_6_wildcards_carry_no_id_but_the_changed_one_is_read() {
    let (_db, node, handle, _) = world().await;
    set(&handle, "x", thing("open")).await.unwrap();
    let read = refs(json!("state.thing[trigger.payload.id].status != 'open'"));
    assert_eq!(
        into(&one(&node, ask(&read)).await, json!({})).get("state"),
        None
    );
    let woken = Ask {
        changed: &[("thing".into(), "x".into())],
        ..ask(&read)
    };
    assert_eq!(
        into(&one(&node, woken).await, json!({}))["state"]["thing"]["x"]["status"],
        "open"
    );
}

#[tokio::test]
async fn entity_20_8_an_unknown_or_failing_kind_leaves_the_others() {
    let (_db, node, handle, _) = world().await;
    set(&handle, "x", thing("open")).await.unwrap();
    let (read, logs) = (
        refs(json!("state.nothing.a.s == state.thing.x.status")),
        Logs::new(),
    );
    let resolved = logs.record(one(&node, ask(&read))).await;
    let scope = into(&resolved, json!({"state": {"nothing": {"a": "stale"}}}));
    assert_eq!(scope["state"]["thing"]["x"]["status"], "open");
    assert_eq!(
        scope["state"]["nothing"],
        json!({}),
        "what could not be read is absent"
    );
    assert!(resolved.inconclusive);
    assert_eq!(logs.find(Level::WARN, "nobody defines").len(), 1);
}

#[tokio::test]
async fn a_batch_of_sites_shares_its_reads() {
    let (_db, node, handle, reader) = world().await;
    set(&handle, "x", thing("open")).await.unwrap();
    let all: Vec<Refs> = ["a", "b", "a"]
        .map(|s| refs(json!(format!("health.systems.{s}.status"))))
        .to_vec();
    let asks: Vec<Ask<'_>> = all.iter().map(ask).collect();
    let answers = node.engine.enrich(&asks).await;
    assert_eq!(
        reader.asked.lock().unwrap().clone(),
        [(vec!["a".to_owned(), "b".to_owned()], 60)]
    );
    let systems =
        |r: &Resolved| -> Map<String, Value> { r.health()["systems"].as_object().unwrap().clone() };
    assert!(systems(&answers[0]).contains_key("a") && !systems(&answers[0]).contains_key("b"));
    assert_eq!(answers[0], answers[2]);
}
