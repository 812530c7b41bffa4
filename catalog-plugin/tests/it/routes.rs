//! The routes and what they refuse.

use crate::world::{boot, system};
use plugin_api::fail;
use serde_json::{Value, json};
use test_kit::{Node, TestDb, both_engines};

/// Every name of the list, page by page.
async fn names(node: &Node, limit: usize) -> Vec<String> {
    let mut names = Vec::new();
    let mut path = format!("/systems?limit={limit}");
    loop {
        let page = node.get(&path).await.ok();
        let items = page["items"].as_array().expect("items");
        assert!(items.len() <= limit);
        names.extend(
            items
                .iter()
                .map(|s| s["name"].as_str().expect("a name").to_owned()),
        );
        let Some(cursor) = page["next_cursor"].as_str() else {
            return names;
        };
        path = format!("/systems?limit={limit}&cursor={cursor}");
    }
}

fn pointer(problem: &Value) -> (&str, &str) {
    let field = &problem["errors"][0];
    assert!(
        field["message"].as_str().is_some_and(|m| !m.is_empty()),
        "{problem}"
    );
    (
        field["pointer"].as_str().unwrap_or("-"),
        field["code"].as_str().unwrap_or("-"),
    )
}

both_engines! {
    async fn pages_skip_and_repeat_nothing_whatever_the_script(db: TestDb) {
        let node = boot(&db).await;
        let mut expected = ["Ärger", "ärmel", "Ångström", "zebra", "Zoo", "Ölmühle", "öse", "apple", "Banana", "ΣΊΣΥΦΟΣ", "жук", "Жаба"];
        for (n, name) in expected.iter().enumerate() {
            system(&node, &format!("s{n}"), name).await;
        }
        let mut found = names(&node, 50).await;
        for limit in 1..=4 {
            assert_eq!(names(&node, limit).await, found, "pages of {limit}");
        }
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected);
        // Inserting between two pages moves nothing that was already seen.
        let first = node.get("/systems?limit=6").await.ok();
        system(&node, "early", "Aardvark").await;
        let cursor = first["next_cursor"].as_str().expect("more");
        let rest = node.get(&format!("/systems?limit=50&cursor={cursor}")).await.ok();
        let count = first["items"].as_array().unwrap().len() + rest["items"].as_array().unwrap().len();
        assert_eq!(count, expected.len());
        node.shutdown().await;
    }

    async fn names_are_unique_without_case_in_every_script(db: TestDb) {
        let node = boot(&db).await;
        for (id, name, taken) in [("a", "Payments", "PAYMENTS"), ("b", "Ärger", "äRGER"), ("c", "Жук", "жУК")] {
            system(&node, id, name).await;
            let problem = node.post("/systems", json!({"name": taken})).await.problem(409, "already_exists");
            assert!(problem["detail"].as_str().is_some_and(|d| d.contains(taken)), "{problem}");
        }
        node.patch("/systems/a", json!({"name": "ärgeR"})).await.problem(409, "already_exists");
        node.patch("/systems/b", json!({"name": "ÄRGER"})).await.ok();
        node.post("/systems", json!({"id": "a", "name": "Other"})).await.problem(409, "already_exists");
        assert_eq!(names(&node, 50).await.len(), 3);
        node.shutdown().await;
    }

    async fn systems_are_created_read_changed_and_declared(db: TestDb) {
        let node = boot(&db).await;
        let answer = node.post("/systems", json!({"name": " Payments "})).await;
        let location = answer.header("location").expect("a location").to_owned();
        let made = answer.expect(201);
        assert_eq!(made["name"], "Payments");
        assert_eq!(made["metadata"], json!({}));
        assert_eq!(made.get("description"), None);
        assert_eq!(location, format!("/api/v1/systems/{}", made["id"].as_str().unwrap()));
        let path = location.strip_prefix("/api/v1").unwrap();
        assert_eq!(node.get(path).await.ok(), made);

        node.clock().advance(std::time::Duration::from_millis(1500));
        let changed = node.patch(path, json!({"description": "d", "metadata": {"a": 1}})).await.ok();
        assert_eq!((&changed["description"], &changed["metadata"]), (&json!("d"), &json!({"a": 1})));
        assert_eq!(changed["created_at"], "2026-01-15T12:00:00.000Z");
        assert_eq!(changed["updated_at"], "2026-01-15T12:00:01.500Z");
        let cleared = node.patch(path, json!({"description": null, "metadata": null})).await.ok();
        assert_eq!((cleared.get("description"), &cleared["metadata"]), (None, &json!({})));

        node.put("/systems/shop", json!({"name": "Shop", "description": "d"})).await.expect(201);
        let put = node.put("/systems/shop", json!({"name": "Shop 2"})).await.expect(200);
        assert_eq!(put.get("description"), None, "PUT clears what it does not name");
        node.get("/systems/none").await.problem(404, "not_found");
        node.patch("/systems/none", json!({})).await.problem(404, "not_found");
        node.shutdown().await;
    }

    async fn what_is_wrong_is_named(db: TestDb) {
        let node = boot(&db).await;
        system(&node, "pay", "Payments").await;
        for (body, field, code) in [
            (json!({"name": "a", "nmae": "b"}), "/nmae", "unknown_field"),
            (json!({}), "/name", "missing_field"),
            (json!({"name": 5}), "/name", "wrong_type"),
            (json!({"name": "  "}), "/name", "bad_format"),
            (json!({"name": "x".repeat(201)}), "/name", "bad_format"),
            (json!({"name": "a", "id": "a/b"}), "/id", "bad_format"),
            (json!({"name": "a", "metadata": []}), "/metadata", "wrong_type"),
        ] {
            let problem = node.post("/systems", body).await.problem(422, "invalid_request");
            assert_eq!(pointer(&problem), (field, code));
        }
        let problem = node.patch("/systems/pay", json!({"name": null})).await.problem(422, "invalid_request");
        assert_eq!(pointer(&problem), ("/name", "wrong_type"));
        node.http("POST", "/systems").text("application/json", "{").await.problem(400, "malformed_json");
        node.http("POST", "/systems").text("text/plain", "x").await.problem(415, "unsupported_media_type");
        for query in ["limit=0", "limit=201", "limit=x", "limt=5", "limit=5&limit=6"] {
            node.get(&format!("/systems?{query}")).await.problem(400, "bad_parameter");
        }
        for cursor in ["x", "e30", "WyJhIiwiYiIsIm90aGVyIl0"] {
            node.get(&format!("/systems?cursor={cursor}")).await.problem(400, "bad_cursor");
        }
        node.shutdown().await;
    }

    async fn domains_3_ids_that_cannot_exist_are_not_found(db: TestDb) {
        let node = boot(&db).await;
        system(&node, "pay", "Payments").await;
        for id in ["pay%00", "%00", "*", "a%20b", "%0A"] {
            let path = format!("/systems/{id}");
            node.get(&path).await.problem(404, "not_found");
            node.patch(&path, json!({"name": "x"})).await.problem(404, "not_found");
            node.delete(&path).await.problem(404, "not_found");
            let problem = node.put(&path, json!({"name": "x"})).await.problem(422, "invalid_request");
            assert_eq!(pointer(&problem), ("/id", "bad_format"));
        }
        let directory = node.service("test", &catalog_common::SYSTEMS).expect("the directory");
        let known = directory.exists(&["pay".into(), "pay\0".into()]).await.expect("an answer");
        assert_eq!(known, ["pay".to_owned()].into());
        node.shutdown().await;
    }

    async fn declaring_a_system_at_once_from_many_sides_is_never_a_conflict(db: TestDb) {
        let node = boot(&db).await;
        for n in 0..5 {
            let path = format!("/systems/s{n}");
            let puts = (0..8).map(|_| async { node.put(&path, json!({"name": format!("S{n}")})).await });
            let answers = futures::future::join_all(puts).await;
            let created = answers.iter().filter(|a| a.status == 201).count();
            assert!(answers.iter().all(|a| [200, 201].contains(&a.status)), "{answers:?}");
            assert_eq!(created, 1);
        }
        node.shutdown().await;
    }

    async fn api_1_7_writes_without_a_database_are_answered_unavailable(db: TestDb) {
        let node = boot(&db).await;
        system(&node, "pay", "Payments").await;
        node.scope().arm(fail::DATABASE, fail::Action::Error(u32::MAX));
        let body = json!({"name": "x"});
        node.post("/systems", body.clone()).await.problem(503, "unavailable");
        node.get("/systems/pay").await.problem(503, "unavailable");
        node.patch("/systems/pay", body.clone()).await.problem(503, "unavailable");
        node.put("/systems/pay", body).await.problem(503, "unavailable");
        node.delete("/systems/pay").await.problem(503, "unavailable");
        node.scope().disarm(fail::DATABASE);
        node.delete("/systems/pay").await.expect(204);
        node.shutdown().await;
    }

    async fn rules_are_enforced(db: TestDb) {
        let node = boot(&db).await;
        let body = json!({"name": "Payments"});
        let answer = node.post("/systems", body.clone()).anonymous().await;
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        answer.problem(401, "unauthenticated");
        let problem = node.post("/systems", body.clone()).rules(&["catalog.read"]).await.problem(403, "forbidden");
        assert!(problem["detail"].as_str().is_some_and(|d| d.contains("catalog.manage")), "{problem}");
        node.post("/systems", body).rules(&["catalog.manage"]).await.expect(201);
        node.get("/systems").rules(&["catalog.manage"]).await.ok();
        node.get("/systems").rules(&["catalog.read"]).await.ok();
        node.get("/systems").rules(&[]).await.problem(403, "forbidden");
        node.get("/systems").anonymous().await.problem(401, "unauthenticated");
        node.shutdown().await;
    }
}
