//! `/automations`: one automation at a time.

use crate::world::{boot, create, definition, path, run_that_is, start};
use futures::future::join_all;
use serde_json::{Value, json};
use test_kit::{TestDb, both_engines, stays};

const YAML: &str = "# By hand.\nname: From YAML\ntriggers:\n  - event: catalog.created\nactions:\n  - action: automation.log\n    config: { message: made }\n";

fn log(message: &str) -> Value {
    json!([{"action": "automation.log", "config": {"message": message}}])
}

both_engines! {
    async fn api_13_3_creating_from_yaml_writes_the_defaults_out(db: TestDb) {
        let node = boot(&db).await;
        let answer = node.http("POST", "/automations").text("application/yaml", YAML).await;
        assert_eq!(answer.header("etag"), Some("\"1\""));
        let location = answer.header("location").expect("a location").to_owned();
        let made = answer.expect(201);
        assert_eq!(location, format!("/api/v1{}", path("automations", &made)));
        assert_eq!((&made["name"], &made["status"], &made["health"]), (&json!("From YAML"), &json!("enabled"), &json!("ok")));
        assert_eq!((&made["version"], &made["definition_version"]), (&json!(1), &json!(1)));
        let d = &made["definition"];
        assert_eq!((&d["mode"], &d["triggers"][0]["id"]), (&json!("single"), &Value::Null), "{d}");
        assert_eq!(made.get("group"), None, "absent means not set");
        let answer = node.get(&path("automations", &made)).await;
        assert_eq!(answer.header("etag"), Some("\"1\""));
        assert_eq!(answer.ok(), made);
        let answer = node.get(&path("automations", &made)).header("if-none-match", "\"1\"").await;
        assert_eq!((answer.status, answer.text.as_str()), (304, ""));
        node.get(&path("automations", &made)).header("if-none-match", "\"7\"").await.expect(200);
        node.shutdown().await;
    }

    async fn a_definition_is_read_in_both_forms_and_replaced_in_both(db: TestDb) {
        let node = boot(&db).await;
        let made = node.http("POST", "/automations").text("application/yaml", YAML).await.expect(201);
        let at = format!("{}/definition", path("automations", &made));
        let answer = node.get(&at).await;
        assert_eq!((answer.header("etag"), &answer.body), (Some("\"1\""), &made["definition"]));
        let answer = node.get(&format!("{at}?form=minimal")).header("accept", "application/yaml").await;
        assert_eq!(answer.header("content-type"), Some("application/yaml"));
        assert!(answer.text.starts_with("name: From YAML\n") && !answer.text.contains("mode"), "{}", answer.text);
        node.get(&format!("{at}?form=maximal")).await.problem(400, "bad_parameter");

        node.http("PUT", &at).text("application/yaml", YAML).await.problem(428, "version_required");
        let changed = YAML.replace("made }", "again }");
        let answer = node.http("PUT", &at).text("application/yaml", &changed).if_match(1).await;
        assert_eq!(answer.header("etag"), Some("\"2\""));
        assert_eq!(answer.ok()["definition"]["actions"][0]["config"]["message"], "again");
        let put = node.http("PUT", &at).json(&made["definition"]).if_match(2).await.ok();
        assert_eq!((&put["definition"], &put["definition_version"]), (&made["definition"], &json!(3)));
        node.shutdown().await;
    }

    async fn api_13_4_an_unknown_action_is_refused_unless_it_is_a_draft(db: TestDb) {
        let node = boot(&db).await;
        let bad = definition("Bad", json!([{"action": "incident.creat", "config": {}}]));
        let problem = node.post("/automations", json!({"definition": bad})).await.problem(422, "invalid_definition");
        let issue = &problem["issues"][0];
        assert_eq!((&issue["code"], &issue["severity"]), (&json!("unknown_action"), &json!("error")));
        assert_eq!(issue["path"], json!(["actions", 0, "action"]));
        assert!(issue["message"].as_str().is_some_and(|m| !m.is_empty()), "{issue}");
        let draft = node.post("/automations", json!({"definition": bad, "status": "disabled"})).await.expect(201);
        assert_eq!((&draft["health"], &draft["issues"][0]["code"]), (&json!("degraded"), &json!("unknown_action")));
        // Enabling validates again.
        let at = path("automations", &draft);
        node.patch(&at, json!({"status": "enabled"})).if_match(1).await.problem(422, "invalid_definition");
        let fixed = node.patch(&at, json!({"status": "enabled", "definition": definition("Good", log("x"))})).if_match(1).await.ok();
        assert_eq!((&fixed["health"], fixed.get("issues"), &fixed["status"]), (&json!("ok"), None, &json!("enabled")));
        // Structure is never stored.
        for body in [json!({"definition": {"name": "x", "triggers": [], "actions": []}, "status": "disabled"}), json!({"definition": 5}), json!({"definition": null})] {
            node.post("/automations", body).await.problem(422, "invalid_definition");
        }
        node.patch(&at, json!({"definition": null})).if_match(2).await.problem(422, "invalid_definition");
        node.shutdown().await;
    }

    async fn api_13_6_writes_need_the_version_and_one_of_two_wins(db: TestDb) {
        let node = boot(&db).await;
        let made = create(&node, definition("A", log("x"))).await;
        let at = path("automations", &made);
        let body = json!({"definition": definition("A", log("y"))});
        node.put(&at, body.clone()).await.problem(428, "version_required");
        node.patch(&at, json!({"name": "B"})).await.problem(428, "version_required");
        node.delete(&at).await.problem(428, "version_required");
        node.put(&at, body.clone()).if_match(7).await.problem(412, "version_mismatch");
        node.put(&at, body.clone()).header("if-match", "\"x\"").await.problem(412, "version_mismatch");
        let race = (0..8).map(|n| node.put(&at, json!({"definition": definition("A", log(&format!("{n}")))})).if_match(1).into_future());
        let mut statuses: Vec<u16> = join_all(race).await.iter().map(|a| a.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 412, 412, 412, 412, 412, 412, 412]);
        let answer = node.get(&at).await;
        assert_eq!(answer.header("etag"), Some("\"2\""));
        node.delete(&at).if_match(1).await.problem(412, "version_mismatch");
        node.delete(&at).header("if-match", "W/\"2\"").await.expect(204);
        node.get(&at).await.problem(404, "not_found");
        node.delete(&at).if_match(2).await.problem(404, "not_found");
        node.shutdown().await;
    }

    async fn api_13_7_null_clears_and_groups_are_trimmed(db: TestDb) {
        let node = boot(&db).await;
        let body = json!({"definition": definition("A", log("x")), "group": "  Ops ", "description": "d"});
        let made = node.post("/automations", body).await.expect(201);
        assert_eq!((&made["group"], &made["description"]), (&json!("Ops"), &json!("d")));
        let at = path("automations", &made);
        let same = node.patch(&at, json!({})).if_match(1).await.ok();
        assert_eq!(same, made, "nothing changes, the version neither");
        let cleared = node.patch(&at, json!({"group": null, "description": null})).if_match(1).await.ok();
        assert_eq!((cleared.get("group"), cleared.get("description"), &cleared["version"]), (None, None, &json!(2)));
        assert_eq!(cleared["definition_version"], json!(1), "the definition has not changed");
        let long = node.patch(&at, json!({"group": "g".repeat(121)})).if_match(2).await.problem(422, "invalid_request");
        assert_eq!((&long["errors"][0]["pointer"], &long["errors"][0]["code"]), (&json!("/group"), &json!("bad_length")));
        for (body, pointer, code) in [
            (json!({"name": null}), "/name", "wrong_type"),
            (json!({"name": " "}), "/name", "bad_length"),
            (json!({"status": "on"}), "/status", "bad_enum"),
            (json!({"stauts": "enabled"}), "/stauts", "unknown_field"),
        ] {
            let problem = node.patch(&at, body).if_match(2).await.problem(422, "invalid_request");
            assert_eq!((&problem["errors"][0]["pointer"], &problem["errors"][0]["code"]), (&json!(pointer), &json!(code)), "{problem}");
        }
        // PUT replaces all of it.
        let put = node.put(&at, json!({"definition": definition("A", log("x")), "group": "New"})).if_match(2).await.ok();
        assert_eq!((&put["group"], put.get("description"), &put["status"]), (&json!("New"), None, &json!("enabled")));
        node.shutdown().await;
    }

    async fn api_13_11_deleting_takes_runs_along_and_a_waiting_run_never_resumes(db: TestDb) {
        let node = boot(&db).await;
        let actions = json!([{"delay": {"seconds": 60}}, {"action": "incident.create", "config": {"title": "x", "severity": "minor", "systemIds": ["a"]}}]);
        let made = create(&node, definition("A", actions)).await;
        let run = start(&node, &made, json!({"payload": {"systemId": "a"}})).await;
        run_that_is(&node, &run, "waiting").await;
        node.delete(&path("automations", &made)).if_match(1).await.expect(204);
        node.get(&run).await.problem(404, "not_found");
        assert_eq!(node.get("/runs").await.ok()["items"], json!([]));
        node.clock().advance(std::time::Duration::from_secs(120));
        assert!(stays(async || node.get("/incidents").await.ok()["items"] == json!([])).await);
        node.shutdown().await;
    }

    async fn armed_dwells_are_listed(db: TestDb) {
        let node = boot(&db).await;
        let mut d = definition("A", log("x"));
        d["triggers"][0]["for"] = json!({"minutes": 10});
        let made = create(&node, d).await;
        node.post("/systems", json!({"id": "pay", "name": "Payments"})).await.expect(201);
        let at = format!("{}/timers", path("automations", &made));
        let timer = test_kit::until(async || node.get(&at).await.ok()["items"].get(0).cloned(), "the dwell").await;
        let expected = json!({"kind": "dwell", "trigger_id": "made", "event_id": "catalog.created", "context_key": "pay", "created_at": "2026-01-15T12:00:00.000Z", "fire_at": "2026-01-15T12:10:00.000Z"});
        assert_eq!(timer, expected);
        node.shutdown().await;
    }

    async fn api_3_timers_tell_the_next_ticks_of_schedules_beside_the_dwells(db: TestDb) {
        let node = boot(&db).await;
        let d = json!({"name": "A", "actions": [], "triggers": [
            {"id": "made", "event": "catalog.created", "for": {"minutes": 90}},
            {"id": "hourly", "event": "automation.cron", "config": {"cronPattern": "0 * * * *"}},
            {"event": "automation.interval", "config": {"intervalSeconds": 600}},
        ]});
        let made = create(&node, d).await;
        node.post("/systems", json!({"id": "pay", "name": "Payments"})).await.expect(201);
        let at = path("automations", &made);
        let timers = async || node.get(&format!("{at}/timers")).await.ok()["items"].as_array().cloned().filter(|items| items.len() == 3);
        let items = test_kit::until(timers, "the dwell and both ticks").await;
        assert_eq!(items[0], json!({"kind": "tick", "trigger_id": "automation_interval", "event_id": "automation.interval", "fire_at": "2026-01-15T12:10:00.000Z"}));
        assert_eq!(items[1], json!({"kind": "tick", "trigger_id": "hourly", "event_id": "automation.cron", "fire_at": "2026-01-15T13:00:00.000Z"}));
        assert_eq!((&items[2]["kind"], &items[2]["context_key"], &items[2]["fire_at"]), (&json!("dwell"), &json!("pay"), &json!("2026-01-15T13:30:00.000Z")));
        // What has fired is followed by what comes next.
        node.clock().advance(std::time::Duration::from_secs(601));
        let next = async || (node.get(&format!("{at}/timers")).await.ok()["items"][0]["fire_at"] == "2026-01-15T12:20:00.000Z").then_some(());
        test_kit::until(next, "the tick after the first").await;
        node.patch(&at, json!({"status": "disabled"})).if_match(1).await.ok();
        let gone = async || (node.get(&format!("{at}/timers")).await.ok()["items"] == json!([])).then_some(());
        test_kit::until(gone, "a disabled automation has nothing ahead").await;
        node.shutdown().await;
    }

    async fn bodies_of_another_kind_or_size_are_refused(db: TestDb) {
        let node = boot(&db).await;
        node.http("POST", "/automations").text("text/plain", "x").await.problem(415, "unsupported_media_type");
        node.http("POST", "/automations").text("application/json", "{\"definition\":").await.problem(400, "malformed_json");
        let problem = node.http("POST", "/automations").text("application/yaml", "a: [").await.problem(422, "invalid_definition");
        assert_eq!(problem["issues"][0]["code"], "yaml_syntax");
        let large = format!("name: {}\n", "x".repeat(256 * 1024));
        node.http("POST", "/automations").text("application/yaml", &large).await.problem(413, "payload_too_large");
        let problem = node.post("/automations", json!({"definiton": {}})).await.problem(422, "invalid_request");
        assert_eq!((&problem["errors"][0]["pointer"], &problem["errors"][0]["code"]), (&json!("/definiton"), &json!("unknown_field")));
        for managed in ["gitops", "auto-incident:1"] {
            let body = json!({"definition": definition("A", log("x")), "managed_by": managed});
            let problem = node.post("/automations", body).await.problem(422, "invalid_request");
            assert_eq!(problem["errors"][0]["pointer"], "/managed_by");
        }
        node.shutdown().await;
    }
}
