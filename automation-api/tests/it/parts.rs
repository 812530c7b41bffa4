//! Steps, artifacts and log lines of a run.

use crate::world::{all, boot, create, definition, field, run_that_is, start};
use serde_json::{Value, json};
use test_kit::{TestDb, both_engines};

plugin_api::statements! {
    MORE_STEPS = {
        sqlite: "with recursive n(i) as (select 1 union all select i + 1 from n where i < 1100)
            insert into automation_run_steps (id, run_id, action_path, action_kind, status, attempts, started_at)
            select printf('019bc186-de00-7001-9000-%012x', i), s.run_id, 'extra[' || i || ']', 'variables', 'success', 1, s.started_at + i / 10
            from n, automation_run_steps s where s.run_id = $1",
        postgres: "insert into signalbox.automation_run_steps (id, run_id, action_path, action_kind, status, attempts, started_at)
            select ('019bc186-de00-7001-9000-' || lpad(to_hex(i), 12, '0'))::uuid, s.run_id, 'extra[' || i || ']', 'variables', 'success', 1, s.started_at + i / 10 * interval '1 ms'
            from generate_series(1, 1100) i, signalbox.automation_run_steps s where s.run_id = $1",
    };
}

/// Three incidents, each with a line in the log.
fn actions() -> Value {
    let mut actions = Vec::new();
    for n in 0..3 {
        actions.push(json!({"id": format!("open{n}"), "action": "incident.create", "config": {"title": format!("i{n}"), "severity": "minor", "systemIds": ["{{ trigger.payload.systemId }}"]}}));
        actions.push(json!({"action": "automation.log", "config": {"message": format!("line {n}"), "level": "warn"}}));
    }
    actions.into()
}

both_engines! {
    async fn a_run_is_shown_with_its_parts(db: TestDb) {
        let node = boot(&db).await;
        let made = create(&node, definition("A", actions())).await;
        let path = start(&node, &made, json!({"payload": {"systemId": "pay"}})).await;
        let run = run_that_is(&node, &path, "success").await;
        let steps = run["steps"].as_array().expect("steps");
        assert_eq!(field(steps, "action_path"), (0..6).map(|n| format!("actions[{n}]")).collect::<Vec<_>>());
        let first = &steps[0];
        assert_eq!((&first["run_id"], &first["action_id"], &first["action_kind"]), (&run["id"], &json!("open0"), &json!("action")));
        assert_eq!((&first["provider_action_id"], &first["status"], &first["attempts"]), (&json!("incident.create"), &json!("success"), &json!(1)));
        assert_eq!(first.get("error_code"), None);
        assert_eq!(steps[1].get("action_id"), None);
        let artifacts = run["artifacts"].as_array().expect("artifacts");
        assert_eq!(field(artifacts, "action_id"), ["open0", "open1", "open2"]);
        let first = &artifacts[0];
        assert_eq!((&first["automation_id"], &first["run_id"], &first["step_id"]), (&made["id"], &run["id"], &steps[0]["id"]));
        assert_eq!((&first["artifact_type"], &first["context_key"], first.get("closed_at")), (&json!("incident.incident"), &json!("pay"), None));
        assert_eq!(first["data"]["systemIds"], json!(["pay"]));

        for (query, has) in [("include=steps", [true, false]), ("include=artifacts", [false, true]), ("include=steps,artifacts", [true, true]), ("include=steps&include=artifacts", [true, true]), ("include=", [false, false])] {
            let run = node.get(&format!("{path}?{query}")).await.ok();
            assert_eq!([run.get("steps").is_some(), run.get("artifacts").is_some()], has, "{query}");
        }
        node.get(&format!("{path}?include=logs")).await.problem(400, "bad_parameter");
        node.shutdown().await;
    }

    async fn parts_come_in_pages(db: TestDb) {
        let node = boot(&db).await;
        let made = create(&node, definition("A", actions())).await;
        let path = start(&node, &made, json!({"payload": {"systemId": "pay"}})).await;
        let other = start(&node, &made, json!({"payload": {"systemId": "shop"}})).await;
        let run = run_that_is(&node, &path, "success").await;
        run_that_is(&node, &other, "success").await;
        for limit in [1, 2, 4, 50] {
            assert_eq!(json!(all(&node, &format!("{path}/steps"), limit).await), run["steps"]);
            assert_eq!(json!(all(&node, &format!("{path}/artifacts"), limit).await), run["artifacts"]);
            let logs = all(&node, &format!("{path}/logs"), limit).await;
            assert_eq!(field(&logs, "message"), ["line 0", "line 1", "line 2"]);
            assert_eq!((&logs[0]["level"], &logs[0]["action_path"], &logs[0]["at"]), (&json!("warn"), &json!("actions[1]"), &json!("2026-01-15T12:00:00.000Z")));
        }
        for part in ["steps", "artifacts", "logs"] {
            let page = node.get(&format!("{path}/{part}?limit=1")).await.ok();
            let cursor = page["next_cursor"].as_str().expect("more");
            node.get(&format!("{other}/{part}?cursor={cursor}")).await.problem(400, "bad_cursor");
            node.get(&format!("{path}/{part}?cursor=x")).await.problem(400, "bad_cursor");
            node.get(&format!("{path}/{part}?limit=0")).await.problem(400, "bad_parameter");
            node.get(&format!("{path}/{part}?lim=5")).await.problem(400, "bad_parameter");
            node.get(&format!("/runs/nonsense/{part}")).await.problem(404, "not_found");
        }
        node.shutdown().await;
    }

    async fn a_long_run_shows_a_thousand_steps_and_where_the_rest_is(db: TestDb) {
        let node = boot(&db).await;
        let made = create(&node, definition("A", json!([{"variables": {"n": 1}}]))).await;
        let path = start(&node, &made, json!({"payload": {"systemId": "pay"}})).await;
        let run = run_that_is(&node, &path, "success").await;
        // No definition has so many actions; a loop has.
        let id: plugin_api::Id = serde_json::from_value(run["id"].clone()).expect("an id");
        db.db().sql(MORE_STEPS).bind(id).execute().await.expect("rows");
        let run = node.get(&path).await.ok();
        let shown = run["steps"].as_array().expect("steps");
        assert_eq!(shown.len(), 1000);
        let cursor = run["steps_next_cursor"].as_str().expect("more");
        let rest = node.get(&format!("{path}/steps?limit=200&cursor={cursor}")).await.ok();
        assert_eq!(rest.get("next_cursor"), None);
        let rest = rest["items"].as_array().expect("items");
        let mut paths: Vec<&str> = field(shown, "action_path");
        paths.extend(field(rest, "action_path"));
        let count = paths.len();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!((count, paths.len()), (1101, 1101), "every step once");
        node.shutdown().await;
    }
}
