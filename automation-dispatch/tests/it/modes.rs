//! Concurrency, redelivery, isolation, cancellation, editing.

use crate::world::{LOCKS, STATES, World};
use automation_core::store::{AutomationChange, Source};
use plugin_api::Actor;
use std::time::Duration;
use test_kit::{TestDb, both_engines, eventually, stays};

fn waiting(mode: &str) -> String {
    format!(
        "triggers: [{{event: world.pinged}}]\n{mode}\nactions: [{{action: world.call, config: {{name: 'n{{{{ trigger.payload.n }}}}', hangs: true}}}}, {{action: world.call, config: {{name: after}}}}]"
    )
}

both_engines! {
    async fn dispatch_c56_single_refuses_while_a_run_is_active(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation(&waiting("mode: single")).await;
        let b = w.automation(&waiting("mode: single\nconcurrency_scope: context_key")).await;
        w.ping(Some("x"), 1).await;
        eventually(async || w.calls().len() == 2, "both have begun").await;
        w.ping(Some("x"), 2).await;
        w.ping(Some("y"), 3).await;
        eventually(async || w.calls().len() == 3, "the other key begins in b").await;
        assert!(stays(async || w.calls().len() == 3).await);
        assert_eq!(w.runs(a).await.len(), 1);
        assert_eq!(w.runs(b).await.len(), 2);
        w.open_gate();
        w.run_with(a, "success").await;
        w.node.shutdown().await;
    }

    async fn dispatch_c57_parallel_runs_up_to_max_runs_at_once(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation(&waiting("mode: parallel\nmax_runs: 2")).await;
        for n in 1..=3 {
            w.ping(Some("x"), n).await;
        }
        eventually(async || w.calls().len() == 2, "two in mid-walk together").await;
        assert!(stays(async || w.runs(a).await.len() == 2).await, "the third is refused");
        w.open_gate();
        eventually(async || w.runs(a).await.iter().all(|r| r.status == "success"), "both end").await;
        w.node.shutdown().await;
    }

    async fn dispatch_c58_restart_cancels_the_old_run_in_the_middle_of_a_call(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation(&waiting("mode: restart")).await;
        w.ping(Some("x"), 1).await;
        w.until_calls(&["n1"]).await;
        w.ping(Some("x"), 2).await;
        w.until_calls(&["n1", "n2"]).await;
        let old = w.run_with(a, "cancelled").await;
        assert_eq!(old.error_code.as_deref(), Some("superseded"));
        assert_eq!(w.step_list(old.id).await, ["actions[0]=skipped(run_cancelled)"]);
        w.open_gate();
        w.run_with(a, "success").await;
        assert_eq!(w.calls(), ["n1", "n2", "after"], "the old run takes no further step");
        w.node.shutdown().await;
    }

    async fn dispatch_c59_a_cancelled_waiting_run_stays_cancelled(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged}]\nactions: [{delay: {seconds: 60}}, {action: world.call, config: {name: after}}]").await;
        w.ping(Some("x"), 1).await;
        let run = w.run_with(a, "waiting").await;
        w.node.run(w.engine.cancel(a, run.id, None)).await.unwrap();
        let run = w.run_with(a, "cancelled").await;
        assert_eq!(run.error_code.as_deref(), Some("cancelled_by_operator"));
        assert!(run.finished_at.is_some());
        assert_eq!(w.count(&db, LOCKS).await, 0);
        assert_eq!(w.count(&db, STATES).await, 0);
        assert_eq!(w.step_list(run.id).await, ["actions[0]=skipped(run_cancelled)"]);
        w.clock.advance(Duration::from_secs(60));
        w.engine.sweep().await;
        assert!(stays(async || w.calls().is_empty()).await);
        w.node.run(w.engine.cancel(a, run.id, None)).await.expect("cancelling twice is fine");
        assert_eq!(w.runs(a).await[0].status, "cancelled");
        w.node.shutdown().await;
    }

    async fn dispatch_c65_an_edit_affects_only_new_runs(db: TestDb) {
        let w = World::new(&db).await;
        let old = "triggers: [{event: world.pinged}]\nmode: parallel\nactions: [{delay: {seconds: 60}}, {action: world.call, config: {name: old}}]";
        let a = w.automation(old).await;
        w.ping(Some("x"), 1).await;
        w.run_with(a, "waiting").await;
        let text = format!("name: test\n{}", old.replace("name: old", "name: new"));
        let change = AutomationChange { definition: Some(Source::Text(text)), ..Default::default() };
        w.engine.automations().update(a, None, change, &Actor::system()).await.unwrap();
        w.ping(Some("x"), 2).await;
        eventually(async || w.runs(a).await.iter().filter(|r| r.status == "waiting").count() == 2, "two wait").await;
        w.clock.advance(Duration::from_secs(60));
        eventually(async || w.runs(a).await.iter().all(|r| r.status == "success"), "both end").await;
        let mut calls = w.calls();
        calls.sort();
        assert_eq!(calls, ["new", "old"]);
        w.node.shutdown().await;
    }

    async fn dispatch_c66_two_changes_in_one_millisecond_are_two_runs(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.changed}]\nmode: parallel\nactions: []").await;
        w.set("a", "up").await;
        w.set("a", "down").await;
        eventually(async || w.runs(a).await.iter().filter(|r| r.status == "success").count() == 2, "two runs").await;
        w.node.shutdown().await;
    }

    async fn dispatch_c69_health_that_cannot_be_read_is_empty_and_stops_nothing(db: TestDb) {
        let w = World::new(&db).await;
        *w.shared.health_down.lock().unwrap() = true;
        let a = w.automation("triggers: [{event: world.pinged, filter: 'health.system.status != \"up\"'}]\nactions: [{action: world.call, config: {name: 'go{{ health.system.status }}'}}]").await;
        w.ping(Some("x"), 1).await;
        w.until_calls(&["go"]).await;
        w.run_with(a, "success").await;
        w.node.shutdown().await;
    }

    async fn a_manual_run_skips_gates_and_the_bucket(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged, filter: 'false'}]\nconditions: ['false']\nactions: [{delay: {seconds: 60}}]").await;
        w.manual(a).await;
        w.manual(a).await;
        eventually(async || w.runs(a).await.iter().filter(|r| r.status == "waiting").count() == 2, "both wait").await;
        w.node.shutdown().await;
    }

    async fn dispatch_c68_ticks_reach_only_their_own_automation_and_follow_edits(db: TestDb) {
        let w = World::new(&db).await;
        let every = |s: u32, name: &str| format!("triggers: [{{event: automation.interval, config: {{intervalSeconds: {s}}}}}]\nmode: parallel\nactions: [{{action: world.call, config: {{name: {name}}}}}]");
        w.automation(&every(60, "minute")).await;
        let fast = w.automation(&every(45, "fast")).await;
        let store = w.engine.automations();
        test_kit::advance_until(&w.clock, Duration::from_secs(5), async || w.calls().contains(&"minute".to_owned()), "a tick of the slow one").await;
        let calls = w.calls();
        assert_eq!(calls.iter().filter(|c| *c == "minute").count(), 1, "{calls:?}");
        assert!(calls.contains(&"fast".to_owned()), "{calls:?}");
        let text = format!("name: test\n{}", every(600, "slow"));
        let change = AutomationChange { definition: Some(Source::Text(text)), ..Default::default() };
        w.node.run(store.update(fast, None, change, &Actor::system())).await.unwrap();
        let before = w.calls().iter().filter(|c| *c == "fast").count();
        test_kit::advance_until(&w.clock, Duration::from_secs(20), async || w.calls().contains(&"slow".to_owned()), "a tick of the edited one").await;
        let after = w.calls().iter().filter(|c| *c == "fast").count();
        assert!(after <= before + 1, "the old interval is gone: {before} then {after}");
        w.node.shutdown().await;
    }
}
