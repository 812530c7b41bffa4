//! Branches, loops, events and retries through the engine, on both databases.

use crate::world::{LOCKS, STATES, World};
use std::time::Duration;
use test_kit::{TestDb, advance_until, both_engines, eventually, stays};

both_engines! {
    async fn dispatch_c27_two_parallel_waits_both_end(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.went_down}]\nactions:\n- parallel:\n  - sequence: [{wait_for_trigger: {event: world.pinged, context_key: one}}, {action: world.call, config: {name: one}}]\n  - sequence: [{wait_for_trigger: {event: world.pinged, context_key: two}}, {action: world.call, config: {name: two}}]\n- action: world.call\n  config: {name: after}").await;
        w.set("x", "down").await;
        let run = w.run_with(a, "waiting").await;
        assert_eq!(w.count(&db, LOCKS).await, 2);
        tokio::join!(w.ping(Some("one"), 1), w.ping(Some("two"), 2));
        w.run_with(a, "success").await;
        let calls = w.calls();
        assert_eq!(calls.len(), 3);
        assert_eq!(calls[2], "after");
        assert_eq!(w.count(&db, LOCKS).await + w.count(&db, STATES).await, 0);
        assert!(w.step_list(run.id).await.contains(&"actions[0]=success".to_owned()));
        w.node.shutdown().await;
    }

    async fn dispatch_c28_c30_only_the_right_event_ends_a_wait(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.went_down}]\nactions:\n- variables: {wanted: 7}\n- wait_for_trigger: {event: world.pinged, filter: 'trigger.payload.n == 7 && trigger.id == \"wait\" && variables.wanted == 7'}\n- action: world.call\n  config: {name: 'n{{ resume.payload.n }} of {{ trigger.payload.id }}'}").await;
        w.set("x", "down").await;
        w.run_with(a, "waiting").await;
        // Another key, no key, and a filter that says no.
        for (thing, n) in [(Some("y"), 7), (None, 7), (Some("x"), 6)] {
            w.ping(thing, n).await;
        }
        assert!(stays(async || w.calls().is_empty()).await);
        w.ping(Some("x"), 7).await;
        w.until_calls(&["n7 of x"]).await;
        w.run_with(a, "success").await;
        w.node.shutdown().await;
    }

    async fn dispatch_c29_entity_23_26_an_entity_driven_event_ends_a_wait(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.went_down}]\nactions:\n- wait_for_trigger: {event: world.came_up}\n- action: world.call\n  config: {name: 'up {{ resume.payload.status }}'}").await;
        w.set("x", "down").await;
        w.run_with(a, "waiting").await;
        w.set("other", "up").await;
        w.set("x", "up").await;
        w.until_calls(&["up up"]).await;
        w.node.shutdown().await;
    }

    async fn dispatch_c31_timeout_and_event_at_once_give_one_outcome(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.went_down}]\nactions:\n- wait_for_trigger: {event: world.pinged, timeout_seconds: 60}\n- action: world.call\n  config: {name: came}").await;
        w.set("x", "down").await;
        w.run_with(a, "waiting").await;
        w.set("y", "down").await;
        eventually(async || w.count(&db, LOCKS).await == 1, "single: the second firing is refused").await;
        w.clock.advance(Duration::from_secs(60));
        tokio::join!(w.engine.sweep(), w.ping(Some("x"), 1));
        eventually(async || w.runs(a).await[0].finished_at.is_some(), "the run ends").await;
        let run = w.runs(a).await.remove(0);
        match run.error_code.as_deref() {
            Some("wait_timeout") => assert!(w.calls().is_empty()),
            _ => assert_eq!((run.status.as_str(), w.calls().len()), ("success", 1)),
        }
        assert_eq!(w.count(&db, LOCKS).await, 0);
        w.node.shutdown().await;
    }

    async fn dispatch_5_4_a_run_that_the_event_ends_is_over_when_the_event_is_decided(db: TestDb) {
        let w = World::new(&db).await;
        // Single: the second event ends the first run, and then starts a second one.
        let a = w.automation("mode: single\ntriggers: [{event: world.pinged}]\nactions:\n- wait_for_trigger: {event: world.pinged}\n- action: world.call\n  config: {name: 'ended by {{ resume.payload.n }}'}").await;
        let b = w.automation("mode: single\ntriggers: [{event: world.changed}]\nactions:\n- wait_for_trigger: {event: world.changed}").await;
        w.ping(Some("k"), 1).await;
        w.run_with(a, "waiting").await;
        w.ping(Some("k"), 2).await;
        w.until_calls(&["ended by 2"]).await;
        eventually(async || w.runs(a).await.len() == 2, "a second run").await;
        w.set("x", "down").await;
        w.run_with(b, "waiting").await;
        w.set("x", "up").await;
        advance_until(&w.clock, Duration::from_millis(20), async || w.runs(b).await.len() == 2, "a second run").await;
        w.node.shutdown().await;
    }

    async fn dispatch_c15_a_wait_inside_for_each_goes_on_with_the_cached_list(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.went_down}]\nactions:\n- variables: {pre: p, list: [a, b, c]}\n- repeat:\n    for_each: variables.list\n    sequence:\n    - wait_until: {condition: 'state.thing[repeat.item].status == \"up\"'}\n    - action: world.call\n      config: {name: '{{ variables.pre }}{{ repeat.item }}{{ repeat.index }}'}").await;
        w.set("x", "down").await;
        let run = w.run_with(a, "waiting").await;
        for (id, calls) in [("a", 1), ("b", 2), ("c", 3)] {
            assert!(stays(async || w.calls().len() == calls - 1).await);
            w.set(id, "up").await;
            eventually(async || w.calls().len() == calls, "the next item").await;
        }
        w.run_with(a, "success").await;
        assert_eq!(w.calls(), ["pa0", "pb1", "pc2"]);
        let steps = w.steps(run.id).await;
        let row = steps.iter().find(|s| s.action_path == "actions[1]").unwrap();
        assert_eq!(row.result_payload.as_ref().unwrap().0["iterations"], 3);
        w.node.shutdown().await;
    }

    async fn one_branch_goes_on_while_another_is_in_a_long_call(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.went_down}]\nactions:\n- parallel:\n  - {action: world.call, config: {name: long, hangs: true}}\n  - sequence: [{wait_for_trigger: {event: world.pinged}}, {action: world.call, config: {name: quick}}]").await;
        w.set("x", "down").await;
        eventually(async || w.count(&db, LOCKS).await == 1, "the second branch waits").await;
        w.until_calls(&["long"]).await;
        w.ping(Some("x"), 1).await;
        w.until_calls(&["long", "quick"]).await;
        w.open_gate();
        w.run_with(a, "success").await;
        w.node.shutdown().await;
    }

    async fn a_retry_waits_as_long_as_it_says_and_keeps_its_key(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.went_down}]\nactions:\n- action: world.call\n  config: {name: a, fails: boom}\n  retry: {max_attempts: 3, delay: {seconds: 30}}\n  continue_on_error: true\n- action: world.call\n  config: {name: after}").await;
        w.set("x", "down").await;
        let run = w.run_with(a, "waiting").await;
        w.until_calls(&["a!"]).await;
        w.clock.advance(Duration::from_secs(30));
        w.until_calls(&["a!", "a!"]).await;
        w.run_with(a, "waiting").await;
        w.clock.advance(Duration::from_secs(30));
        w.until_calls(&["a!", "a!", "a!", "after"]).await;
        w.run_with(a, "success").await;
        let given = w.shared.given.lock().unwrap().clone();
        assert!(given[..3].iter().all(|g| g["key"] == given[0]["key"]), "one key for all attempts");
        let steps = w.steps(run.id).await;
        assert_eq!((steps[0].status.as_str(), steps[0].attempts), ("failed", 3));
        assert_eq!(steps[0].result_payload.as_ref().unwrap().0["attempts"].as_array().unwrap().len(), 2);
        w.node.shutdown().await;
    }

    async fn dispatch_c30_a_filter_that_fails_leaves_the_run_waiting(db: TestDb) {
        let w = World::new(&db).await;
        let raises = format!("(\"a\"{}) == trigger.payload.thing", " | replace(\"a\", \"aaaaaaaaaa\")".repeat(7));
        let a = w.automation(&format!("triggers: [{{event: world.went_down}}]\nactions:\n- wait_for_trigger: {{event: world.pinged, filter: 'trigger.payload.n == 7 || {raises}'}}\n- action: world.call\n  config: {{name: 'n{{{{ resume.payload.n }}}}'}}")).await;
        w.set("x", "down").await;
        w.run_with(a, "waiting").await;
        w.ping(Some("x"), 6).await;
        eventually(async || w.node.logs().contains("The filter of a waiting run failed"), "the filter is asked").await;
        assert!(stays(async || w.calls().is_empty()).await);
        assert_eq!((w.runs(a).await[0].status.as_str(), w.count(&db, LOCKS).await), ("waiting", 1));
        w.ping(Some("x"), 7).await;
        w.until_calls(&["n7"]).await;
        w.run_with(a, "success").await;
        w.node.shutdown().await;
    }

    async fn computed_durations_read_what_nothing_else_reads(db: TestDb) {
        let w = World::new(&db).await;
        w.health("sys", "healthy");
        w.health("other", "busy");
        w.health("x", "unhealthy");
        let retry = w.automation("triggers: [{event: world.pinged}]\nactions: [{action: world.call, config: {name: a, fails: boom}, retry: {max_attempts: 2, delay: {template: 'health.system.status == \"unhealthy\" ? 30 : 3000'}}}]").await;
        let held = w.automation("triggers: [{event: world.pinged}]\nconditions: [{state: {entity: sys, status: healthy, for: {template: 'health.systems.other.status == \"busy\" ? 10 : 5000'}}}]\nactions: []").await;
        w.clock.advance(Duration::from_secs(20));
        w.ping(Some("x"), 1).await;
        w.run_with(held, "success").await;
        w.run_with(retry, "waiting").await;
        w.clock.advance(Duration::from_secs(30));
        w.until_calls(&["a!", "a!"]).await;
        w.run_with(retry, "failed").await;
        w.node.shutdown().await;
    }
}
