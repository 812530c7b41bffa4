//! Nodes cut off from their database: they stop in time, and a moment's absence stops nobody
//! (`dispatch §9.3`, invariant 1).

use crate::world::{LEASES, World};
use automation_core::AutomationId;
use plugin_api::{
    Clock,
    fail::{Action, DATABASE},
};
use std::{sync::Arc, time::Duration};
use test_kit::{TestDb, VirtualClock, advance_until, both_engines, eventually, stays};

const TWO: &str = "triggers: [{event: world.pinged}]\nmode: parallel\nmax_runs: 100\nactions: [{action: world.call, config: {name: long, hangs: true}}, {action: world.call, config: {name: next}}]";

/// Nothing reaches the database any more.
fn cut_off(w: &World) {
    w.node.scope().arm(DATABASE, Action::Error(u32::MAX));
}
fn reconnect(w: &World) {
    w.node.scope().disarm(DATABASE);
}

/// Moves the clock second by second.
async fn seconds(w: &World, n: u64) {
    let until = w.clock.now().plus_millis(n as i64 * 1000);
    let there = async || w.clock.now() >= until;
    advance_until(&w.clock, Duration::from_secs(1), there, "time passes").await;
}

fn driven(w: &World) -> usize {
    w.engine.load().0
}

/// Nodes that were given a call of this name, in order.
fn callers(w: &World, name: &str) -> Vec<u64> {
    let given = w.shared.given.lock().unwrap();
    let of_name = given.iter().filter(|g| g["name"] == name);
    of_name.map(|g| g["node"].as_u64().unwrap()).collect()
}

fn heard(w: &World) -> Vec<String> {
    w.shared.heard.lock().unwrap().clone()
}

both_engines! {
    async fn a_database_that_is_away_for_fifteen_seconds_stops_no_driver(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation(TWO).await;
        w.ping(Some("x"), 1).await;
        w.until_calls(&["long"]).await;
        // Just before a renewal, when the least is left.
        seconds(&w, 19).await;
        cut_off(&w);
        seconds(&w, 10).await;
        // The action answers while its checkpoint cannot be written.
        w.open_gate();
        seconds(&w, 5).await;
        assert_eq!((driven(&w), w.calls().len()), (1, 1));
        reconnect(&w);
        advance_until(&w.clock, Duration::from_secs(1), async || w.calls() == ["long", "next"], "the walk goes on").await;
        let run = w.run_with(a, "success").await;
        let steps = w.steps(run.id).await;
        assert_eq!(steps.iter().map(|s| s.attempts).collect::<Vec<_>>(), [1, 1], "nothing was called twice");
        assert!(heard(&w).is_empty(), "nobody was told to stop");
        w.node.shutdown().await;
    }

    async fn a_node_that_is_cut_off_stops_before_its_lease_ends(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation(TWO).await;
        w.ping(Some("x"), 1).await;
        w.until_calls(&["long"]).await;
        cut_off(&w);
        seconds(&w, 48).await;
        assert_eq!((driven(&w), heard(&w).len()), (1, 0), "passing errors stop nobody");
        seconds(&w, 3).await;
        eventually(async || driven(&w) == 0, "the driver stops").await;
        eventually(async || heard(&w) == ["long"], "the call in flight hears of it").await;
        assert_eq!(w.count(&db, LEASES).await, 1, "nobody could have taken the lease yet");
        w.open_gate();
        assert!(stays(async || w.calls() == ["long"]).await, "no action starts afterwards");
        reconnect(&w);
        // Whoever has the database again recovers the run: here it is the same node.
        advance_until(&w.clock, Duration::from_secs(5), async || w.calls() == ["long", "long", "next"], "the run is recovered").await;
        w.run_with(a, "success").await;
        w.node.shutdown().await;
    }

    async fn a_database_that_hangs_stops_drivers_as_well(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation(TWO).await;
        w.ping(Some("x"), 1).await;
        w.until_calls(&["long"]).await;
        w.node.scope().arm(DATABASE, Action::Hang);
        seconds(&w, 51).await;
        eventually(async || driven(&w) == 0 && heard(&w) == ["long"], "the driver stops").await;
        reconnect(&w);
        w.open_gate();
        advance_until(&w.clock, Duration::from_secs(5), async || w.runs(a).await[0].status == "success", "the run is recovered").await;
        assert_eq!(w.calls(), ["long", "long", "next"]);
        w.node.shutdown().await;
    }

    async fn a_renewal_that_hangs_is_given_up_and_tried_again(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation(TWO).await;
        w.ping(Some("x"), 1).await;
        w.until_calls(&["long"]).await;
        let scope = w.node.scope();
        scope.arm("dispatch.renew", Action::Hang);
        seconds(&w, 21).await;
        eventually(async || scope.visits("dispatch.renew") == 1, "renewed after 20 s").await;
        seconds(&w, 15).await;
        let tried = scope.visits("dispatch.renew");
        assert!((3..=4).contains(&tried), "tried every five seconds: {tried}");
        scope.disarm("dispatch.renew");
        seconds(&w, 60).await;
        assert_eq!((driven(&w), heard(&w).len()), (1, 0));
        w.open_gate();
        w.run_with(a, "success").await;
        assert_eq!(w.calls(), ["long", "next"]);
        w.node.shutdown().await;
    }

    async fn renewals_that_fail_are_tried_again_every_few_seconds(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation(TWO).await;
        w.ping(Some("x"), 1).await;
        w.until_calls(&["long"]).await;
        w.node.scope().arm("dispatch.renew", Action::Error(5));
        seconds(&w, 90).await;
        assert_eq!((driven(&w), heard(&w).len()), (1, 0));
        w.open_gate();
        w.run_with(a, "success").await;
        assert_eq!(w.calls(), ["long", "next"]);
        w.node.shutdown().await;
    }

    async fn a_run_whose_creation_took_too_long_to_commit_is_left_to_recovery(db: TestDb) {
        let w = World::new(&db).await;
        w.automation("triggers: [{event: world.changed}]\nactions: [{action: world.call, config: {name: go}}]").await;
        let scope = w.node.scope();
        scope.arm("queue.batch.before_commit", Action::Hang);
        w.set("x", "up").await;
        eventually(async || scope.visits("queue.batch.before_commit") > 0, "the run is about to be created").await;
        w.clock.advance(Duration::from_secs(55));
        scope.disarm("queue.batch.before_commit");
        eventually(async || w.count(&db, LEASES).await == 1, "it is created").await;
        assert!(stays(async || w.calls().is_empty()).await, "its lease is nearly over");
        advance_until(&w.clock, Duration::from_secs(5), async || w.calls() == ["go"], "taken over when it is").await;
        w.node.shutdown().await;
    }
}

/// A run begun by the first of two nodes, whose first call hangs.
async fn begun_on_one_of_two(db: &TestDb) -> (World, World, AutomationId) {
    let clock = VirtualClock::new();
    let shared = Arc::default();
    let one = World::boot(db, Arc::clone(&shared), clock.clone()).await;
    let a = one.automation(TWO).await;
    one.ping(Some("x"), 1).await;
    one.until_calls(&["long"]).await;
    let two = World::boot(db, shared, clock).await;
    (one, two, a)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_takes_over_and_the_one_cut_off_starts_nothing() {
    let db = TestDb::postgres().await;
    let (one, two, a) = begun_on_one_of_two(&db).await;
    cut_off(&one);
    advance_until(
        &two.clock,
        Duration::from_secs(1),
        async || callers(&two, "long").len() == 2,
        "the other node takes over",
    )
    .await;
    assert_eq!(callers(&two, "long"), [1, 2]);
    assert_eq!(heard(&two), ["long"], "the first call heard before that");
    // Both calls answer; only the second one's answer counts.
    one.open_gate();
    two.open_gate();
    two.run_with(a, "success").await;
    seconds(&two, 30).await;
    reconnect(&one);
    seconds(&two, 60).await;
    assert!(stays(async || callers(&two, "next") == [2]).await);
    one.node.shutdown().await;
    two.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_row_is_locked_keeps_no_other_from_being_renewed() {
    let db = TestDb::postgres().await;
    let w = World::new(&db).await;
    let a = w.automation(TWO).await;
    for n in 0..2 {
        w.ping(Some("x"), n).await;
    }
    w.until_calls(&["long", "long"]).await;
    plugin_api::statements! {
        ONE_ROW = { sqlite: "select 1", postgres: "select 1::bigint from (select run_id from signalbox.automation_run_state order by run_id limit 1 for update) s" };
    }
    let mut lock = db.db().begin().await.unwrap();
    let _: i64 = lock.sql(ONE_ROW).one().await.unwrap();
    seconds(&w, 60).await;
    eventually(
        async || driven(&w) == 1,
        "the one that cannot be renewed stops",
    )
    .await;
    lock.rollback().await.unwrap();
    seconds(&w, 60).await;
    w.open_gate();
    eventually(
        async || w.runs(a).await.iter().all(|r| r.status == "success"),
        "both end",
    )
    .await;
    assert_eq!(callers(&w, "long").len(), 3, "one of them was recovered");
    w.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_on_another_node_reaches_the_call_in_flight() {
    let db = TestDb::postgres().await;
    let (one, two, a) = begun_on_one_of_two(&db).await;
    let run = two.run_with(a, "running").await;
    two.node
        .run(two.engine.cancel(a, run.id, None))
        .await
        .unwrap();
    // At the next renewal, not only when the lease may not be relied on any more, 50 s after the last.
    let since = two.clock.now();
    let told = async || heard(&two) == ["long"];
    advance_until(
        &two.clock,
        Duration::from_secs(1),
        told,
        "the renewal finds out",
    )
    .await;
    assert!(two.clock.now() < since.plus_millis(45_000));
    eventually(async || driven(&one) == 0, "its driver leaves").await;
    one.open_gate();
    assert!(stays(async || two.calls() == ["long"]).await);
    one.node.shutdown().await;
    two.node.shutdown().await;
}
