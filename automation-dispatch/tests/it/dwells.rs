//! `for:`: arming, expiry, and what ends a dwell early.

use crate::world::{DWELLS, World};
use automation_core::store::{AutomationChange, Source, Status};
use plugin_api::Actor;
use std::time::Duration;
use test_kit::{TestDb, both_engines, eventually, stays};

const DOWN_FOR_30_MIN: &str = "triggers: [{id: down, event: world.went_down, for: {minutes: 30}}]\nconcurrency_scope: context_key\nactions: [{action: world.call, config: {name: 'alert {{ trigger.payload.id }}'}}]";

async fn armed(w: &World, db: &TestDb, n: i64) {
    eventually(
        async || w.count(db, DWELLS).await == n,
        &format!("{n} armed dwells"),
    )
    .await;
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

    async fn dispatch_c53_a_disabled_or_edited_automation_does_not_fire(db: TestDb) {
        let w = World::new(&db).await;
        w.set("a", "up").await;
        let disabled = w.automation(DOWN_FOR_30_MIN).await;
        let edited = w.automation(DOWN_FOR_30_MIN).await;
        w.set("a", "down").await;
        armed(&w, &db, 2).await;
        let store = w.engine.automations();
        let change = AutomationChange { status: Some(Status::Disabled), ..Default::default() };
        store.update(disabled, None, change, &Actor::system()).await.unwrap();
        let text = format!("name: test\n{}", DOWN_FOR_30_MIN.replace("minutes: 30", "minutes: 31"));
        let change = AutomationChange { definition: Some(Source::Text(text)), ..Default::default() };
        store.update(edited, None, change, &Actor::system()).await.unwrap();
        w.clock.advance(Duration::from_secs(30 * 60));
        armed(&w, &db, 0).await;
        assert!(w.calls().is_empty());
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
