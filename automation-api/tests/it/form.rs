//! The form of requests and answers (`api §1`): media types, sizes, conditions, odd characters.

use crate::world::{boot, create, definition, path};
use plugin_api::http::{Cursor, fingerprint};
use serde_json::{Value, json};
use test_kit::{TestDb, both_engines};

const NOBODY: &str = "00000000-0000-7000-8000-000000000000";

fn log(message: &str) -> Value {
    json!([{"action": "automation.log", "config": {"message": message}}])
}

both_engines! {
    async fn api_1_4_a_definition_over_256_kib_is_refused_however_it_is_sent(db: TestDb) {
        let node = boot(&db).await;
        let made = create(&node, definition("A", log("x"))).await;
        let at = path("automations", &made);
        let large = definition("A", log(&"x".repeat(256 * 1024)));
        let wrapped = json!({"definition": large});
        for (method, path, body) in [
            ("POST", "/automations", &wrapped),
            ("PUT", &at, &wrapped),
            ("PATCH", &at, &wrapped),
            ("PUT", &format!("{at}/definition"), &large),
            ("POST", "/definitions/validate", &wrapped),
            ("POST", "/definitions/normalize", &wrapped),
        ] {
            node.http(method, path).json(body).if_match(1).await.problem(413, "payload_too_large");
        }
        let listed = node.get("/automations?count=true").await.ok();
        assert_eq!((&listed["total"], &listed["items"][0]["version"]), (&json!(1), &json!(1)), "nothing is stored");
        // The limit is that of the definition, not of what a client writes around it.
        let room = 256 * 1024 - definition("A", log("")).to_string().len();
        let spaced = format!("{{\"definition\": {}{}}}", definition("A", log(&"x".repeat(room))), " ".repeat(10_000));
        node.http("POST", "/definitions/validate").text("application/json", &spaced).await.expect(200);
        node.shutdown().await;
    }

    async fn api_1_4_media_types_are_read_in_any_case_and_by_their_whole_name(db: TestDb) {
        let node = boot(&db).await;
        let json = json!({"definition": definition("A", json!([]))}).to_string();
        let yaml = "name: A\ntriggers: [{event: catalog.created}]\n";
        let validate = |kind: &str, body: &str| node.http("POST", "/definitions/validate").text(kind, body);
        for kind in ["application/json", "Application/JSON; charset=utf-8", "application/vnd.signalbox+json"] {
            assert_eq!(validate(kind, &json).await.expect(200)["valid"], true, "{kind}");
        }
        for kind in ["application/yaml", "APPLICATION/YAML", "text/x-yaml;charset=utf-8"] {
            assert_eq!(validate(kind, yaml).await.expect(200)["valid"], true, "{kind}");
        }
        for kind in ["text/jsonx", "application/jsonp", "text/plain; of=yaml", "application/not-yaml", ""] {
            validate(kind, &json).await.problem(415, "unsupported_media_type");
            node.http("POST", "/templates/render").text(kind, "{\"template\": \"x\"}").await.problem(415, "unsupported_media_type");
        }
        let render = |kind: &str| node.http("POST", "/templates/render").text(kind, "{\"template\": \"x\"}");
        render("Application/Json").await.expect(200);
        node.shutdown().await;
    }

    async fn api_1_9_a_reader_who_has_the_version_is_told_so_and_no_more(db: TestDb) {
        let node = boot(&db).await;
        let made = create(&node, definition("A", log("x"))).await;
        let at = path("automations", &made);
        for path in [at.clone(), format!("{at}/definition")] {
            for known in ["\"1\"", "W/\"1\"", "*", "\"7\", W/\"1\"", "\"7\",\"1\""] {
                let answer = node.get(&path).header("if-none-match", known).await;
                assert_eq!((answer.status, answer.text.as_str(), answer.header("etag")), (304, "", Some("\"1\"")), "{path}: {known}");
            }
            let twice = node.get(&path).header("if-none-match", "\"7\"").header("if-none-match", "\"1\"").await;
            assert_eq!(twice.status, 304);
            for other in ["\"7\"", "W/\"11\"", "1", "\"7\", \"8\"", "nonsense"] {
                node.get(&path).header("if-none-match", other).await.expect(200);
            }
        }
        node.shutdown().await;
    }

    async fn a_nul_in_a_filter_or_a_path_finds_nothing_on_both_engines(db: TestDb) {
        let node = boot(&db).await;
        let made = create(&node, definition("A", log("x"))).await;
        let at = path("automations", &made);
        for list in [
            "/automations?q=%00", "/automations?group=%00", "/automations?managed_by=%00", "/automations?event=%00", "/automations?action=a%00b",
            "/runs?trigger_id=%00", "/runs?context_key=%00", "/incidents?system_id=%00",
            &format!("{at}/decisions?context_key=%00"),
            "/entities/incident/x/transitions?field=%00&from=%00&to=%00", "/entities/incident/%00/transitions",
            "/entities/catalog-system?id=%00",
        ] {
            assert_eq!(node.get(list).await.ok()["items"], json!([]), "{list}");
        }
        for nothing in ["/automations/%00", "/entities/%00/x", "/entities/catalog-system/%00", "/entities/incident/%00"] {
            node.get(nothing).await.problem(404, "not_found");
        }
        let count = node.get("/entities/incident/%00/transition-count?field=status&window_ms=1000").await.ok();
        assert_eq!(count, json!({"count": 0}));
        node.shutdown().await;
    }

    async fn a_path_that_is_not_utf_8_is_a_problem_and_only_for_those_who_may_come_here(db: TestDb) {
        let node = boot(&db).await;
        for path in ["/automations/%FF", "/incidents/%FF", "/systems/%FF", "/entities/incident/%C3%28", "/runs/a%80/steps"] {
            node.get(path).await.problem(400, "bad_parameter");
            node.get(path).anonymous().await.problem(401, "unauthenticated");
            node.get(path).rules(&[]).await.problem(403, "forbidden");
        }
        node.shutdown().await;
    }

    async fn api_1_8_a_cursor_made_up_by_a_client_is_refused(db: TestDb) {
        let node = boot(&db).await;
        let none = None::<String>;
        let incidents = fingerprint(&(&none, &none));
        let automations = fingerprint(&(&none, &none, &none, &none, &none, &none));
        let cursor = |key: &str, id: &str, filters: &str| Cursor { key: key.into(), id: id.into() }.encode(filters);
        for key in ["9223372036854775807", "253402300800000", "-1", "-9223372036854775808", "x", ""] {
            let path = format!("/incidents?cursor={}", cursor(key, NOBODY, &incidents));
            node.get(&path).await.problem(400, "bad_cursor");
        }
        for key in ["0", "253402300799999"] {
            node.get(&format!("/incidents?cursor={}", cursor(key, NOBODY, &incidents))).await.ok();
        }
        for (list, cursor) in [("automations", cursor("a\0b", NOBODY, &automations)), ("systems", cursor("", "\0", "systems"))] {
            node.get(&format!("/{list}?cursor={cursor}")).await.problem(400, "bad_cursor");
        }
        let made = create(&node, definition("A", log("x"))).await;
        let id = made["id"].as_str().expect("an id");
        let decisions = fingerprint(&(id, &none, &none, &none));
        let path = format!("/automations/{id}/decisions?cursor={}", cursor("0", "x", &decisions));
        node.get(&path).await.problem(400, "bad_cursor");
        node.shutdown().await;
    }

    async fn api_1_8_the_total_is_given_to_those_who_ask_for_it(db: TestDb) {
        let node = boot(&db).await;
        create(&node, definition("A", json!([]))).await;
        create(&node, definition("B", json!([]))).await;
        let total = async |query: &str| node.get(&format!("/automations?{query}")).await.ok().get("total").cloned();
        assert_eq!(total("count=true&limit=1&q=a").await, Some(json!(1)));
        assert_eq!(total("count=true").await, Some(json!(2)));
        assert_eq!((total("count=false").await, total("").await), (None, None));
        for wrong in ["1", "", "yes", "True"] {
            node.get(&format!("/automations?count={wrong}")).await.problem(400, "bad_parameter");
        }
        node.shutdown().await;
    }
}
