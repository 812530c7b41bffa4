//! Entity kinds, state and transitions.

use crate::world::{all, boot, field};
use serde_json::{Value, json};
use std::time::Duration;
use test_kit::{Node, TestDb, both_engines};

/// Opens an incident and takes it through these changes, a minute apart.
async fn incident(node: &Node, changes: &[Value]) -> String {
    let body = json!({"title": "x", "system_ids": ["a"]});
    let made = node.post("/incidents", body).await.expect(201);
    let id = made["id"].as_str().expect("an id").to_owned();
    for change in changes {
        node.clock().advance(Duration::from_secs(60));
        node.patch(&format!("/incidents/{id}"), change.clone())
            .await
            .ok();
    }
    id
}

both_engines! {
    async fn kinds_tell_their_owner_schema_and_events(db: TestDb) {
        let node = boot(&db).await;
        let kinds = node.get("/entity-kinds").await.ok();
        let kinds = kinds["items"].as_array().expect("items");
        let one = |name: &str| kinds.iter().find(|k| k["kind"] == name).expect("the kind");
        let incident = one("incident");
        assert_eq!(incident["owner_plugin_id"], "incident");
        assert_eq!(incident["trigger_events"], json!(["incident.created", "incident.updated", "incident.resolved"]));
        assert_eq!(incident["state_schema"]["properties"]["systemIds"]["type"], "array");
        assert_eq!(one("catalog-system")["trigger_events"], json!(["catalog.created", "catalog.updated", "catalog.deleted"]));
        node.shutdown().await;
    }

    async fn api_13_24_state_of_several_lists_what_is_missing(db: TestDb) {
        let node = boot(&db).await;
        for id in ["a", "b"] {
            node.post("/systems", json!({"id": id, "name": format!("System {id}")})).await.expect(201);
        }
        let found = node.get("/entities/catalog-system?id=b&id=nope&id=a&id=b").await.ok();
        let state = |id: &str| json!({"id": id, "state": {"name": format!("System {id}"), "description": null, "metadata": {}}});
        assert_eq!(found, json!({"items": [state("b"), state("a")], "missing": ["nope"]}));
        let many: String = (0..101).map(|n| format!("&id=x{n}")).collect();
        node.get(&format!("/entities/catalog-system?{}", &many[1..])).await.problem(400, "bad_parameter");
        let hundred: String = (0..100).map(|n| format!("&id=x{n}")).collect();
        node.get(&format!("/entities/catalog-system?{}", &hundred[1..])).await.ok();
        node.get("/entities/catalog-system").await.problem(400, "bad_parameter");
        node.get("/entities/catalog-system?ids=a").await.problem(400, "bad_parameter");
        node.get("/entities/nonsense?id=a").await.problem(404, "not_found");
        node.shutdown().await;
    }

    async fn one_entity_tells_since_when(db: TestDb) {
        let node = boot(&db).await;
        let id = incident(&node, &[json!({"status": "fixing"})]).await;
        node.clock().advance(Duration::from_secs(30));
        let one = node.get(&format!("/entities/incident/{id}")).await.ok();
        assert_eq!((&one["kind"], &one["id"]), (&json!("incident"), &json!(id)));
        assert_eq!(one["state"], json!({"status": "fixing", "severity": "major", "systemIds": ["a"]}));
        assert_eq!(one["fields"]["status"], json!({"in_state_since": "2026-01-15T12:01:00.000Z", "in_state_for_ms": 30_000}));
        assert_eq!(one["fields"]["severity"]["in_state_for_ms"], 90_000);
        node.get("/entities/incident/nonsense").await.problem(404, "not_found");
        node.get("/entities/nonsense/a").await.problem(404, "not_found");
        node.shutdown().await;
    }

    async fn transitions_are_filtered_and_paged_newest_first(db: TestDb) {
        let node = boot(&db).await;
        let id = incident(&node, &[json!({"status": "fixing"}), json!({"severity": "minor", "status": "resolved"}), json!({"status": "fixing"}), json!({"system_ids": ["b"]})]).await;
        incident(&node, &[json!({"status": "identified"})]).await;
        let path = format!("/entities/incident/{id}/transitions");
        let text = |t: &Value| format!("{} {}>{}", t["field"].as_str().unwrap(), t["from_value"].as_str().unwrap_or("-"), t["to_value"].as_str().unwrap());
        for (query, expected) in [
            ("field=status", vec!["status resolved>fixing", "status fixing>resolved", "status investigating>fixing", "status ->investigating"]),
            ("field=severity", vec!["severity major>minor", "severity ->major"]),
            ("from=fixing", vec!["status fixing>resolved"]),
            ("to=fixing", vec!["status resolved>fixing", "status investigating>fixing"]),
            ("field=status&from=resolved&to=fixing", vec!["status resolved>fixing"]),
            ("field=severity&to=fixing", vec![]),
            ("field=systemIds&to=%5B%22b%22%5D", vec!["systemIds [\"a\"]>[\"b\"]"]),
        ] {
            for limit in [1, 3, 200] {
                let found = all(&node, &format!("{path}?{query}"), limit).await;
                assert_eq!(found.iter().map(text).collect::<Vec<_>>(), expected, "{query} by {limit}");
            }
        }
        let every = all(&node, &path, 2).await;
        assert_eq!(every.len(), 8);
        assert_eq!(every[0]["transitioned_at"], "2026-01-15T12:04:00.000Z");
        assert!(field(&every, "change_id").iter().all(|c| c.len() == 36));
        let page = node.get(&format!("{path}?limit=1")).await.ok();
        let cursor = page["next_cursor"].as_str().expect("more");
        node.get(&format!("{path}?field=status&cursor={cursor}")).await.problem(400, "bad_cursor");
        node.get(&format!("{path}?cursor=x")).await.problem(400, "bad_cursor");
        node.get(&format!("{path}?feld=status")).await.problem(400, "bad_parameter");
        node.get("/entities/nonsense/x/transitions").await.problem(404, "not_found");
        assert_eq!(node.get("/entities/incident/nonsense/transitions").await.ok()["items"], json!([]));
        node.shutdown().await;
    }

    async fn transitions_are_counted_in_a_window(db: TestDb) {
        let node = boot(&db).await;
        let id = incident(&node, &[json!({"status": "fixing"}), json!({"status": "resolved"})]).await;
        let path = format!("/entities/incident/{id}/transition-count");
        for (window, expected) in [(60_000, 2), (119_999, 2), (120_000, 3), (59_999, 1)] {
            let count = node.get(&format!("{path}?field=status&window_ms={window}")).await.ok();
            assert_eq!(count, json!({"count": expected}), "{window}");
        }
        for query in ["field=nope&window_ms=5", "field=status&window_ms=0", "field=status&window_ms=2592000001", "field=status", "field=status&window_ms=x"] {
            node.get(&format!("{path}?{query}")).await.problem(400, "bad_parameter");
        }
        node.shutdown().await;
    }
}
