//! Derivers, mappers and the wire form of a change (`entity §10`, §13).

use crate::kit::{Node, OWNER};
use automation_entity::*;
use plugin_api::{Actor, PluginId, Ts};
use serde_json::{Value, json};
use std::sync::Arc;
use test_kit::{Logs, TestDb};
use tracing::Level;

fn change() -> EntityChanged {
    EntityChanged {
        kind: "thing".into(),
        id: "inc-7".into(),
        prev: Some(json!({"status": "open", "severity": "high"})),
        next: Some(json!({"status": "resolved", "severity": "high", "kind": "mine"})),
        delta: json!({"status": "resolved"}),
        changed_fields: vec!["status".into()],
        actor: Actor {
            name: Some("Ann".into()),
            ..Actor::service("u1")
        },
        occurred_at: Ts::parse("2026-05-30T12:00:00.123Z").unwrap(),
        change_id: uuid::Uuid::from_u128(9),
        cause: None,
    }
}

async fn node() -> (TestDb, Node) {
    let db = TestDb::sqlite().await;
    let node = Node::registered(db.db());
    (db, node)
}

#[tokio::test]
async fn entity_23_15_derivers_in_order_the_first_wins() {
    let (_db, node) = node().await;
    let point = node.point(&OWNER);
    point
        .change_deriver("thing", "one", &["p.a", "p.s"], |_| vec!["p.a", "", "p.s"])
        .unwrap();
    point
        .change_deriver("thing", "boom", &[], |_| panic!("boom"))
        .unwrap();
    point
        .change_deriver("thing", "two", &["p.s", "p.b"], |_| vec!["p.s", "p.b"])
        .unwrap();
    point
        .change_deriver("thing", "two", &["p.s", "p.b"], |_| vec!["p.never"])
        .unwrap();
    point
        .change_deriver("other", "two", &[], |_| vec!["p.other"])
        .unwrap();
    let logs = Logs::new();
    let derived = logs
        .record(async { (node.engine.derive(&change()), node.engine.derive(&change())) })
        .await;
    assert_eq!(derived.0, ["p.a", "p.s", "p.b"]);
    assert_eq!(derived.0, derived.1);
    assert_eq!(logs.find(Level::ERROR, "deriver=boom").len(), 2);
    assert_eq!(
        logs.find(Level::WARN, "no registered trigger").len(),
        3,
        "each unknown event once"
    );
}

#[tokio::test]
async fn entity_23_15_one_mapper_per_kind() {
    let (_db, node) = node().await;
    let map: MapPayload = Arc::new(|change, event| match event {
        "p.broken" => Err("no payload".into()),
        _ => Ok(json!({"incidentId": change.id, "event": event})),
    });
    let point = node.point(&OWNER);
    point.payload_mapper("thing", map.clone()).unwrap();
    point.payload_mapper("thing", map).unwrap();
    let other = PluginId::new("other");
    let second = node
        .point(&other)
        .payload_mapper("thing", Arc::new(|_, _| Ok(Value::Null)));
    let error = second.unwrap_err().to_string();
    assert!(
        error.contains("other") && error.contains("thing"),
        "{error}"
    );
    assert_eq!(
        node.engine.payload(&change(), "p.a").unwrap(),
        json!({"incidentId": "inc-7", "event": "p.a"})
    );
    assert!(
        node.engine.payload(&change(), "p.broken").is_err(),
        "no fallback"
    );
}

#[tokio::test]
async fn entity_13_5_the_generic_payload_lets_the_state_win() {
    let (_db, node) = node().await;
    let payload = node.engine.payload(&change(), "p.a").unwrap();
    assert_eq!(
        (&payload["kind"], &payload["status"], &payload["id"]),
        (&json!("mine"), &json!("resolved"), &json!("inc-7"))
    );
    assert_eq!(payload["changedFields"], json!(["status"]));
}

#[tokio::test]
async fn non_reactive_tables_are_kept_in_order() {
    let (_db, node) = node().await;
    let point = node.point(&OWNER);
    for (table, reason) in [
        ("samples", NonReactive::RawSample),
        ("cursors", NonReactive::Bookkeeping),
    ] {
        point
            .declare_non_reactive_state(table, reason, "why")
            .unwrap();
    }
    let listed: Vec<_> = node
        .engine
        .non_reactive()
        .into_iter()
        .map(|t| (t.plugin, t.table))
        .collect();
    assert_eq!(
        listed,
        [
            ("things".into(), "samples".into()),
            ("things".into(), "cursors".into())
        ]
    );
}

#[test]
fn entity_10_wire_form() {
    let mut wire = serde_json::to_value(change()).unwrap();
    assert_eq!(wire["changedFields"], json!(["status"]));
    assert_eq!(wire["occurredAt"], "2026-05-30T12:00:00.123Z");
    assert_eq!(
        wire["actor"],
        json!({"type": "service", "id": "u1", "name": "Ann"})
    );
    assert_eq!(
        serde_json::from_value::<EntityChanged>(wire.clone()).unwrap(),
        change()
    );
    wire["unknown"] = json!(1);
    assert_eq!(
        serde_json::from_value::<EntityChanged>(wire.clone()).unwrap(),
        change()
    );
    // Old payloads have no id; every redelivery makes the same one.
    wire.as_object_mut().unwrap().remove("changeId");
    let ids = [(); 2].map(|()| {
        serde_json::from_value::<EntityChanged>(wire.clone())
            .unwrap()
            .change_id
    });
    assert_eq!(ids[0], ids[1]);
    for key in [
        "kind",
        "id",
        "prev",
        "next",
        "delta",
        "changedFields",
        "actor",
        "occurredAt",
    ] {
        let mut broken = wire.clone();
        broken.as_object_mut().unwrap().remove(key);
        assert!(
            serde_json::from_value::<EntityChanged>(broken).is_err(),
            "{key} is required"
        );
        let mut broken = wire.clone();
        broken[key] = json!(7);
        assert!(
            serde_json::from_value::<EntityChanged>(broken).is_err(),
            "{key} is mistyped"
        );
    }
}

#[test]
fn refs_split_at_the_first_colon() {
    assert_eq!(
        split_ref("dependency-edge:a:b"),
        Some(("dependency-edge", "a:b"))
    );
    assert_eq!(
        (split_ref("a"), split_ref(":a"), split_ref("a:")),
        (None, None, None)
    );
}
