//! Runs: started by hand, listed, cancelled.

use crate::world::{all, boot, create, definition, field, path, run_that_is, start};
use serde_json::{Value, json};
use std::time::Duration;
use test_kit::{TestDb, both_engines, stays};

const UNKNOWN: &str = "019bc186-de00-7001-8000-00000000ffff";

both_engines! {
    async fn api_13_16_a_manual_run_starts_by_trigger_id_on_a_disabled_automation_too(db: TestDb) {
        let node = boot(&db).await;
        let d = json!({"name": "A", "triggers": [{"id": "made", "event": "catalog.created", "filter": "false"}, {"event": "catalog.deleted"}], "conditions": ["false"], "actions": []});
        let body = json!({"definition": d, "status": "disabled"});
        let made = node.post("/automations", body).await.expect(201);
        let run = start(&node, &made, json!({"trigger_id": "made", "payload": {"systemId": "pay"}})).await;
        let run = run_that_is(&node, &run, "success").await;
        assert_eq!((&run["trigger_id"], &run["trigger_event_id"]), (&json!("made"), &json!("catalog.created")));
        assert_eq!((&run["context_key"], &run["trigger_payload"]), (&json!("pay"), &json!({"systemId": "pay"})));
        assert_eq!(run["actor"], json!({"type": "user", "id": "anna", "name": "Anna"}));
        assert_eq!((&run["automation_id"], &run["definition_version"]), (&made["id"], &json!(1)));
        assert_eq!((&run["started_at"], &run["finished_at"]), (&json!("2026-01-15T12:00:00.000Z"), &json!("2026-01-15T12:00:00.000Z")));
        assert_eq!((run.get("error_code"), &run["steps"], &run["artifacts"]), (None, &json!([]), &json!([])));
        let by_derived_id = start(&node, &made, json!({"trigger_id": "catalog_deleted", "payload": {"systemId": "pay"}})).await;
        assert_eq!(node.get(&by_derived_id).await.ok()["trigger_event_id"], "catalog.deleted");
        let first = start(&node, &made, json!({"payload": {"systemId": "x"}})).await;
        assert_eq!(node.get(&first).await.ok()["trigger_id"], "made", "the first trigger unless one is named");

        let runs = format!("{}/runs", path("automations", &made));
        let problem = node.post(&runs, json!({"trigger_id": "none"})).await.problem(422, "unknown_trigger_id");
        assert!(problem["detail"].as_str().is_some_and(|d| d.contains("made")), "{problem}");
        node.post(&runs, json!({"payload": {"systemId": 5}})).await.problem(422, "invalid_payload");
        node.post(&runs, json!({"payload": {"systemId": 5}, "validate_payload": false})).await.expect(202);
        let large = json!({"payload": {"systemId": "x".repeat(256 * 1024)}});
        node.post(&runs, large).await.problem(413, "payload_too_large");
        let problem = node.post(&runs, json!({"paylod": {}})).await.problem(422, "invalid_request");
        assert_eq!((&problem["errors"][0]["pointer"], &problem["errors"][0]["code"]), (&json!("/paylod"), &json!("unknown_field")));
        let problem = node.post(&runs, json!({"gates": "some"})).await.problem(422, "invalid_request");
        assert_eq!((&problem["errors"][0]["pointer"], &problem["errors"][0]["code"]), (&json!("/gates"), &json!("bad_enum")));
        let gated = json!({"gates": "all", "payload": {"systemId": "pay"}});
        let problem = node.post(&runs, gated.clone()).await.problem(409, "run_blocked");
        assert!(problem["detail"].as_str().is_some_and(|d| d.contains("`enabled`")), "{problem}");
        node.patch(&path("automations", &made), json!({"status": "enabled"})).if_match(1).await.ok();
        let problem = node.post(&runs, gated).await.problem(409, "run_blocked");
        assert!(problem["detail"].as_str().is_some_and(|d| d.contains("`filter`")), "{problem}");
        let dwells = json!({"name": "B", "triggers": [{"event": "catalog.created", "for": {"seconds": 90}}], "actions": []});
        let dwells = node.post("/automations", json!({"definition": dwells})).await.expect(201);
        let gated = json!({"gates": "all", "payload": {"systemId": "pay"}});
        let armed = node.post(&format!("{}/runs", path("automations", &dwells)), gated).await.expect(202);
        assert_eq!(armed, json!({"dwell": {"fire_at": "2026-01-15T12:01:30.000Z"}}));
        node.post(&format!("/automations/{UNKNOWN}/runs"), json!({})).await.problem(404, "not_found");
        node.shutdown().await;
    }

    async fn api_13_17_a_run_that_waits_is_answered_at_once(db: TestDb) {
        let node = boot(&db).await;
        let made = create(&node, definition("A", json!([{"delay": {"seconds": 3600}}]))).await;
        let run = start(&node, &made, json!({"payload": {"systemId": "pay"}})).await;
        let run = run_that_is(&node, &run, "waiting").await;
        assert_eq!((run.get("finished_at"), &run["steps"][0]["status"]), (None, &json!("waiting")));
        node.shutdown().await;
    }

    async fn api_13_18_cancelling_ends_a_waiting_run_for_good(db: TestDb) {
        let node = boot(&db).await;
        let made = create(&node, definition("A", json!([{"delay": {"seconds": 3600}}, {"action": "incident.create", "config": {"title": "x", "severity": "minor", "systemIds": ["a"]}}]))).await;
        let run = start(&node, &made, json!({"payload": {"systemId": "pay"}})).await;
        run_that_is(&node, &run, "waiting").await;
        let cancelled = node.post(&format!("{run}/cancel"), json!({"reason": "not today"})).await.expect(200);
        assert_eq!((&cancelled["status"], &cancelled["error_code"], &cancelled["error_message"]), (&json!("cancelled"), &json!("cancelled_by_operator"), &json!("not today")));
        assert_eq!(cancelled["finished_at"], "2026-01-15T12:00:00.000Z");
        node.clock().advance(Duration::from_secs(7200));
        assert!(stays(async || node.get("/incidents").await.ok()["items"] == json!([])).await);
        let again = node.post(&format!("{run}/cancel"), json!({})).await.expect(200);
        assert_eq!(again, cancelled, "a second cancel changes nothing");
        let detail = node.get(&run).await.ok();
        assert_eq!(detail["steps"].as_array().unwrap().len(), 1, "steps stay");
        node.post(&format!("/runs/{UNKNOWN}/cancel"), json!({})).await.problem(404, "not_found");
        node.post("/runs/nonsense/cancel", json!({})).await.problem(404, "not_found");
        node.get(&format!("/runs/{UNKNOWN}")).await.problem(404, "not_found");
        node.shutdown().await;
    }

    async fn api_13_20_a_replay_scope_keeps_trigger_and_artifacts_when_the_run_is_over(db: TestDb) {
        let node = boot(&db).await;
        let made = create(&node, definition("A", json!([
            {"id": "open", "action": "incident.create", "config": {"title": "x", "severity": "minor", "systemIds": ["a"]}},
            {"variables": {"v": "{{ trigger.payload.systemId }}"}},
            {"delay": {"seconds": 3600}},
        ]))).await;
        let run = start(&node, &made, json!({"payload": {"systemId": "pay"}})).await;
        run_that_is(&node, &run, "waiting").await;
        let path = format!("{run}/replay-scope");
        let scope = node.get(&path).await.ok();
        assert_eq!(scope["scope_snapshot_available"], true);
        let context = &scope["context"];
        assert_eq!(context["trigger"], json!({
            "id": "made", "event": "catalog.created", "payload": {"systemId": "pay"},
            "actor": {"type": "user", "id": "anna", "name": "Anna"},
        }));
        assert_eq!((&context["var"], context.get("repeat")), (&json!({"v": "pay"}), None));
        assert!(context["artifacts"]["open"]["incident"].is_object(), "{context}");
        let automation = made["id"].as_str().unwrap();
        let same = node.get(&format!("{path}?automation_id={automation}&action_path=actions[2]")).await.ok();
        assert_eq!(same, scope);
        let first = node.get(&format!("{path}?action_path=actions[0]")).await.ok();
        assert_eq!(first["context"]["artifacts"], json!({}));

        node.get(&format!("{path}?automation_id={UNKNOWN}")).await.problem(404, "not_found");
        node.get(&format!("/runs/{UNKNOWN}/replay-scope")).await.problem(404, "not_found");
        node.get(&format!("{path}?action_path=actions[7]")).await.problem(400, "bad_parameter");
        node.get(&format!("{path}?actionPath=actions[0]")).await.problem(400, "bad_parameter");

        node.post(&format!("{run}/cancel"), json!({})).await.expect(200);
        let ended = node.get(&path).await.ok();
        assert_eq!((&ended["scope_snapshot_available"], &ended["context"]["var"]), (&json!(false), &json!({})));
        for kept in ["trigger", "artifacts"] {
            assert_eq!(ended["context"][kept], context[kept]);
        }
        node.shutdown().await;
    }

    async fn lists_of_runs_are_filtered(db: TestDb) {
        let node = boot(&db).await;
        let stop = json!([{"choose": [{"when": "trigger.payload.systemId == \"bad\"", "sequence": [{"stop": {"error": true, "reason": "bad"}}]}, {"when": "trigger.payload.systemId == \"slow\"", "sequence": [{"delay": {"seconds": 3600}}]}]}]);
        let one = node.post("/automations", json!({"definition": {"name": "one", "mode": "parallel", "max_runs": 50, "triggers": [{"id": "made", "event": "catalog.created"}, {"id": "gone", "event": "catalog.deleted"}], "actions": stop}})).await.expect(201);
        let two = create(&node, definition("two", json!([]))).await;
        // One a minute, each told apart by what it is about.
        for (automation, trigger, system, ends) in [(&one, "made", "good", "success"), (&one, "gone", "bad", "failed"), (&one, "made", "slow", "waiting"), (&two, "made", "good", "success"), (&two, "made", "other", "success")] {
            let run = start(&node, automation, json!({"trigger_id": trigger, "payload": {"systemId": system}})).await;
            run_that_is(&node, &run, ends).await;
            node.clock().advance(Duration::from_secs(60));
        }
        let id = one["id"].as_str().unwrap();
        for (path, query, expected) in [
            ("/runs".to_owned(), "".to_owned(), vec!["other", "good", "slow", "bad", "good"]),
            ("/runs".into(), "status=failed".into(), vec!["bad"]),
            ("/runs".into(), "status=failed&status=waiting".into(), vec!["slow", "bad"]),
            ("/runs".into(), "status=waiting&status=failed&status=waiting".into(), vec!["slow", "bad"]),
            ("/runs".into(), "status=pending".into(), vec![]),
            ("/runs".into(), "trigger_id=gone".into(), vec!["bad"]),
            ("/runs".into(), "context_key=good".into(), vec!["good", "good"]),
            ("/runs".into(), format!("automation_id={id}"), vec!["slow", "bad", "good"]),
            (format!("/automations/{id}/runs"), "".into(), vec!["slow", "bad", "good"]),
            (format!("/automations/{id}/runs"), "status=success&status=failed".into(), vec!["bad", "good"]),
            ("/runs".into(), "started_after=2026-01-15T12:01:00Z".into(), vec!["other", "good", "slow", "bad"]),
            ("/runs".into(), "started_before=2026-01-15T12:01:00Z".into(), vec!["good"]),
            ("/runs".into(), "started_after=2026-01-15T12:01:00.001Z&started_before=2026-01-15T13:03:00%2B01:00".into(), vec!["slow"]),
            ("/runs".into(), format!("started_after=2026-01-15T12:00:30Z&automation_id={id}&status=failed&trigger_id=gone&context_key=bad"), vec!["bad"]),
        ] {
            for limit in [1, 2, 200] {
                let found = all(&node, &format!("{path}?{query}"), limit).await;
                assert_eq!(field(&found, "context_key"), expected, "{path}?{query} by {limit}");
            }
        }
        let runs = format!("/automations/{id}/runs");
        for query in ["status=done", "started_after=yesterday", "started_before=1", "automation_id=x", "triger_id=made", "context_key=a&context_key=b"] {
            node.get(&format!("/runs?{query}")).await.problem(400, "bad_parameter");
        }
        node.get(&format!("{runs}?automation_id={id}")).await.problem(400, "bad_parameter");
        node.get(&format!("/automations/{UNKNOWN}/runs")).await.problem(404, "not_found");
        let page = node.get("/runs?limit=1").await.ok();
        let cursor = page["next_cursor"].as_str().expect("more");
        for query in ["status=failed", "trigger_id=made", "context_key=good", "started_after=2026-01-15T12:01:00Z", "started_before=2026-01-15T12:01:00Z"] {
            node.get(&format!("/runs?{query}&cursor={cursor}")).await.problem(400, "bad_cursor");
        }
        node.get("/runs?cursor=e30").await.problem(400, "bad_cursor");
        // The order of statuses is no other filter.
        let page = node.get("/runs?limit=1&status=failed&status=waiting").await.ok();
        let cursor = page["next_cursor"].as_str().expect("more");
        let rest = node.get(&format!("/runs?status=waiting&status=failed&cursor={cursor}")).await.ok();
        assert_eq!(rest["items"].as_array().map(Vec::len), Some(1));
        assert_ne!(rest["items"][0]["status"], Value::Null);
        node.shutdown().await;
    }
}
