//! When the trigger fires.

use automation_entity::EntityChanged;
use serde_json::{Value, json};
use sprocket_plugin::trigger::{derive, payload};

fn change(prev: Value, next: Value) -> EntityChanged {
    let document = json!({
        "kind": "sprocket",
        "id": "a",
        "prev": prev,
        "next": next,
        "delta": {},
        "changedFields": ["status"],
        "actor": {"type": "system", "id": "test"},
        "occurredAt": "2026-01-01T00:00:00Z",
        "changeId": "019b0000-0000-7000-8000-000000000000",
    });
    serde_json::from_value(document).unwrap()
}

fn check(prev: Value, next: Value, expect: &[&str]) {
    assert_eq!(derive(&change(prev, next)), expect);
}

#[test]
fn it_fires_when_the_status_turns_to_failing() {
    let (ok, failing) = (json!({"status": "ok"}), json!({"status": "failing"}));
    let fires = ["sprocket.failing"];
    check(Value::Null, failing.clone(), &fires);
    check(ok.clone(), failing.clone(), &fires);
    check(failing.clone(), failing.clone(), &[]);
    check(failing.clone(), ok, &[]);
    check(failing, Value::Null, &[]);
}

#[test]
fn its_payload_names_the_item() {
    let change = change(Value::Null, json!({"status": "failing"}));
    let payload = payload(&change, "sprocket.failing").unwrap();
    assert_eq!(payload, json!({"itemId": "a"}));
}
