//! `for:`: arming, expiry, and what ends a dwell early.

use crate::{
    why,
    world::{DWELLS, World},
};
use automation_core::{
    AutomationId,
    store::{AutomationChange, Source, Status},
};
use plugin_api::{Actor, Clock};
use serde_json::json;
use std::time::Duration;
use test_kit::{TestDb, both_engines, eventually, stays};
use tracing::Level;

const DOWN_FOR_30_MIN: &str = "triggers: [{id: down, event: world.went_down, for: {minutes: 30}}]\nconcurrency_scope: context_key\nactions: [{action: world.call, config: {name: 'alert {{ trigger.payload.id }}'}}]";

async fn armed(w: &World, db: &TestDb, n: i64) {
    eventually(
        async || w.count(db, DWELLS).await == n,
        &format!("{n} armed dwells"),
    )
    .await;
}

const PINGED_FOR_10_MIN: &str = "triggers: [{id: ping, event: world.pinged, for: {minutes: 10}}]\nconcurrency_scope: context_key\nactions: [{action: world.call, config: {name: 'n{{ trigger.payload.n }}'}}]";

/// Gives an automation another definition.
async fn edit(w: &World, automation: AutomationId, body: &str) {
    let change = AutomationChange {
        definition: Some(Source::Text(format!("name: test\n{body}"))),
        ..Default::default()
    };
    let (store, actor) = (w.engine.automations(), Actor::system());
    let update = store.update(automation, None, change, &actor);
    w.node.run(update).await.expect("edited");
}

both_engines! {
    async fn dispatch_c48_c49_a_dwell_arms_once_and_fires_with_its_first_payload(db: TestDb) {
        let w = World::new(&db).await;
        w.set("a", "up").await;
        let a = w.automation(DOWN_FOR_30_MIN).await;
        w.set("a", "down").await;
        armed(&w, &db, 1).await;
        let first = w.engine.timers(a).await.unwrap();
        assert_eq!(first[0].armed_status.as_deref(), Some("down"));
        assert!(w.runs(a).await.is_empty(), "no run yet");
        w.clock.advance(Duration::from_secs(29 * 60 + 59));
        assert!(stays(async || w.calls().is_empty()).await);
        w.clock.advance(Duration::from_secs(1));
        w.until_calls(&["alert a"]).await;
        let run = w.run_with(a, "success").await;
        assert_eq!(run.context_key.as_deref(), Some("a"));
        assert_eq!(w.count(&db, DWELLS).await, 0);
        w.node.shutdown().await;
    }

    async fn dispatch_c48_re_firing_keeps_the_deadline(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged, for: {minutes: 10}}]\nactions: [{action: world.call, config: {name: 'n{{ trigger.payload.n }}'}}]").await;
        w.ping(Some("a"), 1).await;
        armed(&w, &db, 1).await;
        let first = w.engine.timers(a).await.unwrap()[0].clone();
        for n in 2..6 {
            w.clock.advance(Duration::from_secs(60));
            w.ping(Some("a"), n).await;
        }
        w.ping(None, 9).await;
        armed(&w, &db, 2).await;
        w.ping(None, 10).await;
        let timers = w.engine.timers(a).await.unwrap();
        assert_eq!(timers.len(), 2, "the null key has one dwell too");
        assert_eq!(timers[0].id, first.id);
        assert_eq!(timers[0].fire_at, first.fire_at);
        w.clock.advance(Duration::from_secs(6 * 60));
        w.until_calls(&["n1"]).await;
        w.node.shutdown().await;
    }

    async fn dispatch_c50_c51_an_inverse_change_cancels_an_armed_dwell(db: TestDb) {
        let w = World::new(&db).await;
        w.set("a", "up").await;
        w.set("b", "up").await;
        let a = w.automation(DOWN_FOR_30_MIN).await;
        w.set("a", "down").await;
        w.set("b", "down").await;
        armed(&w, &db, 2).await;
        w.clock.advance(Duration::from_secs(600));
        w.set("a", "up").await;
        armed(&w, &db, 1).await;
        w.set("a", "down").await;
        armed(&w, &db, 2).await;
        w.clock.advance(Duration::from_secs(20 * 60));
        w.until_calls(&["alert b"]).await;
        assert!(stays(async || w.calls().len() == 1).await, "a has not been down for 30 min");
        w.clock.advance(Duration::from_secs(10 * 60));
        w.until_calls(&["alert b", "alert a"]).await;
        assert_eq!(w.runs(a).await.len(), 2);
        w.node.shutdown().await;
    }

    async fn dispatch_c53_a_disabled_deleted_or_edited_automation_does_not_fire(db: TestDb) {
        let w = World::new(&db).await;
        w.set("a", "up").await;
        let disabled = w.automation(DOWN_FOR_30_MIN).await;
        let edited = w.automation(DOWN_FOR_30_MIN).await;
        let deleted = w.automation(DOWN_FOR_30_MIN).await;
        w.set("a", "down").await;
        armed(&w, &db, 3).await;
        let store = w.engine.automations();
        let change = AutomationChange { status: Some(Status::Disabled), ..Default::default() };
        store.update(disabled, None, change, &Actor::system()).await.unwrap();
        w.engine.delete(deleted, None).await.unwrap();
        edit(&w, edited, &DOWN_FOR_30_MIN.replace("minutes: 30", "minutes: 31")).await;
        assert_eq!(w.engine.timers(edited).await.unwrap().len(), 1, "it is judged at its end");
        w.clock.advance(Duration::from_secs(30 * 60));
        armed(&w, &db, 0).await;
        assert!(stays(async || w.calls().is_empty()).await);
        for automation in [disabled, deleted, edited] {
            assert!(w.runs(automation).await.is_empty());
        }
        let told = why::after(&w, edited, 2).await;
        assert_eq!(why::verdicts(&told), ["dwell_armed", "dwell_dropped"]);
        assert_eq!(told[1].detail.0, json!({"reason": "trigger_changed"}));
        w.node.shutdown().await;
    }

    async fn dispatch_6_2_2_an_edited_trigger_arms_anew_at_its_next_match(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation(PINGED_FOR_10_MIN).await;
        let other = w.automation(PINGED_FOR_10_MIN).await;
        for key in [Some("k"), None] {
            w.ping(key, 1).await;
        }
        armed(&w, &db, 4).await;
        let first = w.engine.timers(a).await.unwrap();
        edit(&w, a, &PINGED_FOR_10_MIN.replace("minutes: 10", "minutes: 1")).await;
        w.clock.advance(Duration::from_secs(10));
        for key in [Some("k"), None] {
            w.ping(key, 2).await;
        }
        why::after(&w, a, 6).await;
        let second = w.engine.timers(a).await.unwrap();
        assert_eq!(second.len(), 2, "one of each key");
        for dwell in &second {
            assert!(first.iter().all(|f| f.id != dwell.id));
            assert_eq!(dwell.fire_at, w.clock.now().plus_millis(60_000));
            assert_eq!(dwell.payload_snapshot.0["n"], 2);
        }
        // What was not edited keeps its first deadline, and so does the new one from here on.
        w.ping(Some("k"), 3).await;
        let told = why::after(&w, a, 7).await;
        let mut verdicts = why::verdicts(&told);
        verdicts.sort_unstable();
        assert_eq!(verdicts, ["dwell_armed", "dwell_armed", "dwell_armed", "dwell_armed", "dwell_dropped", "dwell_dropped", "dwell_kept"]);
        let dropped = told.iter().find(|d| d.verdict == "dwell_dropped").unwrap();
        assert_eq!(dropped.detail.0["reason"], "trigger_changed");
        assert_eq!(w.engine.timers(other).await.unwrap()[0].payload_snapshot.0["n"], 1);
        w.clock.advance(Duration::from_secs(60));
        w.until_calls(&["n2", "n2"]).await;
        w.node.shutdown().await;
    }

    async fn dispatch_6_2_2_a_dwell_of_an_edited_trigger_is_not_armed_again_when_it_was_re_entered(db: TestDb) {
        let w = World::new(&db).await;
        w.health("sys", "bad");
        let kept = w.automation(PINGED_FOR_10_MIN).await;
        let edited = w.automation(PINGED_FOR_10_MIN).await;
        w.clock.advance(Duration::from_secs(1));
        w.ping(Some("sys"), 1).await;
        armed(&w, &db, 2).await;
        w.clock.advance(Duration::from_secs(300));
        // Left and entered again, and nobody has seen it.
        w.health("sys", "bad");
        let again = w.clock.now();
        edit(&w, edited, &PINGED_FOR_10_MIN.replace("minutes: 10", "minutes: 11")).await;
        w.clock.advance(Duration::from_secs(300));
        armed(&w, &db, 1).await;
        let left = w.engine.timers(kept).await.unwrap();
        assert_eq!(left[0].fire_at, again.plus_millis(600_000), "the other one is armed again");
        let told = why::after(&w, edited, 2).await;
        assert_eq!(told[1].detail.0, json!({"reason": "trigger_changed"}));
        assert!(w.calls().is_empty());
        w.node.shutdown().await;
    }

    async fn dispatch_6_3_a_kind_that_cannot_be_read_hides_no_other_kind(db: TestDb) {
        let w = World::new(&db).await;
        w.set("k", "up").await;
        w.health("k", "bad");
        let down = w.automation(DOWN_FOR_30_MIN).await;
        let first_only = PINGED_FOR_10_MIN.replace("event:", "filter: 'trigger.payload.n == 1', event:");
        let bad = w.automation(&first_only).await;
        w.set("k", "down").await;
        w.ping(Some("k"), 1).await;
        armed(&w, &db, 2).await;
        assert_eq!(w.engine.timers(bad).await.unwrap()[0].armed_status.as_deref(), Some("bad"));
        w.clock.advance(Duration::from_secs(60));
        *w.shared.reader_down.lock().unwrap() = true;
        w.health("k", "good");
        // Both dwells of this context key are looked at, in one read.
        w.ping(Some("k"), 2).await;
        armed(&w, &db, 1).await;
        assert!(w.engine.timers(bad).await.unwrap().is_empty(), "health says that it is over");
        assert!(!w.node.logs().find(Level::WARN, "The status of entities could not be read").is_empty());
        // What cannot be read counts as held.
        w.clock.advance(Duration::from_secs(30 * 60));
        w.until_calls(&["alert k"]).await;
        assert_eq!(w.runs(down).await.len(), 1);
        w.node.shutdown().await;
    }

    async fn dispatch_6_1_2_a_status_that_cannot_be_read_arms_without_one_and_says_so(db: TestDb) {
        let w = World::new(&db).await;
        w.health("k", "bad");
        *w.shared.health_down.lock().unwrap() = true;
        let a = w.automation(PINGED_FOR_10_MIN).await;
        w.ping(Some("k"), 1).await;
        armed(&w, &db, 1).await;
        assert_eq!(w.engine.timers(a).await.unwrap()[0].armed_status, None);
        assert!(!w.node.logs().find(Level::WARN, "The status of entities could not be read").is_empty());
        w.clock.advance(Duration::from_secs(600));
        w.until_calls(&["n1"]).await;
        w.node.shutdown().await;
    }

    async fn dispatch_c54_the_own_gate_deletes_the_dwell_when_it_says_no(db: TestDb) {
        let w = World::new(&db).await;
        w.automation("triggers: [{event: world.measured, config: {above: 10}, for: {minutes: 10}}]\nactions: [{action: world.call, config: {name: slow}}]").await;
        w.ping(Some("a"), 11).await;
        armed(&w, &db, 1).await;
        w.ping(Some("a"), 3).await;
        armed(&w, &db, 0).await;
        w.clock.advance(Duration::from_secs(60));
        w.ping(Some("a"), 20).await;
        armed(&w, &db, 1).await;
        w.clock.advance(Duration::from_secs(9 * 60));
        w.ping(Some("a"), 30).await;
        assert!(stays(async || w.calls().is_empty()).await, "not at the first deadline");
        w.clock.advance(Duration::from_secs(60));
        w.until_calls(&["slow"]).await;
        w.node.shutdown().await;
    }

    async fn conditions_are_evaluated_when_the_dwell_fires_not_when_it_arms(db: TestDb) {
        let w = World::new(&db).await;
        w.set("a", "up").await;
        w.health("sys", "bad");
        let a = w.automation("triggers: [{event: world.went_down, for: {seconds: 60}}]\nconditions: ['health.systems.sys.status == \"good\"']\nactions: [{action: world.call, config: {name: go}}]").await;
        w.set("a", "down").await;
        armed(&w, &db, 1).await;
        w.health("sys", "good");
        w.clock.advance(Duration::from_secs(60));
        w.until_calls(&["go"]).await;
        w.run_with(a, "success").await;
        w.node.shutdown().await;
    }
}
