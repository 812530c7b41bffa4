//! What happens while a call of another branch is in flight, and waits that follow one another.

use crate::world::World;
use std::time::Duration;
use test_kit::{TestDb, advance_until, both_engines, eventually, stays};

/// A quick call beside one that the test holds.
const QUICK_BESIDE_LONG: &str = "triggers: [{event: world.pinged}]\nactions:\n- parallel:\n  - {action: world.call, config: {name: long, hangs: true}}\n  - {action: world.call, config: {name: quick}}";

both_engines! {
    async fn dispatch_9_4_what_a_provider_did_is_durable_although_another_branch_is_in_a_call(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation(QUICK_BESIDE_LONG).await;
        w.ping(Some("x"), 1).await;
        let run = w.run_with(a, "running").await;
        let quick = "actions[0].parallel[1][0]=success".to_owned();
        eventually(async || w.step_list(run.id).await.contains(&quick), "the step that ended is stored").await;
        let (shared, clock) = (w.shared.clone(), w.clock.clone());
        w.node.kill();
        let again = World::boot(&db, shared, clock).await;
        again.open_gate();
        let over = async || again.runs(a).await[0].status == "success";
        advance_until(&again.clock, Duration::from_secs(10), over, "it is recovered").await;
        let mut calls = again.calls();
        calls.sort();
        assert_eq!(calls, ["long", "long", "quick"], "only what was in flight is repeated");
        again.node.shutdown().await;
    }

    async fn dispatch_2_a_stop_waits_for_calls_of_all_branches(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged}]\nactions:\n- parallel:\n  - {action: world.call, config: {name: long, hangs: true}}\n  - sequence: [{action: world.call, config: {name: first, held: true}}, {action: world.call, config: {name: second}}]").await;
        w.ping(Some("x"), 1).await;
        eventually(async || w.calls().len() == 2, "both are called").await;
        let run = w.run_with(a, "running").await;
        let (shared, clock, engine) = (w.shared.clone(), w.clock.clone(), w.engine.clone());
        let (scope, gate) = (w.node.scope().clone(), w.gate());
        let stopping = async {
            eventually(async || scope.visits("dispatch.close.begun") == 1, "it stops").await;
            shared.let_go.notify_one();
            let first = async || engine.steps(run.id).await.expect("steps").iter().any(|s| s.action_path == "actions[0].parallel[1][0].sequence[0]" && s.status == "success");
            eventually(first, "one branch reaches a checkpoint").await;
            assert!(stays(async || engine.load().0 == 1).await, "the call of the other one is waited for");
            gate.send_replace(true);
        };
        tokio::join!(w.node.shutdown(), stopping);
        assert_eq!(shared.calls.lock().unwrap().len(), 2, "nothing is begun any more");
        assert!(shared.heard.lock().unwrap().is_empty(), "it ended in its own time");
        let again = World::boot(&db, shared.clone(), clock).await;
        let over = async || again.runs(a).await[0].status == "success";
        advance_until(&again.clock, Duration::from_secs(10), over, "another node goes on").await;
        assert_eq!(again.calls()[2..], ["second"]);
        again.node.shutdown().await;
    }

    async fn dispatch_10_what_is_behind_a_wait_sees_the_state_as_it_is_then(db: TestDb) {
        let w = World::new(&db).await;
        w.set("x", "down").await;
        w.set("other", "old").await;
        let a = w.automation("triggers: [{event: world.pinged}]\nactions:\n- parallel:\n  - {action: world.call, config: {name: long, hangs: true}}\n  - sequence: [{wait_until: {condition: 'state.thing.x.status == \"up\"'}}, {action: world.call, config: {name: '{{ state.thing.other.status }} {{ state.thing.x.status }}'}}]").await;
        w.ping(Some("x"), 1).await;
        w.until_calls(&["long"]).await;
        eventually(async || w.count(&db, crate::world::LOCKS).await == 1, "it waits").await;
        w.set("other", "new").await;
        w.set("x", "up").await;
        w.until_calls(&["long", "new up"]).await;
        w.open_gate();
        w.run_with(a, "success").await;
        w.node.shutdown().await;
    }

    async fn dispatch_14_2_one_event_ends_one_wait_of_a_run(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.changed, filter: 'trigger.payload.status == \"start\"'}]\nactions:\n- repeat:\n    count: 3\n    sequence:\n    - wait_for_trigger: {event: world.changed}\n    - action: world.call\n      config: {name: 'strike {{ resume.payload.status }}'}").await;
        w.set("x", "start").await;
        let run = w.run_with(a, "waiting").await;
        for n in 1..=3 {
            w.set("x", &format!("{n}")).await;
            eventually(async || w.calls().len() == n, "a strike").await;
            if n < 3 {
                w.run_with(a, "waiting").await;
            }
            // Its decision is put off until the woken run rests; that must not end the next wait.
            let decided = async || crate::why::told(&w, a).await.len() == n + 1;
            advance_until(&w.clock, Duration::from_millis(20), decided, "the event is decided").await;
            assert_eq!(w.calls().len(), n);
        }
        w.run_with(a, "success").await;
        assert_eq!(w.calls(), ["strike 1", "strike 2", "strike 3"]);
        assert_eq!(w.runs(a).await[0].id, run.id);
        w.node.shutdown().await;
    }
}
