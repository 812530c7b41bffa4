//! Validation, normal form, rendering, registries.

use crate::world::{boot, definition};
use serde_json::{Value, json};
use test_kit::{TestDb, both_engines};

both_engines! {
    async fn api_13_12_validation_answers_whatever_it_is_given(db: TestDb) {
        let node = boot(&db).await;
        let broken = node.http("POST", "/definitions/validate").text("application/yaml", "name: x\nactions: [\n").await.expect(200);
        assert_eq!((&broken["valid"], &broken["issues"][0]["code"]), (&json!(false), &json!("yaml_syntax")));
        assert_eq!((&broken["issues"][0]["line"], &broken["issues"][0]["column"]), (&json!(2), &json!(10)));
        let bad = node.post("/definitions/validate", json!({"definition": definition("A", json!([{"action": "incident.creat"}]))})).await.expect(200);
        assert_eq!((&bad["valid"], &bad["issues"][0]["code"]), (&json!(false), &json!("unknown_action")));
        let yaml = "name: x\ntriggers: [{event: catalog.created}]\nconditions: ['{{ true }}']\n";
        let good = node.http("POST", "/definitions/validate").text("application/yaml", yaml).await.expect(200);
        assert_eq!((&good["valid"], &good["normalized"]["conditions"]), (&json!(true), &json!(["true"])));
        let hints = good["issues"].as_array().expect("issues").iter();
        assert!(hints.clone().any(|i| i["severity"] == "info"), "one pair of braces is a hint: {good}");
        node.post("/definitions/validate", json!({"defintion": {}})).await.problem(422, "invalid_request");

        let normal = node.http("POST", "/definitions/normalize").text("application/yaml", yaml).await.expect(200);
        assert_eq!(normal["definition"], good["normalized"]);
        assert!(normal["yaml"].as_str().is_some_and(|y| y.contains("mode: single")), "{normal}");
        node.http("POST", "/definitions/normalize").text("application/yaml", "name: x\n").await.problem(422, "invalid_definition");
        node.shutdown().await;
    }

    async fn api_13_15_rendering_answers_a_text_a_truth_or_the_place_of_the_error(db: TestDb) {
        let node = boot(&db).await;
        let render = async |body: Value| node.post("/templates/render", body).await.expect(200);
        let context = json!({"a": {"b": [1, 2]}, "t": "x"});
        assert_eq!(render(json!({"template": "v={{ a.b[1] }} {{ t | upper }}", "context": context})).await, json!({"success": true, "output": "v=2 X"}));
        assert_eq!(render(json!({"template": "no context"})).await, json!({"success": true, "output": "no context"}));
        let truth = render(json!({"template": "a.b[0] == 1", "context": context, "mode": "condition"})).await;
        assert_eq!(truth, json!({"success": true, "boolean_result": true, "value": true}));
        let truth = render(json!({"template": "{{ a.b[1] }}", "context": context, "mode": "condition"})).await;
        assert_eq!(truth, json!({"success": true, "boolean_result": true, "value": 2}));
        let failed = render(json!({"template": "line\n {{ 1 +"})).await;
        assert_eq!((&failed["success"], &failed["error"]["line"]), (&json!(false), &json!(2)), "{failed}");
        assert!(failed["error"]["column"].is_u64() && failed["error"]["message"].is_string(), "{failed}");
        let failed = render(json!({"template": "{{ a }} and {{ b }}", "mode": "condition"})).await;
        assert_eq!(failed["success"], false, "{failed}");
        for body in [json!({"template": "x", "context": []}), json!({"template": "x", "mode": "other"}), json!({"template": "x", "context": {"a": "x".repeat(256 * 1024)}})] {
            node.post("/templates/render", body).await.problem(400, "bad_parameter");
        }
        node.post("/templates/render", json!({})).await.problem(422, "invalid_request");
        node.shutdown().await;
    }

    async fn registries_are_complete_and_sorted(db: TestDb) {
        let node = boot(&db).await;
        for (path, key, some) in [
            ("triggers", "id", vec!["automation.cron", "catalog.created", "incident.resolved"]),
            ("actions", "id", vec!["automation.log", "catalog.update_metadata", "incident.create"]),
            ("artifact-types", "id", vec!["catalog.system_record", "incident.incident"]),
            ("filters", "name", vec!["minutes", "older_than", "upper"]),
        ] {
            let list = node.get(&format!("/registry/{path}")).await.ok();
            let ids: Vec<&str> = list["items"].as_array().expect("items").iter().filter_map(|i| i[key].as_str()).collect();
            assert!(ids.is_sorted(), "{ids:?}");
            assert!(some.iter().all(|id| ids.contains(id)), "{path}: {ids:?}");
        }
        let actions = node.get("/registry/actions").await.ok();
        let resolve = actions["items"].as_array().unwrap().iter().find(|a| a["id"] == "incident.resolve").expect("resolve").clone();
        assert_eq!((&resolve["produces"], &resolve["consumes"], &resolve["owner_plugin_id"]), (&json!("incident.incident"), &json!(["incident.incident"]), &json!("incident")));
        let triggers = node.get("/registry/triggers").await.ok();
        let created = triggers["items"].as_array().unwrap().iter().find(|t| t["id"] == "incident.created").expect("created").clone();
        assert_eq!((&created["source"], &created["has_context_key"], &created["context_key_label"]), (&json!("entity_driven"), &json!(true), &json!("incident")));
        node.shutdown().await;
    }
}
