//! `wait_until`: every order in which a change, the lock and a signal can meet.

use crate::world::{LOCKS, World};
use automation_dispatch::{AutomationPlugin, Limits};
use plugin_api::{Clock, Id, Ts, fail::Action, queue::NewJob};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use test_kit::{TestDb, VirtualClock, advance_until, both_engines, eventually, stays};
use tracing::Level;

plugin_api::statements! {
    /// Timers are lost.
    LOSE = "delete from signalbox.queue_jobs";
    TIMERS = "select count(*) from signalbox.queue_jobs where queue = 'automation-wait-timeout'";
    LOCK = "select id from signalbox.automation_wait_locks";
    CHECKED_AT = "select checked_at from signalbox.automation_wait_locks";
    NEXT_CHECK_AT = "select next_check_at from signalbox.automation_wait_locks";
}

/// A wait that time alone may end, as far as its text tells.
const READS_THE_CLOCK: &str = "now != \"\" && state.thing.x.status == \"closed\"";

/// How often conditions were looked at while their lock waited.
fn looks(w: &World) -> usize {
    let found = w.node.logs().find(Level::DEBUG, "A wait was re-checked.");
    found.len()
}

async fn checked_at(db: &TestDb) -> Ts {
    db.db().sql(CHECKED_AT).one().await.expect("a lock")
}

fn wait(condition: &str, more: &str) -> String {
    format!(
        "triggers: [{{event: world.pinged}}]\nactions:\n- wait_until: {{condition: '{condition}'{more}}}\n- {{action: world.call, config: {{name: done}}}}"
    )
}

both_engines! {
    async fn dispatch_c33_undefined_does_not_satisfy_a_wait(db: TestDb) {
        let w = World::new(&db).await;
        w.set("x", "open").await;
        let a = w.automation(&wait("state.thing[\"x\"].status != \"open\"", "")).await;
        w.ping(Some("k"), 1).await;
        w.run_with(a, "waiting").await;
        assert!(stays(async || w.calls().is_empty()).await);
        w.set("x", "closed").await;
        w.until_calls(&["done"]).await;
        w.node.shutdown().await;
    }

    async fn dispatch_c35_entity_23_21_a_change_routed_while_the_run_is_arming_resumes_it(db: TestDb) {
        let w = World::new(&db).await;
        w.set("x", "open").await;
        let a = w.automation(&wait("state.thing.x.status == \"closed\"", "")).await;
        // The lock is committed, and the run is held before its rest.
        w.node.scope().arm("dispatch.wait.guard", Action::Hang);
        w.ping(Some("k"), 1).await;
        eventually(async || w.node.scope().visits("dispatch.wait.guard") == 1, "arming").await;
        assert_eq!(w.count(&db, LOCKS).await, 1, "the lock is committed before its guard");
        w.set("x", "closed").await;
        assert!(stays(async || w.calls().is_empty()).await, "the holder is still arming");
        w.node.scope().disarm("dispatch.wait.guard");
        w.until_calls(&["done"]).await;
        w.run_with(a, "success").await;
        assert_eq!(w.count(&db, LOCKS).await, 0);
        w.node.shutdown().await;
    }

    async fn dispatch_c37_entity_23_22_a_change_while_the_first_wake_is_handled_is_evaluated_too(db: TestDb) {
        let w = World::new(&db).await;
        w.set("x", "a").await;
        let a = w.automation(&wait("state.thing.x.status == \"c\"", "")).await;
        w.ping(Some("k"), 1).await;
        w.run_with(a, "waiting").await;
        w.node.routed().await;
        // The wake has looked, and has not committed.
        let held = "queue.batch.before_commit";
        let before = w.node.scope().visits(held);
        w.node.scope().arm(held, Action::Hang);
        w.set("x", "b").await;
        eventually(async || w.node.scope().visits(held) > before && looks(&w) == 1, "the first look").await;
        let release = async {
            // SQLite has one writer: there the second change waits for the end of the first wake.
            if db.is_postgres() {
                eventually(async || w.status("x").await.as_deref() == Some("c"), "the second change").await;
            }
            assert!(w.calls().is_empty());
            w.node.scope().disarm(held);
        };
        futures::join!(w.set("x", "c"), release);
        w.until_calls(&["done"]).await;
        assert_eq!(looks(&w), 2, "each change is looked at");
        w.run_with(a, "success").await;
        w.node.shutdown().await;
    }

    async fn dispatch_c38_c39_a_wait_on_several_refs_sees_all_of_them_fresh(db: TestDb) {
        let w = World::new(&db).await;
        w.set("x", "open").await;
        w.health("other", "bad");
        let a = w.automation(&wait("state.thing.x.status == \"closed\" && health.systems.other.status == \"good\"", "")).await;
        w.ping(Some("k"), 1).await;
        w.run_with(a, "waiting").await;
        w.health("other", "good");
        assert!(stays(async || w.calls().is_empty()).await);
        w.set("x", "closed").await;
        w.until_calls(&["done"]).await;
        w.node.shutdown().await;
    }

    async fn dispatch_c40_the_deadline_continues_or_fails_the_step(db: TestDb) {
        let w = World::new(&db).await;
        let on = w.automation(&wait("state.thing.x.status == \"never\"", ", timeout_seconds: 60")).await;
        let off = w.automation(&wait("state.thing.x.status == \"never\"", ", timeout_seconds: 60, continue_on_timeout: false")).await;
        w.ping(Some("k"), 1).await;
        w.run_with(on, "waiting").await;
        w.run_with(off, "waiting").await;
        w.clock.advance(Duration::from_secs(59));
        assert!(stays(async || w.calls().is_empty()).await);
        w.clock.advance(Duration::from_secs(1));
        w.until_calls(&["done"]).await;
        let failed = w.run_with(off, "failed").await;
        assert_eq!(failed.error_code.as_deref(), Some("wait_timeout"));
        assert_eq!(w.step_list(failed.id).await, ["actions[0]=failed(wait_timeout)"]);
        w.run_with(on, "success").await;
        w.node.shutdown().await;
    }

    async fn dispatch_c40_without_its_timer_job_the_sweeper_keeps_the_deadline(db: TestDb) {
        let w = World::new(&db).await;
        let on = w.automation(&wait("state.thing.x.status == \"never\"", ", timeout_seconds: 60")).await;
        let off = w.automation(&wait("state.thing.x.status == \"never\"", ", timeout_seconds: 60, continue_on_timeout: false")).await;
        w.ping(Some("k"), 1).await;
        w.run_with(on, "waiting").await;
        w.run_with(off, "waiting").await;
        assert_eq!(w.count(&db, TIMERS).await, 2);
        db.db().sql(LOSE).execute().await.unwrap();
        w.clock.advance(Duration::from_secs(59));
        w.engine.sweep().await;
        assert!(stays(async || w.calls().is_empty()).await, "the sweeper is not early");
        w.clock.advance(Duration::from_secs(1));
        w.engine.sweep().await;
        w.until_calls(&["done"]).await;
        w.run_with(on, "success").await;
        let failed = w.run_with(off, "failed").await;
        assert_eq!(failed.error_code.as_deref(), Some("wait_timeout"));
        assert_eq!(w.step_list(failed.id).await, ["actions[0]=failed(wait_timeout)"]);
        w.node.shutdown().await;
    }

    async fn entity_19_3_many_wakes_of_one_wait_leave_one_timer(db: TestDb) {
        let w = World::new(&db).await;
        w.set("x", "open").await;
        let a = w.automation(&wait(READS_THE_CLOCK, "")).await;
        w.ping(Some("k"), 1).await;
        let run = w.run_with(a, "waiting").await;
        let first = w.count(&db, TIMERS).await;
        for n in 1..=8 {
            w.clock.advance(Duration::from_millis(700));
            w.set("x", &format!("open {n}")).await;
            eventually(async || looks(&w) == n, "the wake").await;
        }
        assert_eq!(w.count(&db, TIMERS).await, first, "no wake has armed a timer of its own");
        // A timer that another one has taken the place of does nothing.
        let lock: Id = db.db().sql(LOCK).one().await.unwrap();
        let stray = NewJob::new(json!({"v": 1, "runId": run.id, "waitLockId": lock})).id(format!("{}:{lock}:check:1", run.id));
        w.parts().queues.enqueue("automation-wait-timeout", vec![stray]).await.unwrap();
        eventually(async || w.count(&db, TIMERS).await == first, "the stray timer is gone").await;
        assert_eq!(looks(&w), 8);
        for n in 1..=5 {
            let before = checked_at(&db).await;
            w.clock.advance(Duration::from_secs(60));
            eventually(async || checked_at(&db).await > before, "the next look").await;
            // The sweeper may come at the same moment.
            assert!(looks(&w) <= 8 + 2 * n, "{} looks after {n} minutes", looks(&w));
            assert!(w.count(&db, TIMERS).await <= 2);
        }
        w.set("x", "closed").await;
        w.until_calls(&["done"]).await;
        w.node.shutdown().await;
    }

    async fn entity_19_4_6_a_look_at_what_cannot_be_read_counts_as_one(db: TestDb) {
        let w = World::new(&db).await;
        w.set("x", "open").await;
        w.automation(&wait("state.thing.x.status != \"open\"", "")).await;
        w.ping(Some("k"), 1).await;
        eventually(async || w.count(&db, LOCKS).await == 1, "it waits").await;
        let before = checked_at(&db).await;
        *w.shared.reader_down.lock().unwrap() = true;
        w.clock.advance(Duration::from_secs(301));
        w.engine.sweep().await;
        assert_eq!(checked_at(&db).await, before.plus_millis(301_000), "the next sweep takes others first");
        assert!(w.calls().is_empty());
        w.node.shutdown().await;
    }

    async fn entity_19_4_6_a_due_look_at_what_cannot_be_read_comes_again_in_a_minute(db: TestDb) {
        let w = World::new(&db).await;
        w.set("x", "open").await;
        w.automation(&wait(READS_THE_CLOCK, "")).await;
        w.ping(Some("k"), 1).await;
        eventually(async || w.count(&db, LOCKS).await == 1, "it waits").await;
        w.node.routed().await;
        *w.shared.reader_down.lock().unwrap() = true;
        w.clock.advance(Duration::from_secs(60));
        let now = w.clock.now();
        eventually(async || checked_at(&db).await == now, "a look").await;
        let next: Option<Ts> = db.db().sql(NEXT_CHECK_AT).one().await.unwrap();
        assert_eq!(next, Some(now.plus_millis(60_000)));
        // The reader is back, and the thing has changed unseen.
        plugin_api::statements! { CLOSE = { sqlite: "update things set status = 'closed'", postgres: "update plugin_world.things set status = 'closed'" }; }
        db.db().sql(CLOSE).execute().await.unwrap();
        *w.shared.reader_down.lock().unwrap() = false;
        w.clock.advance(Duration::from_secs(60));
        w.until_calls(&["done"]).await;
        w.node.shutdown().await;
    }

    async fn entity_19_4_6_how_often_a_wait_is_looked_at_is_a_setting_and_may_be_never(db: TestDb) {
        for (recheck_ms, looked_at) in [(0, false), (60_000, true)] {
            let limits = Limits { recheck_ms, ..Default::default() };
            let engine = AutomationPlugin::default().limits(limits);
            let w = World::boot_with(&db, Arc::default(), VirtualClock::new(), engine).await;
            w.set("x", "open").await;
            let a = w.automation(&wait("state.thing.x.status == \"closed\"", "")).await;
            w.ping(Some("k"), 1).await;
            w.run_with(a, "waiting").await;
            w.clock.advance(Duration::from_secs(61));
            w.engine.sweep().await;
            w.clock.advance(Duration::from_secs(3600));
            w.engine.sweep().await;
            assert_eq!(looks(&w) > 0, looked_at, "{recheck_ms}");
            w.engine.delete(a, None).await.unwrap();
            w.node.shutdown().await;
        }
    }

    async fn dispatch_c69_without_health_a_gate_a_start_and_a_resume_see_none_and_go_on(db: TestDb) {
        let w = World::new(&db).await;
        w.health("x", "down");
        *w.shared.health_down.lock().unwrap() = true;
        let a = w.automation("triggers: [{event: world.pinged, filter: 'health.system.status != \"up\"'}]\nactions:\n- {action: world.call, config: {name: 'start{{ health.system.status }}'}}\n- delay: {seconds: 60}\n- {action: world.call, config: {name: 'resumed{{ health.system.status }}'}}").await;
        let warned = || w.node.logs().find(Level::WARN, "Health could not be read").len();
        w.ping(Some("x"), 1).await;
        w.run_with(a, "waiting").await;
        assert_eq!(w.calls(), ["start"], "nothing is rendered where health would be");
        let before = warned();
        assert!(before >= 2, "at the gate and at the start: {before}");
        w.clock.advance(Duration::from_secs(60));
        w.until_calls(&["start", "resumed"]).await;
        w.run_with(a, "success").await;
        assert!(warned() > before, "and at the resume");
        w.node.shutdown().await;
    }

    async fn entity_23_23_a_wait_for_a_status_held_resumes_by_time_alone(db: TestDb) {
        let w = World::new(&db).await;
        w.health("sys", "healthy");
        let a = w.automation("triggers: [{event: world.pinged}]\nactions:\n- wait_until: {condition: {state: {entity: sys, status: healthy, for: {minutes: 10}}}}\n- {action: world.call, config: {name: done}}").await;
        w.ping(Some("k"), 1).await;
        w.run_with(a, "waiting").await;
        w.clock.advance(Duration::from_secs(599));
        assert!(stays(async || w.calls().is_empty()).await);
        w.clock.advance(Duration::from_secs(1));
        w.until_calls(&["done"]).await;
        w.node.shutdown().await;
    }

    async fn entity_23_24_a_reader_that_is_down_resumes_nothing_but_the_deadline_does(db: TestDb) {
        let w = World::new(&db).await;
        w.set("x", "open").await;
        let a = w.automation(&wait("state.thing[trigger.payload.thing].status != \"open\"", ", timeout_seconds: 600")).await;
        w.ping(Some("x"), 1).await;
        w.run_with(a, "waiting").await;
        *w.shared.reader_down.lock().unwrap() = true;
        w.engine.sweep().await;
        assert!(stays(async || w.calls().is_empty()).await);
        w.clock.advance(Duration::from_secs(600));
        advance_until(&w.clock, Duration::from_secs(5), async || !w.calls().is_empty(), "the deadline").await;
        w.run_with(a, "success").await;
        w.node.shutdown().await;
    }

    async fn entity_23_27_a_removed_entity_ends_a_wait_for_its_absence(db: TestDb) {
        let w = World::new(&db).await;
        w.set("x", "open").await;
        let a = w.automation(&wait("!state.thing.x", "")).await;
        w.ping(Some("k"), 1).await;
        w.run_with(a, "waiting").await;
        w.remove("x").await;
        w.until_calls(&["done"]).await;
        w.node.shutdown().await;
    }

    async fn dispatch_c24_two_timers_at_once_resume_a_run_once(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged}]\nactions: [{delay: {seconds: 30}}, {action: world.call, config: {name: after}}]").await;
        w.ping(Some("k"), 1).await;
        w.run_with(a, "waiting").await;
        w.clock.advance(Duration::from_secs(30));
        w.engine.sweep().await;
        w.engine.sweep().await;
        w.until_calls(&["after"]).await;
        w.run_with(a, "success").await;
        assert!(stays(async || w.calls().len() == 1).await);
        w.node.shutdown().await;
    }
}
