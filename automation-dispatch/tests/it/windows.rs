//! Windows, queues, cool-downs, chains and limits, on both databases.

use crate::{
    why,
    world::{STATES, World},
};
use automation_core::store::{AutomationChange, Status};
use plugin_api::{Actor, queue::NewJob};
use serde_json::json;
use std::time::Duration;
use test_kit::{TestDb, both_engines, eventually, stays};

plugin_api::statements! {
    EVENTS = "select count(*) from signalbox.automation_window_events";
    AGE = "update signalbox.automation_window_events set recorded_at = $1";
}

both_engines! {
    async fn dispatch_c42_c44_a_window_counts_what_qualifies_per_context(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("mode: parallel\ntriggers: [{event: world.pinged, filter: 'trigger.payload.n > 0', window: {count: 3, minutes: 60}}]\nactions: []").await;
        for (thing, n) in [("x", 1), ("x", 0), ("y", 1), ("x", 2)] {
            w.ping(Some(thing), n).await;
        }
        eventually(async || w.count(&db, EVENTS).await == 3, "three are counted").await;
        assert!(w.runs(a).await.is_empty());
        w.ping(Some("x"), 3).await;
        w.run_with(a, "success").await;
        w.ping(Some("x"), 4).await;
        eventually(async || w.runs(a).await.len() == 2, "every: the fourth fires too").await;
        assert_eq!(w.runs(a).await[0].context_key.as_deref(), Some("x"));
        w.node.shutdown().await;
    }

    async fn dispatch_c43_once_fires_at_the_crossing_and_again_after_ageing_out(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("mode: parallel\ntriggers: [{event: world.pinged, window: {count: 2, minutes: 10, refire: once}}]\nactions: []").await;
        for n in 1..=4 {
            w.ping(Some("x"), n).await;
        }
        eventually(async || w.count(&db, EVENTS).await == 4, "all are counted").await;
        assert!(stays(async || w.runs(a).await.len() == 1).await);
        w.clock.advance(Duration::from_secs(3600));
        w.ping(Some("x"), 5).await;
        w.ping(Some("x"), 6).await;
        eventually(async || w.runs(a).await.len() == 2, "crossed again").await;
        w.node.shutdown().await;
    }

    async fn dispatch_c45_partition_by_and_its_fall_back(db: TestDb) {
        let w = World::new(&db).await;
        let by_n = w.automation("mode: parallel\ntriggers: [{event: world.pinged, window: {count: 2, minutes: 10, partitionBy: trigger.payload.n}}]\nactions: []").await;
        let nope = w.automation("mode: parallel\ntriggers: [{event: world.pinged, window: {count: 2, minutes: 10, partitionBy: trigger.payload.nope}}]\nactions: []").await;
        for (thing, n) in [("x", 1), ("y", 1), ("x", 2)] {
            w.ping(Some(thing), n).await;
        }
        eventually(async || w.count(&db, EVENTS).await == 6, "all are counted").await;
        eventually(async || w.runs(by_n).await.len() == 1 && w.runs(nope).await.len() == 1, "one each").await;
        assert_eq!(w.runs(by_n).await[0].context_key.as_deref(), Some("y"));
        assert_eq!(w.runs(nope).await[0].context_key.as_deref(), Some("x"));
        w.node.shutdown().await;
    }

    async fn dispatch_c46_concurrent_occurrences_cross_once(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("mode: parallel\ntriggers: [{event: world.pinged, window: {count: 4, minutes: 10, refire: once}}]\nactions: []").await;
        futures::future::join_all((0..8).map(|n| w.ping(Some("x"), n))).await;
        eventually(async || w.count(&db, EVENTS).await == 8, "all are counted").await;
        eventually(async || w.runs(a).await.len() == 1, "it fires").await;
        assert!(stays(async || w.runs(a).await.len() == 1).await, "exactly once");
        w.node.shutdown().await;
    }

    async fn dispatch_c46_definition_18_12_an_occurrence_that_is_delivered_twice_counts_once(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("mode: parallel\ntriggers: [{event: world.changed, window: {count: 2, minutes: 60}}]\nactions: []").await;
        let queues = &w.parts().queues;
        let deliver = async |change: u32, job_ids: &[&str]| {
            let changed = json!({
                "kind": "thing", "id": "x", "prev": null, "next": {"status": "up"}, "delta": {"status": "up"},
                "changedFields": ["status"], "actor": {"type": "system", "id": "system"},
                "occurredAt": "2026-01-15T12:00:00.000Z", "changeId": format!("019bc186-de00-7001-8000-{change:012x}"),
            });
            let job = json!({"reason": "trigger", "automationId": a, "triggerId": "world.changed", "ref": "thing:x", "changed": changed});
            let jobs = job_ids.iter().map(|id| NewJob::new(job.clone()).id(*id)).collect();
            queues.enqueue("automation-dispatch", jobs).await.unwrap();
        };
        // In one batch, and again after it was decided.
        deliver(1, &["1", "1 again"]).await;
        why::after(&w, a, 2).await;
        deliver(1, &["1 later"]).await;
        why::after(&w, a, 3).await;
        assert_eq!(w.count(&db, EVENTS).await, 1);
        assert!(w.runs(a).await.is_empty(), "one occurrence does not make two");
        deliver(2, &["2"]).await;
        w.run_with(a, "success").await;
        deliver(2, &["2 again"]).await;
        why::after(&w, a, 5).await;
        assert_eq!(w.count(&db, EVENTS).await, 2);
        assert_eq!(w.runs(a).await.len(), 1);
        w.node.shutdown().await;
    }

    async fn dispatch_c47_occurrences_are_pruned_a_day_after_recording(db: TestDb) {
        let w = World::new(&db).await;
        w.automation("triggers: [{event: world.pinged, window: {count: 9, minutes: 10}}]\nactions: []").await;
        w.ping(Some("x"), 1).await;
        eventually(async || w.count(&db, EVENTS).await == 1, "counted").await;
        w.engine.sweep().await;
        assert_eq!(w.count(&db, EVENTS).await, 1);
        use plugin_api::Clock;
        let old = w.clock.now().plus_millis(-25 * 3_600_000);
        db.db().sql(AGE).bind(old).execute().await.unwrap();
        w.engine.sweep().await;
        assert_eq!(w.count(&db, EVENTS).await, 0);
        w.node.shutdown().await;
    }

    async fn a_window_before_a_dwell_arms_it_at_the_crossing(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged, window: {count: 2, minutes: 10}, for: {seconds: 60}}]\nactions: []").await;
        w.ping(Some("x"), 1).await;
        eventually(async || w.count(&db, EVENTS).await == 1, "counted").await;
        assert_eq!(w.count(&db, crate::world::DWELLS).await, 0);
        w.ping(Some("x"), 2).await;
        eventually(async || w.count(&db, crate::world::DWELLS).await == 1, "armed").await;
        w.clock.advance(Duration::from_secs(60));
        w.run_with(a, "success").await;
        w.node.shutdown().await;
    }

    async fn dispatch_c57_queued_runs_follow_in_order(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("mode: queued\nmax_runs: 2\ntriggers: [{event: world.pinged}]\nactions: [{action: world.call, config: {name: 'n{{ trigger.payload.n }}', hangs: true}}]").await;
        for n in 1..=4 {
            w.ping(Some("x"), n).await;
            let decided = if n < 4 { n as usize } else { 3 };
            eventually(async || w.runs(a).await.len() == decided, "decided").await;
        }
        let statuses = async || -> Vec<String> { w.runs(a).await.into_iter().map(|r| r.status).collect() };
        assert!(stays(async || statuses().await == ["running", "pending", "pending"]).await, "the fourth is refused");
        assert_eq!(w.count(&db, STATES).await, 1, "a pending run has no state and no lease");
        w.open_gate();
        w.until_calls(&["n1", "n2", "n3"]).await;
        eventually(async || statuses().await == ["success"; 3], "all end").await;
        w.node.shutdown().await;
    }

    async fn dispatch_8_5_the_sweeper_starts_what_a_lost_signal_left_in_the_queue(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("mode: queued\ntriggers: [{event: world.pinged}]\nactions: [{delay: {seconds: 60}}]").await;
        w.ping(Some("x"), 1).await;
        w.run_with(a, "waiting").await;
        w.ping(Some("x"), 2).await;
        w.run_with(a, "pending").await;
        // The first one goes away behind everybody's back.
        plugin_api::statements! { GONE = "delete from signalbox.automation_runs where status = 'waiting'"; }
        db.db().sql(GONE).execute().await.unwrap();
        w.engine.sweep().await;
        w.run_with(a, "waiting").await;
        w.node.shutdown().await;
    }

    async fn disabling_cancels_what_waits_for_its_turn(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("mode: queued\ntriggers: [{event: world.pinged}]\nactions: [{delay: {seconds: 60}}]").await;
        w.ping(Some("x"), 1).await;
        w.run_with(a, "waiting").await;
        w.ping(Some("x"), 2).await;
        w.run_with(a, "pending").await;
        let change = AutomationChange { status: Some(Status::Disabled), ..Default::default() };
        w.engine.automations().update(a, None, change, &Actor::system()).await.unwrap();
        let run = w.run_with(a, "cancelled").await;
        assert_eq!(run.error_code.as_deref(), Some("automation_disabled"));
        assert_eq!(w.runs(a).await[0].status, "waiting", "started runs go on");
        w.node.shutdown().await;
    }

    async fn a_cool_down_refuses_for_a_while_after_a_start(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("mode: parallel\ntriggers: [{event: world.pinged, cooldown: {minutes: 10}}]\nactions: []").await;
        for (thing, n) in [("x", 1), ("x", 2), ("y", 3)] {
            w.ping(Some(thing), n).await;
        }
        eventually(async || w.runs(a).await.len() == 2, "one for each key").await;
        assert!(stays(async || w.runs(a).await.len() == 2).await);
        w.clock.advance(Duration::from_secs(599));
        w.ping(Some("x"), 4).await;
        assert!(stays(async || w.runs(a).await.len() == 2).await);
        w.clock.advance(Duration::from_secs(2));
        w.ping(Some("x"), 5).await;
        eventually(async || w.runs(a).await.len() == 3, "cooled down").await;
        w.node.shutdown().await;
    }

    async fn an_automation_does_not_set_itself_off(db: TestDb) {
        let w = World::new(&db).await;
        let text = |more: &str| format!("{more}mode: parallel\ntriggers: [{{event: world.changed}}]\nactions: [{{action: world.set, config: {{name: '{{{{ trigger.payload.id }}}}x'}}}}]");
        let a = w.automation(&text("")).await;
        w.set("x", "down").await;
        w.run_with(a, "success").await;
        eventually(async || w.node.logs().contains("runs of this automation led to it"), "the loop is found").await;
        assert_eq!(w.runs(a).await.len(), 1);
        let run = w.runs(a).await.remove(0);
        let cause = run.cause.unwrap().0;
        assert_eq!(cause["chain"].as_array().unwrap().len(), 1);
        let told = why::after(&w, a, 2).await;
        assert_eq!(why::verdicts(&told), ["started", "loop"]);
        assert_eq!(told[1].detail.0, json!({"chain": [a], "depth": 1, "again": true}));
        assert_eq!((told[1].gate.as_deref(), told[1].run_id), (Some("causality"), None));
        w.node.shutdown().await;
    }

    async fn reentry_that_is_allowed_ends_at_sixteen(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("allow_reentry: true\nmode: parallel\nmax_runs: 100\ntriggers: [{event: world.changed}]\nactions: [{action: world.set, config: {name: '{{ trigger.payload.id }}x'}}]").await;
        w.set("x", "down").await;
        eventually(async || w.runs(a).await.len() == 16, "sixteen links").await;
        assert!(stays(async || w.runs(a).await.len() == 16).await);
        let last = why::after(&w, a, 17).await.pop().unwrap();
        assert_eq!((last.verdict.as_str(), &last.detail.0["depth"], &last.detail.0["again"]), ("loop", &json!(16), &json!(false)));
        assert!(last.sentence().contains("16 automations have set each other off"), "{}", last.sentence());
        w.node.shutdown().await;
    }

    async fn a_run_that_is_too_old_fails(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged}]\nactions: [{wait_until: {condition: 'state.thing.x.status == \"up\"'}}]").await;
        w.ping(Some("x"), 1).await;
        w.run_with(a, "waiting").await;
        w.clock.advance(Duration::from_secs(30 * 86_400));
        w.engine.sweep().await;
        assert_eq!(w.runs(a).await[0].status, "waiting");
        w.clock.advance(Duration::from_secs(2 * 86_400));
        w.engine.sweep().await;
        let run = w.run_with(a, "failed").await;
        assert_eq!(run.error_code.as_deref(), Some("too_old"));
        w.node.shutdown().await;
    }
}
