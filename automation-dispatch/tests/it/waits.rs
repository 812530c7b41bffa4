//! `wait_until`: every order in which a change, the lock and a signal can meet.

use crate::world::{LOCKS, World};
use plugin_api::fail::Action;
use std::time::Duration;
use test_kit::{TestDb, advance_until, both_engines, eventually, stays};

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

    async fn dispatch_c37_entity_23_22_a_second_change_is_evaluated_too(db: TestDb) {
        let w = World::new(&db).await;
        w.set("x", "a").await;
        let a = w.automation(&wait("state.thing.x.status == \"c\"", "")).await;
        w.ping(Some("k"), 1).await;
        w.run_with(a, "waiting").await;
        w.set("x", "b").await;
        w.set("x", "c").await;
        w.until_calls(&["done"]).await;
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
