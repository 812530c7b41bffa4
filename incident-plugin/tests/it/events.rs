//! Which changes of incidents fire, with which payload.

use crate::world::{EVENTS, World, create};
use automation_core::store::Source;
use serde_json::{Value, json};
use std::time::Duration;
use test_kit::{TestDb, both_engines, eventually, stays};

fn path(incident: &Value) -> String {
    format!("/incidents/{}", incident["id"].as_str().expect("an id"))
}

both_engines! {
    async fn domains_13_8_an_update_that_resolves_fires_resolved_and_not_updated(db: TestDb) {
        let w = World::boot(&db).await;
        let heard = w.node.listen(EVENTS).await;
        let incident = w.open("x", &["shop", "pay"]).await;
        w.node.clock().advance(Duration::from_secs(90));
        let body = json!({"message": "fixed", "status_change": "resolved"});
        w.node.post(&format!("{}/updates", path(&incident)), body).await.expect(201);
        let events = heard.at_least(2).await;
        let common = json!({"incidentId": incident["id"], "systemIds": ["pay", "shop"], "severity": "major"});
        let with = |more: Value| {
            let mut payload = common.as_object().expect("an object").clone();
            payload.extend(more.as_object().expect("an object").clone());
            Value::from(payload)
        };
        assert_eq!(events[0], ("incident.created".into(), with(json!({"status": "investigating", "createdAt": "2026-01-15T12:00:00.000Z"}))));
        assert_eq!(events[1], ("incident.resolved".into(), with(json!({"status": "resolved", "resolvedAt": "2026-01-15T12:01:30.000Z"}))));
        assert!(stays(async || heard.so_far().await.len() == 2).await);
        let runs = w.node.engine().runs(&Default::default(), None, 10).await.expect("runs");
        assert!(runs.iter().all(|r| r.context_key.as_deref() == incident["id"].as_str()), "the context key is the incident");
        w.node.shutdown().await;
    }

    async fn domains_13_9_a_new_title_and_another_order_of_systems_fire_nothing(db: TestDb) {
        let w = World::boot(&db).await;
        let incident = w.open("x", &["a", "b", "c"]).await;
        let heard = w.node.listen(EVENTS).await;
        let path = path(&incident);
        w.node.patch(&path, json!({"title": "y"})).await.ok();
        w.node.patch(&path, json!({"description": "d"})).await.ok();
        w.node.patch(&path, json!({"description": null, "suppress_notifications": true})).await.ok();
        w.node.patch(&path, json!({"system_ids": ["c", "a", "b", "a"]})).await.ok();
        w.node.post(&format!("{path}/updates"), json!({"message": "still looking"})).await.expect(201);
        w.node.patch(&path, json!({"status": "investigating"})).await.ok();
        // What comes through the same outbox later shows that nothing came before it.
        w.node.patch(&path, json!({"severity": "critical", "system_ids": ["c", "a"]})).await.ok();
        let events = heard.at_least(1).await;
        assert_eq!(events, [("incident.updated".into(), json!({"incidentId": incident["id"], "systemIds": ["a", "c"], "severity": "critical", "status": "investigating"}))]);
        w.node.shutdown().await;
    }

    async fn domains_13_10_reopening_is_an_update_with_its_status(db: TestDb) {
        let w = World::boot(&db).await;
        let incident = w.open("x", &["a"]).await;
        w.node.post(&format!("{}/resolve", path(&incident)), json!({})).await.ok();
        let heard = w.node.listen(EVENTS).await;
        w.node.patch(&path(&incident), json!({"status": "investigating"})).await.ok();
        let events = heard.at_least(1).await;
        assert_eq!(events[0].0, "incident.updated");
        assert_eq!((&events[0].1["statusChange"], &events[0].1["status"]), (&json!("investigating"), &json!("investigating")));
        w.node.patch(&path(&incident), json!({"severity": "minor"})).await.ok();
        assert_eq!(heard.at_least(2).await[1].1.get("statusChange"), None);
        w.node.shutdown().await;
    }

    async fn domains_13_11_a_filter_tells_people_from_automations(db: TestDb) {
        let w = World::boot(&db).await;
        let by_people = w.node.automation(Source::Value(json!({
            "name": "By people", "mode": "parallel", "max_runs": 10, "actions": [],
            "triggers": [{"event": "incident.created", "filter": "trigger.actor.type == \"user\""}],
        }))).await;
        let heard = w.node.listen(EVENTS).await;
        let (run, _) = w.act(json!([create(json!({}))]), Some("pay")).await;
        assert_eq!(run.status, "success");
        let by_person = w.open("x", &["pay"]).await;
        heard.at_least(2).await;
        let run = w.node.run_with(by_people, "success").await;
        assert_eq!(run.context_key.as_deref(), by_person["id"].as_str());
        assert_eq!(run.actor.0, json!({"type": "user", "id": "anna", "name": "Anna"}));
        assert!(stays(async || w.node.runs(by_people).await.len() == 1).await);
        let updates = format!("{}/updates", path(&by_person));
        w.node.post(&updates, json!({"message": "m"})).await.expect(201);
        assert_eq!(w.incident(&by_person["id"]).await["updates"][0]["created_by"], "Anna");
        w.node.shutdown().await;
    }

    async fn deleting_fires_nothing_and_takes_the_timeline_along(db: TestDb) {
        let w = World::boot(&db).await;
        let incident = w.open("x", &["a"]).await;
        let heard = w.node.listen(EVENTS).await;
        w.node.delete(&path(&incident).to_uppercase().replace("/INCIDENTS", "/incidents")).await.expect(204);
        w.node.get(&path(&incident)).await.problem(404, "not_found");
        w.node.delete(&path(&incident)).await.problem(404, "not_found");
        let kind = w.node.engine().entities().kind("incident").expect("the kind");
        let id = incident["id"].as_str().expect("an id").to_owned();
        assert!(kind.read_values(std::slice::from_ref(&id)).await.expect("read").is_empty());
        let log = w.node.engine().transitions("incident", &id, &Default::default(), None, 10).await.expect("the log");
        assert_eq!(log[0].field, "@@tombstone", "the entity of that id has ended");
        w.open("y", &["a"]).await;
        assert_eq!(heard.ids(1).await, ["incident.created"]);
        w.node.shutdown().await;
    }

    async fn a_deleted_system_leaves_its_incidents_open(db: TestDb) {
        let w = World::boot(&db).await;
        for id in ["pay", "shop"] {
            w.node.put(&format!("/systems/{id}"), json!({"name": id})).await.expect(201);
        }
        let both = w.open("both", &["pay", "shop"]).await;
        let one = w.open("one", &["pay"]).await;
        let closed = w.open("closed", &["pay"]).await;
        w.node.post(&format!("{}/resolve", path(&closed)), json!({})).await.ok();
        let foreign = w.open("foreign", &["shop"]).await;
        let heard = w.node.listen(EVENTS).await;
        w.node.delete("/systems/pay").await.expect(204);
        let mut events = heard.at_least(3).await;
        events.sort_by_key(|(_, p)| p["systemIds"].to_string());
        assert!(events.iter().all(|(id, p)| id == "incident.updated" && p.get("statusChange").is_none()), "{events:?}");
        assert_eq!(w.incident(&both["id"]).await["system_ids"], json!(["shop"]));
        let left = w.incident(&one["id"]).await;
        assert_eq!((&left["system_ids"], &left["status"]), (&json!([]), &json!("investigating")));
        let left = w.incident(&closed["id"]).await;
        assert_eq!((&left["system_ids"], &left["updates"][0]["message"]), (&json!([]), &json!("Incident resolved")));
        assert_eq!(w.incident(&foreign["id"]).await["updated_at"], foreign["updated_at"]);
        // Changing a system is not deleting it.
        w.node.patch("/systems/shop", json!({"name": "Shop"})).await.ok();
        w.open("last", &["shop"]).await;
        eventually(async || heard.so_far().await.len() == 4, "the last event").await;
        assert_eq!(w.incident(&foreign["id"]).await["system_ids"], json!(["shop"]));
        w.node.shutdown().await;
    }
}
