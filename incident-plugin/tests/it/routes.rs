//! The routes and what they refuse.

use crate::world::World;
use serde_json::{Value, json};
use std::time::Duration;
use test_kit::{TestDb, both_engines};

fn titles(page: &Value) -> Vec<&str> {
    let items = page["items"].as_array().expect("items");
    items.iter().filter_map(|i| i["title"].as_str()).collect()
}

both_engines! {
    async fn an_incident_is_opened_changed_and_resolved(db: TestDb) {
        let w = World::boot(&db).await;
        let body = json!({"title": " Card payments fail ", "description": "since noon", "severity": "critical", "system_ids": ["b", "a", "b"], "initial_message": "seen"});
        let answer = w.node.post("/incidents", body).await;
        let location = answer.header("location").expect("a location").to_owned();
        let made = answer.expect(201);
        assert_eq!(location, format!("/api/v1/incidents/{}", made["id"].as_str().unwrap()));
        let path = location.strip_prefix("/api/v1").unwrap().to_owned();
        assert_eq!(made["title"], "Card payments fail");
        assert_eq!(made["system_ids"], json!(["a", "b"]));
        assert_eq!((&made["status"], &made["suppress_notifications"]), (&json!("investigating"), &json!(false)));
        w.node.clock().advance(Duration::from_secs(5));
        let unchanged = w.node.patch(&path, json!({"severity": "critical"})).await.ok();
        assert_eq!(unchanged["updated_at"], made["updated_at"], "nothing to write");
        let changed = w.node.patch(&path, json!({"status": "identified", "description": null})).await.ok();
        assert_eq!((&changed["status"], changed.get("description")), (&json!("identified"), None));
        assert_eq!(changed["updated_at"], "2026-01-15T12:00:05.000Z");
        let resolved = w.node.post(&format!("{path}/resolve"), json!({"message": "over"})).await.ok();
        assert_eq!(resolved["status"], "resolved");
        let detail = w.node.get(&path).await.ok();
        let updates: Vec<(&str, &Value)> = detail["updates"].as_array().unwrap().iter().map(|u| (u["message"].as_str().unwrap(), &u["status_change"])).collect();
        assert_eq!(updates, [("seen", &Value::Null), ("Status changed to identified", &json!("identified")), ("over", &json!("resolved"))]);
        w.node.shutdown().await;
    }

    async fn lists_are_filtered_and_paged_newest_first(db: TestDb) {
        let w = World::boot(&db).await;
        for (n, (title, systems)) in [("one", ["a"]), ("two", ["b"]), ("three", ["a"]), ("four", ["a"]), ("five", ["b"])].into_iter().enumerate() {
            w.open(title, &systems).await;
            // Two of them in the same millisecond.
            w.node.clock().advance(Duration::from_millis(if n == 1 { 0 } else { 1 }));
        }
        let all = w.incidents().await;
        let resolved = all.iter().find(|i| i["title"] == "three").unwrap();
        w.node.post(&format!("/incidents/{}/resolve", resolved["id"].as_str().unwrap()), json!({})).await.ok();
        let expect = [("", vec!["five", "four", "three", "two", "one"]), ("status=open", vec!["five", "four", "two", "one"]),
            ("status=resolved", vec!["three"]), ("system_id=a", vec!["four", "three", "one"]), ("system_id=a&status=open", vec!["four", "one"]), ("system_id=c", vec![])];
        for (query, expected) in expect {
            assert_eq!(titles(&w.node.get(&format!("/incidents?{query}")).await.ok()), expected, "{query}");
            let mut seen = Vec::new();
            let mut cursor = String::new();
            loop {
                let page = w.node.get(&format!("/incidents?limit=1&{query}{cursor}")).await.ok();
                seen.extend(titles(&page).into_iter().map(str::to_owned));
                match page["next_cursor"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            assert_eq!(seen, expected, "{query} page by page");
        }
        let page = w.node.get("/incidents?limit=1").await.ok();
        let cursor = page["next_cursor"].as_str().unwrap();
        w.node.get(&format!("/incidents?status=open&cursor={cursor}")).await.problem(400, "bad_cursor");
        w.node.get("/incidents?cursor=nonsense").await.problem(400, "bad_cursor");
        w.node.get("/incidents?status=fine").await.problem(400, "bad_parameter");
        w.node.get("/incidents?stauts=open").await.problem(400, "bad_parameter");
        w.node.shutdown().await;
    }

    async fn what_is_wrong_is_named(db: TestDb) {
        let w = World::boot(&db).await;
        let incident = w.open("x", &["a"]).await;
        let path = format!("/incidents/{}", incident["id"].as_str().unwrap());
        let updates = format!("{path}/updates");
        for (method, path, body, pointer, code) in [
            ("POST", "/incidents", json!({"title": "x", "system_ids": []}), "/system_ids", "bad_length"),
            ("POST", "/incidents", json!({"title": "x", "system_ids": [" "]}), "/system_ids", "bad_length"),
            ("POST", "/incidents", json!({"title": "x", "system_ids": ["a", "b\0"]}), "/system_ids", "bad_format"),
            ("POST", "/incidents", json!({"title": "x", "system_ids": ["a\n"]}), "/system_ids", "bad_format"),
            ("POST", "/incidents", json!({"title": " ", "system_ids": ["a"]}), "/title", "bad_length"),
            ("POST", "/incidents", json!({"title": "x".repeat(201), "system_ids": ["a"]}), "/title", "bad_length"),
            ("POST", "/incidents", json!({"system_ids": ["a"]}), "/title", "missing_field"),
            ("POST", "/incidents", json!({"title": "x", "system_ids": ["a"], "severity": "bad"}), "/severity", "bad_enum"),
            ("POST", "/incidents", json!({"title": "x", "systemIds": ["a"]}), "/systemIds", "unknown_field"),
            ("PATCH", path.as_str(), json!({"title": null}), "/title", "wrong_type"),
            ("PATCH", path.as_str(), json!({"status": "done"}), "/status", "bad_enum"),
            ("PATCH", path.as_str(), json!({"system_ids": []}), "/system_ids", "bad_length"),
            ("PATCH", path.as_str(), json!({"system_ids": ["\u{1}"]}), "/system_ids", "bad_format"),
            ("POST", updates.as_str(), json!({"message": "  "}), "/message", "bad_length"),
            ("POST", updates.as_str(), json!({}), "/message", "missing_field"),
        ] {
            let problem = w.node.http(method, path).json(&body).await.problem(422, "invalid_request");
            let field = &problem["errors"][0];
            assert_eq!((&field["pointer"], &field["code"]), (&json!(pointer), &json!(code)), "{body}: {problem}");
        }
        for id in ["019bc186-de00-7001-8000-00000000ffff", "nonsense"] {
            w.node.get(&format!("/incidents/{id}")).await.problem(404, "not_found");
            w.node.patch(&format!("/incidents/{id}"), json!({"title": "y"})).await.problem(404, "not_found");
            w.node.post(&format!("/incidents/{id}/resolve"), json!({})).await.problem(404, "not_found");
            w.node.post(&format!("/incidents/{id}/updates"), json!({"message": "m"})).await.problem(404, "not_found");
        }
        w.node.shutdown().await;
    }

    async fn domains_4_text_with_nul_is_stored_and_asked_for_alike_on_both_engines(db: TestDb) {
        let w = World::boot(&db).await;
        let body = json!({"title": "a\0b", "description": "\0", "system_ids": ["pay"], "initial_message": "c\0"});
        let made = w.node.post("/incidents", body).await.expect(201);
        let stored = w.incident(&made["id"]).await;
        assert_eq!((&stored["title"], &stored["updates"][0]["message"]), (&json!("a\u{2400}b"), &json!("c\u{2400}")));
        assert!(titles(&w.node.get("/incidents?system_id=pay%00").await.ok()).is_empty());
        w.node.get("/incidents/pay%00").await.problem(404, "not_found");
        w.node.delete("/incidents/%00").await.problem(404, "not_found");
        let suppression = w.node.service("test", &incident_plugin::SUPPRESSION).expect("the service");
        assert!(!suppression.has_active_incident_with_suppression("pay\0").await.expect("an answer"));
        w.node.shutdown().await;
    }

    async fn rules_are_enforced(db: TestDb) {
        let w = World::boot(&db).await;
        let body = json!({"title": "x", "system_ids": ["a"]});
        w.node.post("/incidents", body.clone()).anonymous().await.problem(401, "unauthenticated");
        let problem = w.node.post("/incidents", body.clone()).rules(&["incident.read"]).await.problem(403, "forbidden");
        assert!(problem["detail"].as_str().is_some_and(|d| d.contains("incident.manage")), "{problem}");
        let made = w.node.post("/incidents", body).rules(&["incident.manage"]).await.expect(201);
        let path = format!("/incidents/{}", made["id"].as_str().unwrap());
        for (method, path) in [("PATCH", path.clone()), ("DELETE", path.clone()), ("POST", format!("{path}/updates")), ("POST", format!("{path}/resolve"))] {
            w.node.http(method, &path).json(&json!({})).rules(&["incident.read"]).await.problem(403, "forbidden");
        }
        w.node.get(&path).rules(&["incident.read"]).await.ok();
        w.node.get(&path).rules(&[]).await.problem(403, "forbidden");
        w.node.shutdown().await;
    }
}
