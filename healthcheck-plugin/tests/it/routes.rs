//! The routes and what they refuse; actions; the end of a system.

use crate::{
    engine::SYSTEM_HANDLE,
    world::{World, at_once, rule},
};
use automation_core::{
    ids::{AutomationId, RunId},
    registry::{ActionCx, ActionResult, ActionScope, Cancel, LogLevel, RunLog},
};
use automation_entity::MutateOpts;
use healthcheck_plugin::{
    CONFIGURATION_MANAGE, CONFIGURATION_READ, DETAILS_READ,
    store::runs::{self, Run},
};
use plugin_api::{Clock, Conn, Id, Text, Tx};
use serde_json::{Value, json};
use std::sync::Arc;
use test_kit::{both_engines, eventually};

struct NoLog;
impl RunLog for NoLog {
    fn line(&self, _level: LogLevel, _message: &str) {}
}

async fn act(w: &World, action: &str, config: Value) -> ActionResult {
    let (_keep, cancel) = Cancel::new();
    let clock = w.node.clock();
    let cx = ActionCx {
        consumed: Default::default(),
        scope: ActionScope::default(),
        run_id: RunId::new(clock.as_ref()),
        automation_id: AutomationId::new(clock.as_ref()),
        context_key: None,
        step_path: "actions.0".into(),
        idempotency_key: "run:actions.0".into(),
        attempt: 1,
        log: Arc::new(NoLog),
        services: w.node.services("healthcheck"),
        cancel,
    };
    let registered = w.registries.action(action).expect("registered");
    registered
        .action
        .execute(config, &cx)
        .await
        .expect("a decodable config")
}

fn tcp(port: u16) -> Value {
    json!({ "strategy": "tcp", "interval_seconds": 60, "config": { "host": "127.0.0.1", "port": port } })
}

both_engines! {
    async fn a_check_is_put_by_name_any_number_of_times(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        let (status, first) = w.call("PUT", "/checks/db", tcp(5432)).await;
        assert_eq!(status, 201);
        assert_eq!(first["strategy"], json!("healthcheck-tcp.tcp"));
        assert_eq!(first["config"], json!({ "host": "127.0.0.1", "port": 5432, "timeout": 30_000 }));
        let (status, again) = w.call("PUT", "/checks/DB", tcp(5432)).await;
        assert_eq!((status, &again), (200, &first));
        let (status, changed) = w.call("PUT", "/checks/db", tcp(5433)).await;
        assert_eq!(status, 200);
        assert_eq!((&changed["id"], &changed["config"]["port"]), (&first["id"], &json!(5433)));
        let by_id = w.ok("GET", format!("/checks/{}", first["id"].as_str().unwrap()), Value::Null).await;
        assert_eq!(by_id, changed);

        let mut taken = tcp(1);
        taken["name"] = json!("Db");
        let (status, problem) = w.call("POST", "/checks", taken).await;
        assert_eq!((status, &problem["code"]), (409, &json!("already_exists")));
        let (status, problem) = w.call("PUT", "/checks/bad", json!({ "strategy": "tcp", "interval_seconds": 60, "config": { "port": 0 } })).await;
        assert_eq!((status, &problem["code"]), (422, &json!("invalid_request")));
        let pointers: Vec<&str> = problem["errors"].as_array().unwrap().iter().filter_map(|e| e["pointer"].as_str()).collect();
        assert_eq!(pointers, ["/config/host", "/config/port"]);
        let (status, _) = w.call("PUT", "/checks/bad", json!({ "strategy": "tcp", "interval_seconds": 60, "colectors": [] })).await;
        assert_eq!(status, 422);
        let (status, _) = w.call("GET", "/checks/bad", Value::Null).await;
        assert_eq!(status, 404, "nothing was stored");
    }

    async fn validation_answers_issues_or_the_normal_form(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        let mut body = tcp(5432);
        body["name"] = json!("db");
        let fine = w.ok("POST", "/checks/validate".into(), body.clone()).await;
        assert_eq!(fine["issues"], json!([]));
        body.as_object_mut().unwrap().remove("name");
        let stored = w.ok("PUT", "/checks/db".into(), body).await;
        for (key, value) in fine["normalized"].as_object().expect("the normal form") {
            assert_eq!(&stored[key], value, "{key}");
        }
        let bad = json!({ "name": "db", "strategy": "tcp", "interval_seconds": 0, "extra": 1, "config": {} });
        let bad = w.ok("POST", "/checks/validate".into(), bad).await;
        let paths: Vec<&Value> = bad["issues"].as_array().unwrap().iter().map(|i| &i["path"]).collect();
        assert_eq!(paths, [&json!(["extra"]), &json!(["interval_seconds"]), &json!(["config", "host"]), &json!(["config", "port"])]);
        assert_eq!(bad.get("normalized"), None);
    }

    async fn checks_come_in_pages_by_name(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        for name in ["b", "C", "a", "%C3%84rger", "%C3%B6l"] {
            w.ok("PUT", format!("/checks/{name}"), tcp(1)).await;
        }
        let page = w.ok("GET", "/checks?limit=2".into(), Value::Null).await;
        let names = |p: &Value| -> Vec<String> {
            p["items"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names(&page), ["a", "b"]);
        let cursor = page["next_cursor"].as_str().expect("more");
        let page = w.ok("GET", format!("/checks?limit=2&cursor={cursor}"), Value::Null).await;
        assert_eq!(page["items"].as_array().unwrap().len(), 2);
        let mut seen = names(&page);
        let cursor = page["next_cursor"].as_str().expect("more");
        let page = w.ok("GET", format!("/checks?limit=2&cursor={cursor}"), Value::Null).await;
        assert_eq!(page.get("next_cursor"), None);
        seen.extend(names(&page));
        seen.sort_unstable();
        assert_eq!(seen, ["C", "Ärger", "öl"]);
        // The same name in another case, in any script.
        let (status, again) = w.call("PUT", "/checks/%C3%A4RGER", tcp(1)).await;
        assert_eq!((status, &again["name"]), (200, &json!("Ärger")));
        let mut taken = tcp(1);
        taken["name"] = json!("ÖL");
        let (status, problem) = w.call("POST", "/checks", taken).await;
        assert_eq!((status, &problem["code"]), (409, &json!("already_exists")));
        let (status, problem) = w.call("GET", "/checks?cursor=x", Value::Null).await;
        assert_eq!((status, &problem["code"]), (400, &json!("bad_cursor")));
    }

    async fn assignments_are_checked_and_idempotent(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        w.ok("PUT", "/checks/db".into(), tcp(1)).await;
        let path = "/checks/db/assignments/shop";
        let (status, first) = w.call("PUT", path, json!({})).await;
        assert_eq!(status, 201);
        assert_eq!(first["state_thresholds"]["degraded"]["minFailureCount"], json!(2));
        w.node.clock().advance(std::time::Duration::from_secs(5));
        let (status, again) = w.call("PUT", path, json!({})).await;
        assert_eq!((status, again), (200, first));
        for (thresholds, reason) in [
            (json!({ "unhealthy": { "minFailureCount": 101 } }), "101"),
            (json!({ "degraded": { "minFailureCount": 6 } }), "unhealthy.minFailureCount (5)"),
        ] {
            let (status, problem) = w.call("PUT", path, json!({ "state_thresholds": thresholds })).await;
            assert_eq!(status, 422);
            let message = problem["errors"][0]["message"].as_str().unwrap();
            assert!(message.contains(reason), "{message}");
        }
        let old = json!({ "suppressDeEscalations": true, "autoOpenIncidentOnUnhealthy": true });
        let policy = w.ok("PUT", path.into(), json!({ "notification_policy": old })).await;
        assert_eq!(policy["notification_policy"], json!({ "suppressDeEscalations": true }));
        let (status, _) = w.call("PUT", "/checks/nope/assignments/shop", json!({})).await;
        assert_eq!(status, 404);
        let (status, _) = w.call("DELETE", "/checks/db/assignments/other", Value::Null).await;
        assert_eq!(status, 404);
        for path in ["/assignments?system_id=shop", "/systems/shop/checks", "/checks/db/assignments"] {
            let list = w.ok("GET", path.into(), Value::Null).await;
            assert_eq!(list["items"].as_array().unwrap().len(), 1, "{path}");
            assert_eq!(list["items"][0]["check"], json!("db"));
        }
    }

    async fn a_changed_threshold_changes_health_at_once(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        w.check("api", &["shop"], json!({})).await;
        w.run_as("api", "shop", true).await;
        assert_eq!(w.health("shop").await.0, "healthy");
        w.ok("PUT", "/checks/api/assignments/shop".into(), json!({ "state_thresholds": at_once() })).await;
        assert_eq!(w.health("shop").await.0, "unhealthy");
        assert_eq!(w.event_ids(2).await, ["healthcheck.system_degraded", "healthcheck.system_health_changed"]);
    }

    async fn deleting_a_check_recovers_its_systems(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        w.check("api", &["shop", "blog"], at_once()).await;
        w.check("web", &["shop"], at_once()).await;
        w.run_as("api", "shop", true).await;
        w.events(2).await;
        w.ok("DELETE", "/checks/api".into(), Value::Null).await;
        assert_eq!(w.event_ids(4).await[2..], ["healthcheck.system_healthy", "healthcheck.system_health_changed"]);
        assert_eq!(w.health("blog").await, ("healthy".into(), 0, 0));
        // The history of the system outlives the check.
        assert_eq!(w.history("shop").await, [">unhealthy", "unhealthy>healthy"]);
    }

    async fn a_check_with_many_runs_is_deleted_with_all_of_them(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        let check = w.check("api", &["shop"], at_once()).await;
        w.run_as("api", "shop", true).await;
        let (clock, db) = (w.node.clock(), w.db());
        let mut tx = db.begin().await.expect("a transaction");
        for n in 1..=1100 {
            let run = Run {
                id: Id(clock.new_uuid()),
                configuration_id: Id(check["id"].as_str().unwrap().parse().unwrap()),
                system_id: Text::new("shop"),
                status: "healthy".into(),
                latency_ms: None,
                result: None,
                timestamp: clock.now().plus_millis(-n),
            };
            runs::insert(Conn::Tx(&mut tx), &run).await.expect("a run");
        }
        tx.commit().await.expect("stored");
        w.ok("DELETE", "/checks/api".into(), Value::Null).await;
        assert_eq!(db.sql(RUNS).one::<i64>().await.expect("a count"), 0);
        assert_eq!(w.call("GET", "/checks/api", Value::Null).await.0, 404);
        assert_eq!(w.health("shop").await, ("healthy".into(), 0, 0));
    }

    async fn a_deleted_system_is_forgotten(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        w.check("api", &["shop", "blog"], at_once()).await;
        w.run_as("api", "shop", true).await;
        let systems = w.node.service("automation", &SYSTEM_HANDLE).expect("the handle");
        let removed = async |_tx: &mut Tx| {
            w.seen.removed.lock().unwrap().insert("shop".into());
            Ok(())
        };
        systems.remove_in("shop", MutateOpts::default(), removed).await.expect("removed");
        eventually(async || w.health("shop").await == ("healthy".into(), 0, 0), "the system is forgotten").await;
        assert_eq!(w.runs("api", "shop").await, 0);
        assert_eq!(w.history("shop").await, Vec::<String>::new());
        assert_eq!(w.health("blog").await, ("healthy".into(), 1, 1));
    }

    async fn actions_switch_and_run_assignments(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        let check = w.check("api", &["shop"], at_once()).await;
        let target = json!({ "systemId": "shop", "configurationId": check["id"] });
        let done = act(&w, "healthcheck.run_now", target.clone()).await;
        assert!(done.success, "{done:?}");
        assert_eq!(done.artifact.expect("an artifact")["enqueued"], json!(true));
        assert_eq!(done.external_id, Some(format!("shop:{}", check["id"].as_str().unwrap())));
        eventually(async || w.runs("api", "shop").await == 1, "the run").await;

        let done = act(&w, "healthcheck.disable_assignment", target.clone()).await;
        assert_eq!(done.artifact.expect("an artifact")["enabled"], json!(false));
        assert_eq!(w.health("shop").await, ("healthy".into(), 0, 0));
        let refused = act(&w, "healthcheck.run_now", target.clone()).await;
        assert!(!refused.success && refused.error.as_ref().is_some_and(|e| e.contains("disabled")), "{refused:?}");
        assert!(act(&w, "healthcheck.enable_assignment", target.clone()).await.success);
        assert_eq!(w.health("shop").await, ("healthy".into(), 1, 1));

        // A check may be named; what the action leaves holds its id.
        let named = json!({ "systemId": "shop", "configurationId": "api" });
        for action in ["healthcheck.run_now", "healthcheck.enable_assignment"] {
            let done = act(&w, action, named.clone()).await;
            assert_eq!(done.artifact.expect("an artifact")["configurationId"], check["id"]);
            assert_eq!(done.external_id, Some(format!("shop:{}", check["id"].as_str().unwrap())));
        }

        let unknown = json!({ "systemId": "blog", "configurationId": check["id"] });
        let refused = act(&w, "healthcheck.enable_assignment", unknown).await;
        let expect = format!("Assignment not found: blog ↔ {}", check["id"].as_str().unwrap());
        assert_eq!(refused.error, Some(expect));
        w.ok("POST", "/checks/api/pause".into(), Value::Null).await;
        assert!(!act(&w, "healthcheck.run_now", target).await.success);
    }

    async fn strategies_tell_what_may_be_asserted(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        let list = w.ok("GET", "/check-strategies".into(), Value::Null).await;
        let http = &list["items"][0];
        assert_eq!(http["id"], json!("healthcheck-http.http"));
        let request = &http["collectors"][0];
        assert_eq!(request["config_schema"]["required"], json!(["url"]));
        let body = request["fields"].as_array().unwrap().iter().find(|f| f["name"] == "body").unwrap();
        assert_eq!(body["stored"], json!(false));
        assert!(body["json_path_operators"].as_array().unwrap().contains(&json!("lessThan")));
    }

    async fn rules_are_enforced(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        let read = [rule(&CONFIGURATION_READ)];
        let (status, problem) = w.call_as("PUT", "/checks/db", tcp(1), &read).await;
        assert_eq!(status, 403);
        assert!(problem["detail"].as_str().unwrap().contains(rule(&CONFIGURATION_MANAGE)));
        let (status, _) = w.call_as("GET", "/checks", Value::Null, &read).await;
        assert_eq!(status, 200);
        let (status, _) = w.call_as("GET", "/check-runs?check=db&system_id=shop", Value::Null, &read).await;
        assert_eq!(status, 403, "{}", rule(&DETAILS_READ));
        let (status, _) = w.call_as("GET", "/health/shop", Value::Null, &[]).await;
        assert_eq!(status, 200, "status is public");
        let (status, states) = w.call("GET", "/health-state?id=a&id=b&window_minutes=30", Value::Null).await;
        assert_eq!(status, 200);
        assert_eq!(states["states"]["a"]["transition_window_minutes"], json!(30));
        assert_eq!(states["states"]["b"]["status"], json!("healthy"));
        for bad in ["/health-state", "/health-state?id=a&window_minutes=0", "/health-state?ids=a"] {
            let (status, _) = w.call("GET", bad, Value::Null).await;
            assert_eq!(status, 400, "{bad}");
        }
    }
}

plugin_api::statements! {
    RUNS = "select count(*) from health_check_runs";
}
