//! What the provider and the hold predicates say (`healthcheck §8–10`).

use crate::world::{World, at_once};
use automation_core::registry::{HoldAnswer, HoldAsk};
use healthcheck_plugin::{
    Status,
    store::{
        aggregates::{self, Sample},
        runs::{self, Run},
        statements,
    },
};
use plugin_api::{Clock, Conn, Id, Text, Ts};
use serde_json::{Value, json};
use std::time::Duration;
use test_kit::{VirtualClock, both_engines, prepare_all};

fn id_of(check: &Value) -> Id {
    Id(check["id"]
        .as_str()
        .and_then(|t| t.parse().ok())
        .expect("an id"))
}

/// Puts a run and its bucket into the tables, as a run at that time would have.
async fn past(
    w: &World,
    check: &Value,
    system: &str,
    at: Ts,
    status: Status,
    latency: Option<i64>,
) {
    let (db, clock) = (w.db(), w.node.clock());
    let run = Run {
        id: Id(clock.new_uuid()),
        configuration_id: id_of(check),
        system_id: Text::new(system),
        status: status.as_str().into(),
        latency_ms: latency,
        result: None,
        timestamp: at,
    };
    runs::insert(Conn::Db(&db), &run).await.expect("a run");
    let sample = Sample {
        system_id: system,
        configuration_id: id_of(check),
        at,
        status,
        latency_ms: latency,
        collectors: None,
    };
    aggregates::add(Conn::Db(&db), Id(clock.new_uuid()), &sample)
        .await
        .expect("a bucket");
}

async fn hold(w: &World, event: &str, payload: Value) -> HoldAnswer {
    let trigger = w.registries.trigger(event).expect("registered");
    let holds = trigger.holds.clone().expect("a predicate");
    let ask = HoldAsk {
        context_key: payload["systemId"].as_str().map(str::to_owned),
        payload,
    };
    let mut answers = holds.check(&[ask.clone(), ask]).await.expect("answers");
    assert_eq!(answers[0], answers[1]);
    answers.remove(0)
}

fn minutes(n: u64) -> Duration {
    Duration::from_secs(60 * n)
}

both_engines! {
    async fn every_statement_prepares(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        prepare_all(&w.db(), &statements()).await;
    }

    async fn healthcheck_19_21_the_provider_averages_a_day(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        let check = w.check("api", &["shop"], json!({})).await;
        let now = w.node.clock().now();
        for n in 0..10i64 {
            let status = if n == 3 { Status::Unhealthy } else { Status::Healthy };
            // Half an hour apart, so that there are several buckets; one run without a latency.
            let latency = (n != 9).then_some(100 + n * 10);
            past(&w, &check, "shop", now.plus_millis((n - 10) * 30 * 60_000), status, latency).await;
        }
        // Too old to count.
        past(&w, &check, "shop", now.plus_millis(-26 * 3_600_000), Status::Unhealthy, Some(9_000)).await;
        let s = w.state("shop").await;
        assert_eq!(s.success_rate, Some(0.9));
        assert_eq!(s.avg_latency_ms, Some(140.0));
        // The slowest hour has 170 and 180; its 95th percentile lies between them.
        let p95 = s.p95_latency_ms.expect("a percentile");
        assert!((170.0..=180.0).contains(&p95), "{p95}");
        assert_eq!(s.latency_ms, None, "the newest run has none");
        assert_eq!(s.last_run_at, Some(now.plus_millis(-30 * 60_000)));
        assert_eq!((s.healthy_checks, s.total_checks), (1, 1));
        assert_eq!(s.evaluated_at, now);
        assert!(!s.in_maintenance);

        let unknown = w.state("nobody").await;
        assert_eq!((unknown.status.as_str(), unknown.total_checks), ("healthy", 0));
        assert_eq!(unknown.success_rate, None);
    }

    async fn healthcheck_19_21_since_is_the_last_transition(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        let clock = w.node.clock();
        w.check("api", &["shop"], at_once()).await;
        assert_eq!(w.state("shop").await.in_status_since, None);
        w.run_as("api", "shop", false).await;
        let first = clock.now();
        clock.advance(minutes(5));
        w.run_as("api", "shop", false).await;
        assert_eq!(w.state("shop").await.in_status_since, Some(first));
        w.run_as("api", "shop", true).await;
        let failed = clock.now();
        clock.advance(minutes(7));
        let s = w.state("shop").await;
        assert_eq!(s.status, "unhealthy");
        assert_eq!(s.in_status_since, Some(failed));
        assert_eq!(s.in_status_for_ms, 7 * 60_000);
        assert_eq!(s.latency_ms, Some(0.0));
    }

    async fn healthcheck_19_23_transitions_in_a_window(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        let clock = w.node.clock();
        w.check("api", &["shop"], at_once()).await;
        w.run_as("api", "shop", false).await;
        assert_eq!(w.state("shop").await.transitions_in_window, 0, "first seen is no change");
        w.run_as("api", "shop", true).await;
        clock.advance(minutes(50));
        w.run_as("api", "shop", false).await;
        assert_eq!(w.state("shop").await.transitions_in_window, 2);
        clock.advance(minutes(11));
        assert_eq!(w.state("shop").await.transitions_in_window, 1);
    }

    async fn healthcheck_19_24_a_lost_row_reads_as_unknown(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        w.check("api", &["shop"], at_once()).await;
        w.run_as("api", "shop", false).await;
        w.run_as("api", "shop", true).await;
        w.db().sql(LOSE).bind("shop").execute().await.expect("lost");
        w.node.clock().advance(minutes(5));
        assert_eq!(w.state("shop").await.in_status_since, None);
        assert_eq!(w.state("shop").await.in_status_for_ms, 0);
        w.run_as("api", "shop", true).await;
        assert_eq!(w.history("shop").await, [">healthy", "healthy>unhealthy"]);
        assert_eq!(w.state("shop").await.in_status_since, Some(w.node.clock().now()));
    }

    async fn an_outage_does_not_go_on_while_nothing_is_counted(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        let clock = w.node.clock();
        w.check("api", &["shop"], at_once()).await;
        w.run_as("api", "shop", true).await;
        clock.advance(minutes(5));
        w.ok("POST", "/checks/api/pause".into(), Value::Null).await;
        assert_eq!(w.state("shop").await.in_status_for_ms, 0);
        clock.advance(minutes(235));
        w.ok("POST", "/checks/api/resume".into(), Value::Null).await;
        let s = w.state("shop").await;
        assert_eq!((s.status.as_str(), s.in_status_since), ("unhealthy", Some(clock.now())));
        let payload = json!({ "systemId": "shop", "newStatus": "unhealthy" });
        let since = Some(clock.now());
        assert_eq!(hold(&w, "healthcheck.system_degraded", payload).await, HoldAnswer { holds: true, since });
        assert_eq!(w.history("shop").await, [">unhealthy", "unhealthy>healthy", "healthy>unhealthy"]);
    }

    async fn a_dwell_on_degraded_survives_the_escalation(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        let clock = w.node.clock();
        w.check("api", &["shop"], json!({ "unhealthy": { "minFailureCount": 3 } })).await;
        w.run_as("api", "shop", false).await;
        let degraded = "healthcheck.system_degraded";
        let payload = json!({ "systemId": "shop", "newStatus": "degraded" });
        assert!(!hold(&w, degraded, payload.clone()).await.holds);

        w.run_as("api", "shop", true).await;
        w.run_as("api", "shop", true).await;
        let left = clock.now();
        clock.advance(minutes(3));
        w.run_as("api", "shop", true).await;
        assert_eq!(w.health("shop").await.0, "unhealthy");
        let answer = hold(&w, degraded, payload.clone()).await;
        assert_eq!(answer, HoldAnswer { holds: true, since: Some(left) });
        let changed = "healthcheck.system_health_changed";
        assert!(!hold(&w, changed, payload.clone()).await.holds, "it is not degraded any more");
        let worse = json!({ "systemId": "shop", "newStatus": "unhealthy" });
        assert_eq!(hold(&w, changed, worse).await, HoldAnswer { holds: true, since: Some(clock.now()) });
        assert!(!hold(&w, "healthcheck.system_healthy", payload.clone()).await.holds);

        clock.advance(minutes(1));
        w.run_as("api", "shop", false).await;
        assert!(!hold(&w, degraded, payload.clone()).await.holds);
        let healthy = hold(&w, "healthcheck.system_healthy", payload).await;
        assert_eq!(healthy, HoldAnswer { holds: true, since: Some(clock.now()) });
    }

    async fn a_dwell_on_a_failed_check_asks_for_that_check(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        let clock = w.node.clock();
        let check = w.check("api", &["shop"], json!({})).await;
        let payload = json!({ "systemId": "shop", "configurationId": check["id"] });
        let failed = "healthcheck.check_failed";
        assert!(!hold(&w, failed, payload.clone()).await.holds, "no runs");
        w.run_as("api", "shop", false).await;
        let fine = clock.now();
        clock.advance(minutes(1));
        w.run_as("api", "shop", true).await;
        // Still healthy by its thresholds, but its newest run failed.
        assert_eq!(w.health("shop").await.0, "healthy");
        assert_eq!(hold(&w, failed, payload.clone()).await, HoldAnswer { holds: true, since: Some(fine) });
        clock.advance(minutes(1));
        w.run_as("api", "shop", false).await;
        assert!(!hold(&w, failed, payload).await.holds);
    }

    async fn buckets_follow_the_hours(db: test_kit::TestDb) {
        let w = World::boot_at(&db, VirtualClock::at("2026-03-01T10:59:00Z")).await;
        w.check("api", &["shop"], at_once()).await;
        w.run_as("api", "shop", false).await;
        w.run_as("api", "shop", true).await;
        w.node.clock().advance(minutes(1));
        w.run_as("api", "shop", true).await;
        let rows: Vec<Bucket> = w.db().sql(BUCKETS).all().await.expect("buckets");
        let rows: Vec<_> = rows
            .into_iter()
            .map(|b| (b.bucket_start.to_text(), b.run_count, b.healthy_count, b.unhealthy_count, b.latency_count))
            .collect();
        assert_eq!(
            rows,
            [
                ("2026-03-01T10:00:00.000Z".to_owned(), 2, 1, 1, 2),
                ("2026-03-01T11:00:00.000Z".to_owned(), 1, 0, 1, 1),
            ]
        );
    }
}

plugin_api::row! {
    struct Bucket {
        bucket_start: Ts,
        run_count: i64,
        healthy_count: i64,
        unhealthy_count: i64,
        latency_count: i64,
    }
}
plugin_api::statements! {
    LOSE = "delete from health_check_state_transitions where system_id = $1 and from_status is not null";
    BUCKETS = "select bucket_start, run_count, healthy_count, unhealthy_count, latency_count
        from health_check_aggregates order by bucket_start";
}
