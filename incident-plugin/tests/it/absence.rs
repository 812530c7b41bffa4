//! A database that is away for a moment, and requests that are repeated because nobody heard what came
//! of them: no incident is lost, none is left open, nothing is said twice.

use crate::world::{GATE, World, create, gated};
use plugin_api::{
    db::Sql,
    fail::{Action, DATABASE},
};
use serde_json::{Value, json};
use std::time::Duration;
use test_kit::{TestDb, advance_until, both_engines, eventually};

/// Runs an action whose writes begin while the database is away, and answers how the run ended once it
/// is back.
async fn act_without_database(w: &World, action: Value) -> String {
    let scope = w.node.scope();
    let (passed, failed) = (scope.visits(GATE), tried_again(w));
    scope.arm(GATE, Action::Hang);
    let automation = w.automation(json!([action])).await;
    let run = w.start(automation, Some("pay")).await;
    eventually(async || scope.visits(GATE) > passed, "the action begins").await;
    scope.arm(DATABASE, Action::Error(u32::MAX));
    scope.disarm(GATE);
    eventually(
        async || tried_again(w) > failed || ended(w, run).await,
        "the action has met its absence",
    )
    .await;
    scope.disarm(DATABASE);
    advance_until(
        &w.node.clock(),
        Duration::from_secs(1),
        async || ended(w, run).await,
        "the run ends",
    )
    .await;
    w.ended(run).await.status
}

async fn ended(w: &World, run: automation_core::RunId) -> bool {
    let found = w.node.engine().run(run).await.expect("the run");
    found.is_some_and(|r| r.finished_at.is_some())
}

fn tried_again(w: &World) -> usize {
    let part = "A write of a run does not go through";
    w.node.logs().find(tracing::Level::WARN, part).len()
}

both_engines! {
    async fn domains_1_7_a_moment_without_the_database_loses_no_incident_and_leaves_none_open(db: TestDb) {
        let w = World::boot(&db).await;
        let open = json!({"title": "pay is down", "severity": "critical", "systemIds": ["pay"], "dedupe_open_for_system": true});
        assert_eq!(act_without_database(&w, gated("incident.create", open)).await, "success");
        let incidents = w.incidents().await;
        assert_eq!(incidents.len(), 1, "{incidents:?}");
        let id = &incidents[0]["id"];
        for (action, config) in [
            ("incident.update_status", json!({"incidentId": id, "status": "fixing"})),
            ("incident.add_update", json!({"incidentId": id, "message": "looking"})),
            ("incident.resolve", json!({"incidentId": id})),
        ] {
            assert_eq!(act_without_database(&w, gated(action, config)).await, "success", "{action}");
        }
        assert_eq!(w.incident(id).await["status"], "resolved");
        assert_eq!(w.timeline(id).await, ["Status changed to fixing", "looking", "Incident resolved"]);
        w.node.shutdown().await;
    }

    async fn an_action_that_is_repeated_with_its_key_says_nothing_twice(db: TestDb) {
        let w = World::boot(&db).await;
        let twice = |action, config| {
            let mut action = gated(action, config);
            action["config"]["times"] = json!(2);
            json!([action])
        };
        let open = json!({"title": "pay is down", "severity": "critical", "systemIds": ["pay"], "initialMessage": "seen"});
        let (run, _) = w.act(twice("incident.create", open), Some("pay")).await;
        assert_eq!(run.status, "success", "{:?}", run.error_message);
        let incidents = w.incidents().await;
        assert_eq!(incidents.len(), 1, "{incidents:?}");
        let id = &incidents[0]["id"];
        for (action, config) in [
            ("incident.add_update", json!({"incidentId": id, "message": "looking", "statusChange": "fixing"})),
            ("incident.add_update", json!({"incidentId": id, "message": "looking"})),
            ("incident.update_status", json!({"incidentId": id, "status": "monitoring"})),
            ("incident.resolve", json!({"incidentId": id})),
        ] {
            let (run, _) = w.act(twice(action, config), None).await;
            assert_eq!(run.status, "success", "{action}: {:?}", run.error_message);
        }
        let said = ["seen", "looking", "looking", "Status changed to monitoring", "Incident resolved"];
        assert_eq!(w.timeline(id).await, said, "two steps may say the same, one says it once");
        w.node.shutdown().await;
    }

    async fn api_1_7_writes_without_a_database_are_answered_unavailable(db: TestDb) {
        let w = World::boot(&db).await;
        let incident = w.open("x", &["pay"]).await;
        let path = format!("/incidents/{}", incident["id"].as_str().expect("an id"));
        let (updates, resolve) = (format!("{path}/updates"), format!("{path}/resolve"));
        w.node.scope().arm(DATABASE, Action::Error(u32::MAX));
        for (method, path, body) in [
            ("POST", "/incidents", json!({"title": "x", "system_ids": ["pay"]})),
            ("GET", path.as_str(), Value::Null),
            ("PATCH", path.as_str(), json!({"severity": "minor"})),
            ("POST", updates.as_str(), json!({"message": "m"})),
            ("POST", resolve.as_str(), json!({})),
            ("DELETE", path.as_str(), Value::Null),
        ] {
            w.node.http(method, path).json(&body).await.problem(503, "unavailable");
        }
        w.node.scope().disarm(DATABASE);
        w.node.post(&resolve, json!({})).await.ok();
        w.node.shutdown().await;
    }
}

/// Connections that wait for a lock another holds.
const WAITING: Sql = Sql {
    sqlite: "",
    postgres: "select count(*) from pg_locks where locktype = 'advisory' and not granted and database = (select oid from pg_database where datname = current_database())",
};
/// What a restart of the server does to them.
const TERMINATE: Sql = Sql {
    sqlite: "",
    postgres: "select count(pg_terminate_backend(pid)) from pg_locks where locktype = 'advisory' and not granted and database = (select oid from pg_database where datname = current_database())",
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn domains_1_7_a_connection_that_dies_inside_create_loses_no_incident() {
    let db = TestDb::postgres().await;
    let w = World::boot(&db).await;
    let mut other = db.db().begin().await.expect("a transaction");
    other.lock("incident.dedupe:pay").await.expect("the lock");
    let open = create(json!({"dedupe_open_for_system": true, "initialMessage": "seen"}));
    let automation = w.automation(json!([open])).await;
    let run = w.start(automation, Some("pay")).await;
    let count = async |sql| db.db().sql(sql).one::<i64>().await.expect("a count");
    eventually(async || count(WAITING).await == 1, "the action waits").await;
    assert_eq!(count(TERMINATE).await, 1);
    eventually(
        async || tried_again(&w) == 1 || ended(&w, run).await,
        "the action has lost its connection",
    )
    .await;
    other.rollback().await.expect("the lock is free");
    advance_until(
        &w.node.clock(),
        Duration::from_secs(1),
        async || ended(&w, run).await,
        "the run ends",
    )
    .await;
    let run = w.ended(run).await;
    assert_eq!(run.status, "success", "{:?}", run.error_message);
    let incidents = w.incidents().await;
    assert_eq!(incidents.len(), 1, "{incidents:?}");
    assert_eq!(w.timeline(&incidents[0]["id"]).await, ["seen"]);
    w.node.shutdown().await;
}
