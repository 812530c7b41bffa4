//! `/definitions/validate` and `/definitions/normalize` (`api §4`).

use crate::plain::World;
use serde_json::json;
use test_kit::{TestDb, TestPlugin, both_engines};

both_engines! {
    async fn api_13_12_a_text_that_is_no_yaml_is_answered_with_its_place(db: TestDb) {
        let w = World::with(&db, TestPlugin::new("world")).await;
        let (status, body) = w.call("POST", "/definitions/validate", "application/yaml", "name: [\n").await;
        assert_eq!((status, &body["valid"]), (200, &json!(false)));
        let issue = &body["issues"][0];
        assert_eq!(issue["code"], "yaml_syntax");
        assert!(issue["line"].is_u64() && issue["column"].is_u64(), "{issue}");
        w.node.shutdown().await;
    }

    async fn api_4_normalize_answers_both_forms_or_what_is_wrong(db: TestDb) {
        let w = World::with(&db, TestPlugin::new("world")).await;
        let text = "name: A\ntriggers: [{ event: a.b.c, filter: \"{{ x }}\" }]\n";
        let (status, body) = w.call("POST", "/definitions/normalize", "application/yaml", text).await;
        assert_eq!(status, 200, "{body}");
        let normal = &body["definition"];
        assert_eq!(normal["triggers"][0], json!({"event": "a.b_c", "filter": "x"}));
        assert_eq!(normal["allow_reentry"], false);
        assert!(body["yaml"].as_str().unwrap().contains("allow_reentry: false"));
        // What is normal stays what it is, as JSON too.
        let (status, again) = w.post("/definitions/normalize", json!({"definition": normal})).await;
        assert_eq!((status, &again["definition"]), (200, normal));
        let (status, body) = w.post("/definitions/normalize", json!({"definition": {"name": "A"}})).await;
        assert_eq!(status, 422, "{body}");
        assert_eq!(body["code"], "invalid_definition");
        w.node.shutdown().await;
    }
}
