//! The action `catalog.update_metadata`: it merges what it is given, also when several run at once.

use crate::world::{boot, system};
use automation_core::store::Source;
use futures::future::join_all;
use plugin_api::db::Sql;
use serde_json::{Value, json};
use std::time::Duration;
use test_kit::{Node, TestDb, advance_until, both_engines, eventually, stays};

/// An automation that updates metadata whenever it is started by hand.
async fn updater(node: &Node, config: Value) -> String {
    let definition = json!({
        "name": "Update",
        "mode": "parallel",
        "max_runs": 100,
        "triggers": [{"event": "catalog.deleted"}],
        "actions": [{"id": "update", "action": "catalog.update_metadata", "config": config}],
    });
    node.automation(Source::Value(definition)).await.to_string()
}

async fn start(node: &Node, automation: &str) -> String {
    let id = automation.parse().expect("an id");
    let request = automation_dispatch::ManualRun {
        automation_id: id,
        trigger_id: None,
        payload: json!({"systemId": "pay"}),
        validate_payload: true,
        actor: plugin_api::Actor::system(),
    };
    let run = node.run(node.engine().manual_run(request)).await;
    run.expect("a run").to_string()
}

/// Runs it once, to its end, and answers the status, the artifact and the error.
async fn run(node: &Node, config: Value) -> (String, Value, Option<String>) {
    let automation = updater(node, config).await;
    start(node, &automation).await;
    let id = automation.parse().expect("an id");
    let run = test_kit::until(
        async || {
            let run = node.runs(id).await.pop()?;
            run.finished_at.is_some().then_some(run)
        },
        "the run ends",
    )
    .await;
    let artifacts = node.engine().artifacts(run.id).await.expect("artifacts");
    let artifact = artifacts
        .into_iter()
        .next()
        .map_or(Value::Null, |a| a.data.0);
    (run.status, artifact, run.error_message)
}

both_engines! {
    async fn domains_13_2_concurrent_merges_of_different_keys_keep_both(db: TestDb) {
        let node = boot(&db).await;
        system(&node, "pay", "Payments").await;
        let mut automations = Vec::new();
        for n in 0..8 {
            let config = json!({"systemId": "pay", "metadata": {format!("k{n}"): n}});
            automations.push(updater(&node, config).await);
        }
        join_all(automations.iter().map(|a| start(&node, a))).await;
        for a in &automations {
            node.run_with(a.parse().expect("an id"), "success").await;
        }
        let metadata = node.get("/systems/pay").await.ok()["metadata"].clone();
        let expected: Value = (0..8).map(|n| (format!("k{n}"), json!(n))).collect::<serde_json::Map<_, _>>().into();
        let mut sorted = metadata.as_object().expect("an object").clone();
        sorted.sort_keys();
        assert_eq!(Value::from(sorted), expected);
        node.shutdown().await;
    }

    async fn merging_is_shallow_and_replacing_is_whole(db: TestDb) {
        let node = boot(&db).await;
        node.post("/systems", json!({"id": "pay", "name": "Payments", "metadata": {"a": {"x": 1}, "b": 1}})).await.expect(201);
        let heard = node.listen(&["catalog.updated"]).await;
        let (status, artifact, _) = run(&node, json!({"systemId": "pay", "metadata": {"a": {"y": 2}}})).await;
        assert_eq!(status, "success");
        let merged = json!({"a": {"y": 2}, "b": 1});
        assert_eq!(artifact, json!({"systemId": "pay", "systemName": "Payments", "metadata": merged}));
        let (_, artifact, _) = run(&node, json!({"systemId": "pay", "strategy": "replace", "metadata": {"c": true}})).await;
        assert_eq!(artifact["metadata"], json!({"c": true}));
        let events = heard.at_least(2).await;
        assert!(events.iter().all(|(_, p)| p["changedFields"] == json!(["metadata"])), "{events:?}");
        let runs = node.engine().runs(&Default::default(), None, 10).await.expect("runs");
        let written_by: Vec<&Value> = runs.iter().filter(|r| r.trigger_event_id == "catalog.updated").map(|r| &r.actor.0["id"]).collect();
        assert!(written_by.iter().all(|id| id.as_str().is_some_and(|id| id.starts_with("automation:"))), "{written_by:?}");
        node.shutdown().await;
    }

    async fn an_unknown_system_fails_the_step_and_fires_nothing(db: TestDb) {
        let node = boot(&db).await;
        let heard = node.listen(&["catalog.created", "catalog.updated"]).await;
        let (status, artifact, error) = run(&node, json!({"systemId": "ghost", "metadata": {"a": 1}})).await;
        assert_eq!((status.as_str(), &artifact), ("failed", &Value::Null));
        assert!(error.as_deref().is_some_and(|e| e.contains("System not found: ghost")), "{error:?}");
        assert!(stays(async || heard.so_far().await.is_empty()).await);
        node.shutdown().await;
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
async fn domains_1_7_a_connection_that_dies_inside_the_action_fails_no_run() {
    let db = TestDb::postgres().await;
    let node = boot(&db).await;
    system(&node, "pay", "Payments").await;
    let mut other = db.db().begin().await.expect("a transaction");
    let lock = other.lock("automation.entity:catalog-system:pay").await;
    lock.expect("the lock");
    let automation = updater(&node, json!({"systemId": "pay", "metadata": {"a": 1}})).await;
    start(&node, &automation).await;
    let count = async |sql| db.db().sql(sql).one::<i64>().await.expect("a count");
    eventually(async || count(WAITING).await == 1, "the action waits").await;
    assert_eq!(count(TERMINATE).await, 1);
    other.rollback().await.expect("the lock is free");
    let ended = async || {
        let runs = node.runs(automation.parse().expect("an id")).await;
        runs.iter().all(|r| r.finished_at.is_some())
    };
    advance_until(&node.clock(), Duration::from_secs(1), ended, "the run ends").await;
    node.run_with(automation.parse().expect("an id"), "success")
        .await;
    assert_eq!(
        node.get("/systems/pay").await.ok()["metadata"],
        json!({"a": 1})
    );
    node.shutdown().await;
}
