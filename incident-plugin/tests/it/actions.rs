//! `incident.resolve`, `add_update` and `update_status`: which incident they are about, and what they
//! do to it.

use crate::world::{EVENTS, World, create};
use serde_json::{Value, json};
use std::time::Duration;
use test_kit::{TestDb, VirtualClock, both_engines, stays};

fn action(name: &str, config: Value) -> Value {
    json!({"id": "act", "action": format!("incident.{name}"), "config": config})
}

both_engines! {
    async fn domains_13_7_resolve_without_id_finds_the_incident_of_the_run_after_a_restart(db: TestDb) {
        let clock = VirtualClock::new();
        let w = World::boot_at(&db, clock.clone()).await;
        let actions = json!([create(json!({"systemIds": ["pay"]})), {"delay": {"seconds": 60}}, {"action": "incident.resolve"}]);
        let automation = w.automation(actions).await;
        // One with a context key, one without: then only the run's own artifacts qualify.
        let runs = [w.start(automation, Some("pay")).await, w.start(automation, None).await];
        test_kit::eventually(async || w.node.runs(automation).await.iter().filter(|r| r.status == "waiting").count() == 2, "both wait").await;
        let by_run = async |w: &World| {
            let mut opened = Vec::new();
            for run in runs {
                opened.push(w.node.engine().artifacts(run).await.expect("artifacts")[0].data.0["incidentId"].clone());
            }
            opened
        };
        let opened = by_run(&w).await;
        assert_ne!(opened[0], opened[1]);
        w.node.shutdown().await;

        let w = World::boot_at(&db, clock.clone()).await;
        clock.advance(Duration::from_secs(60));
        for (run, id) in runs.into_iter().zip(&opened) {
            let run = w.ended(run).await;
            assert_eq!(run.status, "success", "{:?}", run.error_message);
            let incident = w.incident(id).await;
            assert_eq!(incident["status"], "resolved");
            assert_eq!(incident["updates"][0]["message"], "Incident resolved");
            assert_eq!(incident["updates"][0]["status_change"], "resolved");
            assert_eq!(incident["updates"][0]["created_by"], format!("automation:{}", run.automation_id));
        }
        w.node.shutdown().await;
    }

    async fn an_earlier_run_about_the_same_system_counts_and_one_about_another_does_not(db: TestDb) {
        let w = World::boot(&db).await;
        let close = action("resolve", json!({}));
        let automation = w.automation(json!([create(json!({}))])).await;
        w.ended(w.start(automation, Some("pay")).await).await;
        w.ended(w.start(automation, Some("shop")).await).await;
        // The same automation, edited: it now closes what it opened before.
        let definition = json!({"name": "Close", "triggers": [{"id": "system", "event": "catalog.deleted"}], "actions": [close]});
        let change = automation_core::store::AutomationChange {
            definition: Some(automation_core::store::Source::Value(definition)),
            ..Default::default()
        };
        w.node.engine().automations().update(automation, None, change, &plugin_api::Actor::system()).await.expect("edited");
        let run = w.ended(w.start(automation, Some("shop")).await).await;
        assert_eq!(run.status, "success", "{:?}", run.error_message);
        let open: Vec<Value> = w.incidents().await.into_iter().filter(|i| i["status"] != "resolved").collect();
        assert_eq!(open.len(), 1);
        assert_eq!(open[0]["system_ids"], json!(["pay"]));
        w.node.shutdown().await;
    }

    async fn without_an_id_and_an_artifact_and_with_an_unknown_id_the_step_fails(db: TestDb) {
        let w = World::boot(&db).await;
        let unknown = "019bc186-de00-7001-8000-00000000ffff";
        for (name, mut config) in [("resolve", json!({})), ("add_update", json!({"message": "m"})), ("update_status", json!({"status": "fixing"}))] {
            for (id, message) in [
                (Value::Null, "No incidentId given and no upstream incident artifact found".to_owned()),
                (json!("  "), "No incidentId given and no upstream incident artifact found".to_owned()),
                (json!(unknown), format!("Incident {unknown} not found")),
                (json!("nonsense"), "Incident nonsense not found".to_owned()),
            ] {
                if id.is_null() {
                    config.as_object_mut().expect("an object").remove("incidentId");
                } else {
                    config["incidentId"] = id;
                }
                let (run, artifact) = w.act(json!([action(name, config.clone())]), Some("pay")).await;
                assert_eq!((run.status.as_str(), artifact), ("failed", Value::Null), "{name} {config}");
                assert!(run.error_message.as_deref().is_some_and(|m| m.contains(&message)), "{name} {config}: {:?}", run.error_message);
            }
        }
        w.node.shutdown().await;
    }

    async fn domains_4_a_title_of_any_length_opens_an_incident_and_is_kept_whole(db: TestDb) {
        let w = World::boot(&db).await;
        let long = format!("{} failed", "ä".repeat(300));
        for (more, whole) in [(json!({}), long.clone()), (json!({"description": "since noon"}), format!("{long}\n\nsince noon"))] {
            let mut config = more;
            config["title"] = json!(long);
            let (run, artifact) = w.act(json!([create(config)]), Some("pay")).await;
            assert_eq!(run.status, "success", "{:?}", run.error_message);
            let incident = w.incident(&artifact["incidentId"]).await;
            assert_eq!(incident["title"], format!("{}…", "ä".repeat(199)));
            assert_eq!(incident["description"], whole);
        }
        let (_, artifact) = w.act(json!([create(json!({"title": "x".repeat(200)}))]), Some("pay")).await;
        let incident = w.incident(&artifact["incidentId"]).await;
        assert_eq!((&incident["title"], incident.get("description")), (&json!("x".repeat(200)), None));
        w.node.shutdown().await;
    }

    async fn a_given_id_wins_over_the_artifact(db: TestDb) {
        let w = World::boot(&db).await;
        let other = w.open("Other", &["shop"]).await;
        let resolve = action("resolve", json!({"incidentId": other["id"], "message": "by hand"}));
        let (run, artifact) = w.act(json!([create(json!({})), resolve]), Some("pay")).await;
        assert_eq!(run.status, "success");
        assert_eq!(artifact, json!({"incidentId": other["id"], "status": "resolved", "severity": "major", "systemIds": ["shop"]}));
        assert_eq!(w.timeline(&other["id"]).await, ["by hand"]);
        let open: Vec<Value> = w.incidents().await.into_iter().filter(|i| i["status"] != "resolved").collect();
        assert_eq!(open[0]["system_ids"], json!(["pay"]));
        w.node.shutdown().await;
    }

    async fn resolving_twice_is_success_without_a_second_entry_or_event(db: TestDb) {
        let w = World::boot(&db).await;
        let incident = w.open("x", &["pay"]).await;
        let id = &incident["id"];
        let heard = w.node.listen(EVENTS).await;
        let resolve = json!([action("resolve", json!({"incidentId": id, "message": " "}))]);
        for _ in 0..2 {
            let (run, artifact) = w.act(resolve.clone(), None).await;
            assert_eq!((run.status.as_str(), &artifact["status"]), ("success", &json!("resolved")));
        }
        // The same by the other ways to say it.
        let (run, artifact) = w.act(json!([action("update_status", json!({"incidentId": id, "status": "resolved"}))]), None).await;
        assert_eq!(run.status, "success");
        assert_eq!(artifact, json!({"incidentId": id}), "there is no entry to name");
        let path = format!("/incidents/{}", id.as_str().unwrap());
        w.node.post(&format!("{path}/resolve"), json!({})).await.ok();
        w.node.patch(&path, json!({"status": "resolved"})).await.ok();
        assert_eq!(w.timeline(id).await, ["Incident resolved"]);
        assert_eq!(heard.ids(1).await, ["incident.resolved"]);
        assert!(stays(async || heard.so_far().await.len() == 1).await);

        // Reopened by a person; the id decides, whatever happened in between (`domains §4.7`).
        w.node.patch(&path, json!({"status": "investigating"})).await.ok();
        let (run, _) = w.act(resolve, None).await;
        assert_eq!(run.status, "success");
        assert_eq!(w.incident(id).await["status"], "resolved");
        assert_eq!(w.timeline(id).await, ["Incident resolved", "Status changed to investigating", "Incident resolved"]);
        w.node.shutdown().await;
    }

    async fn updates_add_to_the_timeline_and_name_their_entry(db: TestDb) {
        let w = World::boot(&db).await;
        let actions = json!([create(json!({"initialMessage": "seen"})), action("add_update", json!({"message": "looking"}))]);
        let (run, artifact) = w.act(actions, Some("pay")).await;
        let incident = w.incident(&artifact["incidentId"]).await;
        assert_eq!(incident["updates"][1]["id"], artifact["updateId"]);
        assert_eq!(incident["updates"][1].get("status_change"), None);
        assert_eq!(w.timeline(&incident["id"]).await, ["seen", "looking"]);
        let steps = w.node.steps(run.id).await;
        assert_eq!(steps[1].result_payload.as_ref().map(|r| &r.0["externalId"]), Some(&incident["id"]));

        let id = &incident["id"];
        let (_, artifact) = w.act(json!([action("update_status", json!({"incidentId": id, "status": "fixing"}))]), None).await;
        let (_, own) = w.act(json!([action("update_status", json!({"incidentId": id, "status": "monitoring", "message": "rolled back"}))]), None).await;
        assert_ne!(artifact["updateId"], own["updateId"]);
        let incident = w.incident(id).await;
        assert_eq!(incident["status"], "monitoring");
        assert_eq!(incident["updates"][2]["status_change"], "fixing");
        assert_eq!(w.timeline(id).await, ["seen", "looking", "Status changed to fixing", "rolled back"]);

        let blank = json!([action("add_update", json!({"incidentId": id, "message": "{{ trigger.payload.nothing }}"}))]);
        let (run, _) = w.act(blank, None).await;
        assert_eq!(run.status, "failed", "a message that renders to nothing");
        assert_eq!(w.timeline(id).await.len(), 4);
        w.node.shutdown().await;
    }
}
