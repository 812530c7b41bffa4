//! When checks run (`healthcheck §5.1`).

use crate::world::{Target, World, at_once};
use healthcheck_plugin::{
    executor::schedule::QUEUE,
    jitter::jitter_ms,
    store::claims::{self, Claim},
};
use plugin_api::{Clock, Conn, Id, queue::RecurringDetails};
use serde_json::{Value, json};
use std::{sync::atomic::Ordering::SeqCst, time::Duration};
use test_kit::{advance_until, both_engines, eventually, stays};

async fn jobs(w: &World) -> Vec<RecurringDetails> {
    let queues = w.node.runtime().kernel().queues();
    queues.list_recurring(QUEUE).await.expect("jobs")
}

fn jitter(check: &Value, system: &str, interval: i64) -> i64 {
    jitter_ms(check["id"].as_str().expect("an id"), system, interval) as i64
}

async fn every(w: &World, seconds: i64) -> Value {
    let input = json!({ "strategy": "switch", "intervalSeconds": seconds,
        "config": { "timeout": 5000, "target": "api" } });
    w.ok("PUT", "/checks/api".into(), input).await
}

both_engines! {
    async fn one_job_per_enabled_assignment(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        let check = every(&w, 60).await;
        assert_eq!(jobs(&w).await, []);
        let path = "/checks/api/assignments/shop".to_owned();
        w.ok("PUT", path.clone(), json!({})).await;
        let all = jobs(&w).await;
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].job_id, format!("healthcheck:{}:shop", check["id"].as_str().unwrap()));
        let due = w.node.clock().now().plus_millis(jitter(&check, "shop", 60));
        assert_eq!(all[0].next_at, due);

        w.ok("PUT", path.clone(), json!({ "enabled": false })).await;
        assert_eq!(jobs(&w).await, []);
        w.ok("PUT", path.clone(), json!({ "enabled": true })).await;
        assert_eq!(jobs(&w).await.len(), 1);
        every(&w, 120).await;
        assert_eq!(jobs(&w).await[0].schedule, plugin_api::queue::Schedule::IntervalMs(120_000));
        w.ok("DELETE", path.clone(), Value::Null).await;
        assert_eq!(jobs(&w).await, []);
        w.ok("PUT", path, json!({})).await;
        w.ok("DELETE", "/checks/api".into(), Value::Null).await;
        assert_eq!(jobs(&w).await, []);
    }

    async fn a_check_runs_at_its_interval(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        every(&w, 60).await;
        w.ok("PUT", "/checks/api/assignments/shop".into(), json!({})).await;
        let clock = w.node.clock();
        let begin = clock.now();
        advance_until(&clock, Duration::from_secs(1), async || w.runs("api", "shop").await >= 3, "three runs").await;
        let page = w.ok("GET", "/check-runs?check=api&system_id=shop".into(), Value::Null).await;
        let times: Vec<i64> = page["items"].as_array().expect("runs").iter().rev()
            .map(|r| plugin_api::Ts::parse(r["timestamp"].as_str().unwrap()).unwrap().millis() - begin.millis())
            .collect();
        assert!(times[0] < 35_000, "the first comes with the jitter: {times:?}");
        assert!((50_000..70_000).contains(&(times[1] - times[0])), "{times:?}");
        assert!((50_000..70_000).contains(&(times[2] - times[1])), "{times:?}");
    }

    async fn healthcheck_19_26_a_restart_waits_for_the_rest_of_the_interval(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        let clock = w.node.clock();
        let check = every(&w, 60).await;
        w.ok("PUT", "/checks/api/assignments/shop".into(), json!({})).await;
        w.ok("POST", "/checks/api/assignments/shop/run".into(), Value::Null).await;
        eventually(async || w.runs("api", "shop").await == 1, "a run").await;
        w.node.shutdown().await;
        clock.advance(Duration::from_secs(40));

        let w = World::boot_at(&db, clock.clone()).await;
        let next = jobs(&w).await[0].next_at.millis() - clock.now().millis();
        let rest = 20_000 + jitter(&check, "shop", 60);
        assert_eq!(next, rest);
        assert_eq!(w.runs("api", "shop").await, 1);
        w.node.shutdown().await;

        // Overdue: at once, plus the jitter. Again and again: what is scheduled then is every time the same.
        for _ in 0..2 {
            clock.advance(Duration::from_secs(585));
            let w = World::boot_at(&db, clock.clone()).await;
            let next = jobs(&w).await[0].next_at.millis() - clock.now().millis();
            assert_eq!(next, jitter(&check, "shop", 60));
            w.node.shutdown().await;
        }
    }

    async fn healthcheck_19_27_the_ticks_of_a_paused_check_run_nothing(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        every(&w, 60).await;
        w.ok("PUT", "/checks/api/assignments/shop".into(), json!({})).await;
        let (clock, second) = (w.node.clock(), Duration::from_secs(1));
        advance_until(&clock, second, async || w.runs("api", "shop").await == 1, "the first run").await;
        w.ok("POST", "/checks/api/pause".into(), Value::Null).await;
        let paused = jobs(&w).await[0].next_at;
        let two_ticks = async || jobs(&w).await[0].next_at >= paused.plus_millis(120_000);
        advance_until(&clock, second, two_ticks, "two ticks come").await;
        assert!(stays(async || w.switch.begun.load(SeqCst) == 1).await);
        assert_eq!(w.runs("api", "shop").await, 1);

        w.ok("POST", "/checks/api/resume".into(), Value::Null).await;
        advance_until(&clock, second, async || w.runs("api", "shop").await == 2, "the next tick runs it").await;
    }

    async fn a_schedule_that_was_lost_comes_back_with_the_same_request(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        every(&w, 60).await;
        w.ok("PUT", "/checks/api/assignments/shop".into(), json!({})).await;
        let queues = w.node.runtime().kernel().queues();
        let job = jobs(&w).await.remove(0);
        queues.cancel_recurring(QUEUE, &job.job_id).await.expect("cancelled");
        every(&w, 60).await;
        assert_eq!(jobs(&w).await, std::slice::from_ref(&job), "the check was put again");
        queues.cancel_recurring(QUEUE, &job.job_id).await.expect("cancelled");
        w.ok("PUT", "/checks/api/assignments/shop".into(), json!({})).await;
        assert_eq!(jobs(&w).await, [job], "the assignment was put again");
    }

    async fn a_stored_config_of_an_older_version_still_runs(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        w.check("api", &["shop"], at_once()).await;
        w.db().sql(OLDER).execute().await.expect("an older config");
        w.run_as("api", "shop", true).await;
        let page = w.ok("GET", "/check-runs?check=api&system_id=shop".into(), Value::Null).await;
        assert_eq!(page["items"][0]["result"]["message"], json!("Check failed: refused"));
    }

    async fn jobs_without_assignment_go_at_the_next_start(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        every(&w, 60).await;
        w.ok("PUT", "/checks/api/assignments/shop".into(), json!({})).await;
        w.db().sql(UNASSIGN).execute().await.expect("unassigned behind our back");
        let clock = w.node.clock();
        w.node.shutdown().await;
        let w = World::boot_at(&db, clock).await;
        assert_eq!(jobs(&w).await, []);
    }

    async fn a_run_in_flight_is_not_doubled(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        let check = w.check("api", &["shop"], at_once()).await;
        let clock = w.node.clock();
        let claim = |n: u128| Claim {
            system_id: "shop".into(),
            configuration_id: Id(check["id"].as_str().unwrap().parse().unwrap()),
            owner: Id(uuid::Uuid::from_u128(n)),
        };
        let db = w.db();
        let take = async |n| claims::take(Conn::Db(&db), &claim(n), clock.now(), 10_000).await.unwrap();
        assert!(take(1).await);
        assert!(!take(2).await);
        w.ok("POST", "/checks/api/assignments/shop/run".into(), Value::Null).await;
        let skipped = async || {
            let stats = w.ok("GET", "/check-executor".into(), Value::Null).await;
            stats["skipped_in_flight"] == json!(1)
        };
        eventually(skipped, "the tick is skipped and counted").await;
        assert_eq!(w.runs("api", "shop").await, 0);

        // A node that died: its claim expires, and what it would still record does not count.
        clock.advance(Duration::from_secs(10));
        assert!(take(3).await);
        assert!(!claims::give_back(Conn::Db(&db), &claim(1)).await.unwrap());
        assert!(claims::give_back(Conn::Db(&db), &claim(3)).await.unwrap());
        w.run("api", "shop").await;
    }

    async fn a_run_cut_off_by_a_crash_leaves_no_trace(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        w.check("api", &["shop"], at_once()).await;
        w.switch.set("api", Target::Hanging);
        w.ok("POST", "/checks/api/assignments/shop/run".into(), Value::Null).await;
        eventually(async || w.switch.begun.load(SeqCst) == 1, "the run is in flight").await;
        let clock = w.node.clock();
        w.node.kill();

        let w = World::boot_at(&db, clock.clone()).await;
        assert_eq!(w.runs("api", "shop").await, 0);
        assert_eq!(w.health("shop").await, ("healthy".into(), 1, 1));
        // Another node cannot know that the claim's owner is dead; it expires soon after the limit.
        if db.is_postgres() {
            clock.advance(Duration::from_secs(10));
        }
        w.run_as("api", "shop", true).await;
        assert_eq!(w.health("shop").await, ("unhealthy".into(), 0, 1));
    }

    async fn a_run_of_a_removed_assignment_is_not_recorded(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        w.check("api", &["shop"], at_once()).await;
        w.switch.set("api", Target::Hanging);
        w.ok("POST", "/checks/api/assignments/shop/run".into(), Value::Null).await;
        eventually(async || w.switch.begun.load(SeqCst) == 1, "the run is in flight").await;
        w.ok("DELETE", "/checks/api/assignments/shop".into(), Value::Null).await;
        w.node.clock().advance(Duration::from_secs(5));
        let lost = async || w.ok("GET", "/check-executor".into(), Value::Null).await["lost"] == json!(1);
        eventually(lost, "the run ends").await;
        assert_eq!(w.runs("api", "shop").await, 0);
        assert_eq!(w.history("shop").await, Vec::<String>::new());
    }

    async fn a_disabled_check_is_not_run(db: test_kit::TestDb) {
        let w = World::boot(&db).await;
        every(&w, 1).await;
        w.ok("PUT", "/checks/api/assignments/shop".into(), json!({})).await;
        w.db().sql(DISABLE).execute().await.expect("disabled behind the scheduler's back");
        let clock = w.node.clock();
        for _ in 0..5 {
            clock.advance(Duration::from_secs(1));
            assert!(stays(async || w.runs("api", "shop").await == 0).await);
        }
    }
}

plugin_api::statements! {
    UNASSIGN = "delete from system_health_checks";
    OLDER = "update health_check_configurations set config = '{\"timeout\":5000,\"aim\":\"api\"}'";
    DISABLE = "update system_health_checks set enabled = false";
}
