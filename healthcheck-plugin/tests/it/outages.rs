//! Outages from the failing run to the event (`healthcheck §5.3`, `§7`, `§11`).

use crate::world::{World, at_once};
use plugin_api::Actor;
use serde_json::{Value, json};
use test_kit::{both_engines, eventually, stays};

both_engines! {
    async fn healthcheck_19_1_a_new_system_is_healthy(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        w.check("api", &["shop"], json!({})).await;
        assert_eq!(w.health("shop").await, ("healthy".into(), 1, 1));
        let first = eventually_change(&w, 1).await;
        assert_eq!(first.prev, None);
        assert_eq!(first.next, Some(json!({ "status": "healthy", "healthyChecks": 1, "totalChecks": 1 })));

        w.ok("PUT", "/checks/api/assignments/shop".into(), json!({ "enabled": false })).await;
        assert_eq!(w.health("shop").await, ("healthy".into(), 0, 0));
        let gone = eventually_change(&w, 2).await;
        assert_eq!(gone.next, None);
        // Appearing and disappearing are no events.
        assert_eq!(w.event_ids(0).await, Vec::<String>::new());
    }

    async fn healthcheck_19_7_and_8_events_of_an_outage(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        w.check("api", &["shop"], json!({})).await;
        for _ in 0..5 {
            w.run_as("api", "shop", true).await;
        }
        w.run_as("api", "shop", false).await;
        let expect = [
            "healthcheck.system_degraded",
            "healthcheck.system_health_changed",
            "healthcheck.system_health_changed",
            "healthcheck.system_healthy",
            "healthcheck.system_health_changed",
        ];
        assert_eq!(w.event_ids(expect.len()).await, expect);
        let events = w.events(0).await;
        let first = &events[0].1;
        assert_eq!(first["systemId"], json!("shop"));
        assert_eq!(first["previousStatus"], json!("healthy"));
        assert_eq!(first["newStatus"], json!("degraded"));
        assert_eq!((&first["healthyChecks"], &first["totalChecks"]), (&json!(0), &json!(1)));
        assert!(first["timestamp"].is_string());
        assert_eq!(events[2].1["newStatus"], json!("unhealthy"));
        assert_eq!(
            w.history("shop").await,
            [">healthy", "healthy>degraded", "degraded>unhealthy", "unhealthy>healthy"]
        );
        let changes = w.seen.changes.lock().unwrap();
        assert!(changes[1..].iter().all(|c| c.actor == Actor::system()));
    }

    async fn healthcheck_19_6_the_worst_check_decides(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        w.check("api", &["shop"], json!({ "degraded": { "minFailureCount": 1 } })).await;
        w.check("web", &["shop"], at_once()).await;
        w.run_as("api", "shop", true).await;
        w.run_as("web", "shop", true).await;
        assert_eq!(w.health("shop").await, ("unhealthy".into(), 0, 2));
    }

    async fn healthcheck_19_9_concurrent_failures_are_one_change(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        let names: Vec<String> = (0..20).map(|n| format!("check-{n}")).collect();
        for name in &names {
            w.check(name, &["shop"], at_once()).await;
        }
        // The system has a history already: what is counted below are changes, not its first row.
        w.run_as(&names[0], "shop", false).await;
        for name in &names {
            w.switch.down(name, true);
        }
        for name in &names {
            w.ok("POST", format!("/checks/{name}/assignments/shop/run"), Value::Null).await;
        }
        eventually(async || w.health("shop").await == ("unhealthy".into(), 0, 20), "all have failed").await;
        let expect = ["healthcheck.system_degraded", "healthcheck.system_health_changed"];
        assert_eq!(w.event_ids(2).await, expect);
        assert!(stays(async || w.event_ids(0).await == expect).await);
        assert_eq!(w.history("shop").await, [">healthy", "healthy>unhealthy"]);
        // The counts changed with every run, and each change started where the one before ended.
        eventually(async || w.seen.changes.lock().unwrap().len() == 40, "all changes come out").await;
        let changes = w.seen.changes.lock().unwrap();
        for pair in changes.windows(2) {
            assert_eq!(pair[0].next, pair[1].prev);
        }
    }

    async fn healthcheck_19_10_disabling_the_failing_check_is_a_recovery(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        w.check("api", &["shop"], at_once()).await;
        w.check("web", &["shop"], at_once()).await;
        w.run_as("web", "shop", false).await;
        w.run_as("api", "shop", true).await;
        w.events(2).await;
        w.ok("PUT", "/checks/api/assignments/shop".into(), json!({ "enabled": false })).await;
        let ids = w.event_ids(4).await;
        assert_eq!(ids[2..], ["healthcheck.system_healthy", "healthcheck.system_health_changed"]);
        assert_eq!(w.history("shop").await, [">healthy", "healthy>unhealthy", "unhealthy>healthy"]);
        let last = w.seen.changes.lock().unwrap().last().cloned().expect("a change");
        assert_eq!(last.actor, World::person());
    }

    async fn healthcheck_19_11_a_refused_connection_fires_as_any_failure(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        let check = w.check("api", &["shop"], at_once()).await;
        w.run_as("api", "shop", true).await;
        w.events(2).await;
        let hooks = async || w.seen.hooks.lock().unwrap().clone();
        eventually(async || hooks().await.len() == 2, "both hooks fire").await;
        let mut hooks = hooks().await;
        hooks.sort_by_key(|h| h.0);
        assert_eq!(hooks[0].0, "healthcheck.check.completed");
        assert_eq!(hooks[1].0, "healthcheck.check.failed");
        assert_eq!(hooks[0].1, hooks[1].1);
        let event = serde_json::to_value(&hooks[0].1).expect("serialises");
        assert_eq!(event["configurationId"], check["id"]);
        assert_eq!(event["checkId"], check["id"]);
        assert_eq!(event["status"], json!("unhealthy"));
        assert!(event["latencyMs"].is_i64());
        let page = w.ok("GET", "/check-runs?check=api&system_id=shop".into(), Value::Null).await;
        let result = &page["items"][0]["result"];
        assert_eq!(result["metadata"]["connected"], json!(false));
        assert_eq!(result["message"], json!("Check failed: refused"));
    }

    async fn healthcheck_19_27_a_paused_check_does_not_count(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        w.scheduled("api", &["shop", "blog"], at_once()).await;
        w.scheduled("web", &["shop"], at_once()).await;
        w.run_as("api", "shop", true).await;
        w.events(2).await;
        let job = async || w.node.runtime().kernel().queues().list_recurring("health-checks").await.expect("jobs").len();
        assert_eq!(job().await, 3);

        w.ok("POST", "/checks/api/pause".into(), Value::Null).await;
        assert_eq!(w.health("shop").await, ("healthy".into(), 1, 1));
        assert_eq!(w.health("blog").await, ("healthy".into(), 0, 0));
        assert_eq!(job().await, 3, "the schedule stays");
        let (status, _) = w.call("POST", "/checks/api/assignments/shop/run", Value::Null).await;
        assert_eq!(status, 409);
        assert_eq!(w.runs("api", "shop").await, 1);

        w.ok("POST", "/checks/api/resume".into(), Value::Null).await;
        assert_eq!(w.health("shop").await, ("unhealthy".into(), 1, 2));
        assert_eq!(w.health("blog").await, ("healthy".into(), 1, 1));
        assert_eq!(
            w.event_ids(6).await[2..],
            [
                "healthcheck.system_healthy",
                "healthcheck.system_health_changed",
                "healthcheck.system_degraded",
                "healthcheck.system_health_changed",
            ]
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn healthcheck_19_9_concurrent_failures_on_two_nodes_are_one_change() {
    let db = test_kit::TestDb::postgres().await;
    let [a, b] = World::two(&db).await;
    let names: Vec<String> = (0..10).map(|n| format!("check-{n}")).collect();
    for name in &names {
        a.check(name, &["shop"], at_once()).await;
    }
    a.run_as(&names[0], "shop", false).await;
    for name in &names {
        a.switch.down(name, true);
    }
    for (n, name) in names.iter().enumerate() {
        let node = if n % 2 == 0 { &a } else { &b };
        let path = format!("/checks/{name}/assignments/shop/run");
        node.ok("POST", path, Value::Null).await;
    }
    let down = ("unhealthy".to_owned(), 0, 10);
    eventually(async || b.health("shop").await == down, "all have failed").await;
    assert_eq!(a.history("shop").await, [">healthy", "healthy>unhealthy"]);
    let changes = || {
        let mut all = a.seen.changes.lock().unwrap().clone();
        all.extend(b.seen.changes.lock().unwrap().clone());
        all
    };
    eventually(async || changes().len() == 20, "all changes come out").await;
    let mut events = a.event_ids(0).await;
    events.extend(b.event_ids(0).await);
    assert_eq!(
        events,
        [
            "healthcheck.system_degraded",
            "healthcheck.system_health_changed"
        ]
    );
}

async fn eventually_change(w: &World, number: usize) -> automation_entity::EntityChanged {
    eventually(
        async || w.seen.changes.lock().unwrap().len() >= number,
        "a change comes out",
    )
    .await;
    w.seen.changes.lock().unwrap()[number - 1].clone()
}
