//! `incident.create`, with and without `dedupe_open_for_system`.

use crate::world::{EVENTS, World, create};
use futures::future::join_all;
use serde_json::{Value, json};
use std::collections::HashSet;
use test_kit::{TestDb, both_engines, stays};

async fn twenty_at_once(w: &World, config: Value) -> Vec<Value> {
    let automation = w.automation(json!([create(config)])).await;
    let runs = join_all((0..20).map(|_| w.start(automation, Some("pay")))).await;
    let mut artifacts = Vec::new();
    for run in runs {
        assert_eq!(w.ended(run).await.status, "success");
        let made = w.node.engine().artifacts(run).await.expect("artifacts");
        assert_eq!(made.len(), 1);
        artifacts.push(made[0].data.0.clone());
    }
    artifacts
}

both_engines! {
    async fn domains_13_4_twenty_calls_at_once_open_one_incident(db: TestDb) {
        let w = World::boot(&db).await;
        let heard = w.node.listen(EVENTS).await;
        let artifacts = twenty_at_once(&w, json!({"dedupe_open_for_system": true, "initialMessage": "first seen"})).await;
        let incidents = w.incidents().await;
        assert_eq!(incidents.len(), 1);
        let expected = json!({"incidentId": incidents[0]["id"], "status": "investigating", "severity": "critical", "systemIds": ["pay"]});
        assert!(artifacts.iter().all(|a| *a == expected), "{artifacts:?}");
        assert_eq!(w.timeline(&incidents[0]["id"]).await, ["first seen"]);
        assert_eq!(heard.ids(1).await, ["incident.created"]);
        assert!(stays(async || heard.so_far().await.len() == 1).await);
        w.node.shutdown().await;
    }

    async fn domains_13_5_without_dedupe_there_are_twenty(db: TestDb) {
        let w = World::boot(&db).await;
        let heard = w.node.listen(EVENTS).await;
        let artifacts = twenty_at_once(&w, json!({})).await;
        let ids: HashSet<&str> = artifacts.iter().filter_map(|a| a["incidentId"].as_str()).collect();
        assert_eq!((ids.len(), w.incidents().await.len()), (20, 20));
        assert_eq!(heard.ids(20).await, ["incident.created"; 20]);
        w.node.shutdown().await;
    }

    async fn domains_13_6_an_incident_of_a_person_is_reused_until_it_is_resolved(db: TestDb) {
        let w = World::boot(&db).await;
        let by_person = w.open("Card payments fail", &["pay", "shop"]).await;
        let heard = w.node.listen(EVENTS).await;
        let again = json!([create(json!({"dedupe_open_for_system": true, "title": "other", "severity": "minor"}))]);
        let (run, artifact) = w.act(again.clone(), Some("pay")).await;
        assert_eq!(run.status, "success");
        let expected = json!({"incidentId": by_person["id"], "status": "investigating", "severity": "major", "systemIds": ["pay", "shop"]});
        assert_eq!(artifact, expected);
        let steps = w.node.steps(run.id).await;
        assert_eq!(steps[0].result_payload.as_ref().map(|r| &r.0["externalId"]), Some(&by_person["id"]));
        let unchanged = w.incident(&by_person["id"]).await;
        assert_eq!((&unchanged["title"], &unchanged["updates"]), (&json!("Card payments fail"), &json!([])));

        w.node.post(&format!("/incidents/{}/resolve", by_person["id"].as_str().unwrap()), json!({})).await.ok();
        let (_, artifact) = w.act(again, Some("pay")).await;
        assert_ne!(artifact["incidentId"], by_person["id"]);
        assert_eq!(artifact["severity"], "minor");
        assert_eq!(heard.ids(2).await, ["incident.resolved", "incident.created"]);
        w.node.shutdown().await;
    }

    async fn the_oldest_open_incident_of_any_of_the_systems_is_reused(db: TestDb) {
        let w = World::boot(&db).await;
        let mut opened = Vec::new();
        for systems in [["other"], ["b"], ["a"]] {
            opened.push(w.open("x", &systems).await["id"].clone());
            w.node.clock().advance(std::time::Duration::from_secs(1));
        }
        let config = json!({"dedupe_open_for_system": true, "systemIds": ["c", "a", "b"]});
        let (_, artifact) = w.act(json!([create(config)]), Some("a")).await;
        assert_eq!(artifact["incidentId"], opened[1]);
        assert_eq!(artifact["systemIds"], json!(["b"]), "nothing is added to it");
        w.node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn domains_13_4_two_nodes_open_one_incident() {
    let db = TestDb::postgres().await;
    let clock = test_kit::VirtualClock::new();
    let nodes = [
        World::boot_at(&db, clock.clone()).await,
        World::boot_at(&db, clock).await,
    ];
    let body = json!({"title": "x", "system_ids": ["b", "a"], "dedupe_open_for_system": true});
    let calls = (0..10).flat_map(|_| &nodes).map(|w| {
        let body = body.clone();
        async move { w.node.post("/incidents", body).await }
    });
    let answers = join_all(calls).await;
    let created = answers.iter().filter(|a| a.status == 201).count();
    let ids: HashSet<String> = answers
        .into_iter()
        .map(|a| a.ok()["id"].to_string())
        .collect();
    assert_eq!((created, ids.len()), (1, 1));
    assert_eq!(nodes[1].incidents().await.len(), 1);
    for w in nodes {
        w.node.shutdown().await;
    }
}
