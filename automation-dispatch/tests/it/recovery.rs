//! Nodes that die: leases, checkpoints, takeover.

use crate::world::{LEASES, LOCKS, LOGS, World};
use plugin_api::{Clock, fail::Action};
use std::time::Duration;
use test_kit::{TestDb, advance_until, both_engines, eventually, stays};

const STORY: &str = "triggers: [{event: world.pinged}]\nactions: [{action: world.call, config: {name: one}}, {action: world.call, config: {name: two, hangs: true}}, {action: world.call, config: {name: three}}]";

plugin_api::statements! {
    /// Timers are lost.
    LOSE = "delete from signalbox.queue_jobs";
}

/// A node dies; a new one on the same database goes on.
pub async fn restart(w: World, db: &TestDb) -> World {
    let World {
        node,
        shared,
        clock,
        ..
    } = w;
    node.kill();
    let next = World::boot(db, shared, clock).await;
    next.open_gate();
    next
}

both_engines! {
    async fn dispatch_c61_recovery_repeats_nothing_before_the_checkpoint(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation(STORY).await;
        w.ping(Some("x"), 1).await;
        w.until_calls(&["one", "two"]).await;
        let w = restart(w, &db).await;
        // On Postgres the dead node's lease must run out first; SQLite has no other node.
        advance_until(&w.clock, Duration::from_secs(1), async || w.calls().len() == 4, "the run goes on").await;
        assert_eq!(w.calls(), ["one", "two", "two", "three"]);
        let run = w.run_with(a, "success").await;
        let steps = w.steps(run.id).await;
        assert_eq!(steps.iter().map(|s| s.attempts).collect::<Vec<_>>(), [1, 2, 1]);
        let given = w.shared.given.lock().unwrap().clone();
        assert_eq!(given[1]["key"], given[2]["key"], "the same idempotency key");
        assert_eq!(given[2]["attempt"], 2);
        w.node.shutdown().await;
    }

    async fn dispatch_c62_a_run_that_died_before_its_first_call_begins_again(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged}]\nactions: [{action: world.call, config: {name: one, hangs: true}}]").await;
        w.ping(Some("x"), 1).await;
        w.until_calls(&["one"]).await;
        let w = restart(w, &db).await;
        advance_until(&w.clock, Duration::from_secs(10), async || w.calls().len() == 2, "begun again").await;
        w.run_with(a, "success").await;
        w.node.shutdown().await;
    }

    async fn dispatch_c23_a_lost_delay_job_is_repaired_by_the_sweep(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged}]\nactions: [{delay: {seconds: 60}}, {action: world.call, config: {name: after}}]").await;
        w.ping(Some("x"), 1).await;
        w.run_with(a, "waiting").await;
        db.db().sql(LOSE).execute().await.unwrap();
        advance_until(&w.clock, Duration::from_secs(10), async || !w.calls().is_empty(), "the sweep finds it").await;
        w.run_with(a, "success").await;
        assert_eq!(w.calls(), ["after"]);
        w.node.shutdown().await;
    }

    async fn dispatch_r26_a_wait_that_cannot_be_swept_starves_no_other(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged}]\nmode: parallel\nactions: [{delay: {seconds: 60}}, {action: world.call, config: {name: swept}}]").await;
        for thing in ["bad", "good"] {
            w.ping(Some(thing), 1).await;
            eventually(async || w.runs(a).await.iter().any(|r| r.context_key.as_deref() == Some(thing) && r.status == "waiting"), "it waits").await;
        }
        let bad = w.runs(a).await.into_iter().find(|r| r.context_key.as_deref() == Some("bad")).unwrap().id;
        let refuse = if db.is_postgres() {
            format!("alter table signalbox.automation_wait_locks add check (run_id <> '{bad}' or fired_at is null)")
        } else {
            format!("create trigger bad before update on automation_wait_locks when old.run_id = '{bad}' begin select raise(abort, 'bad'); end")
        };
        db.db().script(&refuse).await.unwrap();
        db.db().sql(LOSE).execute().await.unwrap();
        advance_until(&w.clock, Duration::from_secs(10), async || !w.calls().is_empty(), "the sweep finds it").await;
        assert_eq!(w.run_with(a, "success").await.context_key.as_deref(), Some("good"));
        assert_eq!(w.calls(), ["swept"]);
        assert!(w.node.logs().contains("A wait could not be swept"));
        assert_eq!(w.count(&db, LOCKS).await, 1, "the other waits for the next cycle");
        w.node.shutdown().await;
    }

    async fn dispatch_c64_a_long_wait_is_not_recovered(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged}]\nactions: [{action: world.call, config: {name: before}}, {delay: {seconds: 7200}}, {action: world.call, config: {name: after}}]").await;
        w.ping(Some("x"), 1).await;
        w.run_with(a, "waiting").await;
        let w = restart(w, &db).await;
        w.clock.advance(Duration::from_secs(600));
        w.engine.sweep().await;
        assert!(stays(async || w.calls() == ["before"]).await);
        assert_eq!(w.count(&db, LOCKS).await, 1);
        assert_eq!(w.count(&db, LEASES).await, 0, "a resting run holds no lease");
        w.clock.advance(Duration::from_secs(7200));
        w.until_calls(&["before", "after"]).await;
        w.node.shutdown().await;
    }

    async fn dispatch_c60_a_long_step_keeps_its_lease_and_runs_once(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged}]\nactions: [{action: world.call, config: {name: long, hangs: true}}]").await;
        w.ping(Some("x"), 1).await;
        w.until_calls(&["long"]).await;
        let end = w.clock.now().plus_millis(200_000);
        advance_until(&w.clock, Duration::from_secs(1), async || w.clock.now() >= end, "200 s pass").await;
        w.engine.sweep().await;
        w.open_gate();
        let run = w.run_with(a, "success").await;
        assert_eq!(w.calls(), ["long"]);
        assert_eq!(w.steps(run.id).await[0].attempts, 1);
        w.node.shutdown().await;
    }

    async fn a_commit_that_fails_leaves_the_run_to_recovery(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation(STORY).await;
        w.open_gate();
        w.node.scope().arm("dispatch.commit.before", Action::Error(4));
        w.ping(Some("x"), 1).await;
        advance_until(&w.clock, Duration::from_millis(100), async || w.node.scope().visits("dispatch.commit.before") >= 4, "the commit was tried again and again").await;
        advance_until(&w.clock, Duration::from_secs(10), async || w.runs(a).await.iter().any(|r| r.status == "success"), "recovered").await;
        let calls = w.calls();
        assert_eq!(calls.last().map(String::as_str), Some("three"));
        assert_eq!(calls.iter().filter(|c| *c == "three").count(), 1, "{calls:?}");
        w.node.shutdown().await;
    }

    async fn a_checkpoint_whose_reply_is_lost_takes_effect_once(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.went_down}]\nactions:\n- parallel:\n  - sequence: [{action: automation.log, config: {message: once}}, {wait_for_trigger: {event: world.pinged, context_key: one}}, {action: world.call, config: {name: woken}}]\n  - sequence: [{action: world.call, config: {name: long, hangs: true}}]").await;
        // The lock and the line of the log are written, and the driver does not hear of it.
        w.node.scope().arm("dispatch.commit.after", Action::Error(1));
        w.set("x", "down").await;
        advance_until(&w.clock, Duration::from_millis(20), async || w.node.scope().visits("dispatch.commit.after") >= 2, "the commit is tried again").await;
        w.ping(Some("one"), 1).await;
        w.until_calls(&["long", "woken"]).await;
        w.open_gate();
        let run = w.run_with(a, "success").await;
        assert_eq!(w.calls().len(), 2, "nothing is repeated");
        assert!(w.steps(run.id).await.iter().all(|s| s.attempts <= 1));
        assert_eq!(w.count(&db, LOGS).await, 1);
        w.node.shutdown().await;
    }

    async fn a_graceful_stop_gives_the_lease_back_at_once(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged}]\nactions: [{delay: {seconds: 10}}, {action: world.call, config: {name: after}}]").await;
        w.ping(Some("x"), 1).await;
        w.run_with(a, "waiting").await;
        let World { node, shared, clock, .. } = w;
        node.shutdown().await;
        clock.advance(Duration::from_secs(10));
        let w = World::boot(&db, shared, clock).await;
        w.until_calls(&["after"]).await;
        w.run_with(a, "success").await;
        w.node.shutdown().await;
    }
}
