//! From an event to a finished run: actions, choices, waits.

use crate::world::{LOCKS, STATES, World};
use serde_json::json;
use std::time::Duration;
use test_kit::{TestDb, both_engines, eventually, stays};

const ON_PING: &str = "triggers: [{event: world.pinged}]\n";

both_engines! {
    async fn dispatch_c01_an_action_gets_rendered_config_and_the_step_succeeds(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation(&format!("{ON_PING}actions: [{{action: world.call, config: {{name: 'hello {{{{ trigger.payload.thing }}}} {{{{ trigger.payload.n }}}}'}}}}]")).await;
        w.ping(Some("x"), 7).await;
        w.until_calls(&["hello x 7"]).await;
        let run = w.run_with(a, "success").await;
        assert_eq!(run.context_key.as_deref(), Some("x"));
        assert!(run.finished_at.is_some());
        let steps = w.steps(run.id).await;
        assert_eq!(steps.len(), 1);
        assert_eq!(steps[0].status, "success");
        assert_eq!(steps[0].attempts, 1);
        assert_eq!(steps[0].provider_action_id.as_deref(), Some("world.call"));
        assert_eq!(steps[0].result_payload.as_ref().map(|d| &d.0), Some(&json!({"externalId": "ext-1"})));
        let given = w.shared.given.lock().unwrap()[0].clone();
        assert_eq!(given["key"], format!("{}:actions[0]", run.id));
        assert_eq!(given["attempt"], 1);
        assert_eq!(w.count(&db, STATES).await, 0, "no state row outlives its run");
        w.node.shutdown().await;
    }

    async fn an_entity_change_travels_through_both_stages_to_an_action(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.went_down, filter: 'trigger.payload.prev.status == \"up\"'}]\nactions: [{action: world.call, config: {name: 'down {{ trigger.payload.id }}'}}]").await;
        w.set("a", "up").await;
        w.set("b", "down").await;
        w.set("a", "down").await;
        w.until_calls(&["down a"]).await;
        let run = w.run_with(a, "success").await;
        assert_eq!(run.context_key.as_deref(), Some("a"));
        assert_eq!(run.trigger_event_id, "world.went_down");
        assert_eq!(run.trigger_id, "world_went_down");
        assert!(stays(async || w.runs(a).await.len() == 1).await, "the filter stops the other");
        w.node.shutdown().await;
    }

    async fn dispatch_c06_an_artifact_is_stored_once_and_readable_downstream(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation(&format!("{ON_PING}actions:\n- {{id: first, action: world.call, config: {{name: one}}}}\n- {{action: world.call, config: {{name: 'got {{{{ artifacts.first.made.name }}}}'}}}}")).await;
        w.ping(Some("x"), 1).await;
        w.until_calls(&["one", "got one"]).await;
        let run = w.run_with(a, "success").await;
        let artifacts = w.engine.artifacts(run.id).await.unwrap();
        assert_eq!(artifacts.len(), 2);
        assert_eq!(artifacts[0].action_id.as_deref(), Some("first"));
        assert_eq!(artifacts[0].artifact_type, "world.made");
        w.node.shutdown().await;
    }

    async fn dispatch_c08_an_open_artifact_of_the_same_context_key_is_consumed(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged}]\nconcurrency_scope: context_key\nactions:\n- choose:\n    - when: trigger.payload.n == 1\n      sequence: [{action: world.call, config: {name: make}}]\n  else: [{action: world.consume, config: {name: use}}]").await;
        w.ping(Some("x"), 1).await;
        w.until_calls(&["make"]).await;
        w.run_with(a, "success").await;
        w.ping(Some("y"), 2).await;
        w.until_calls(&["make", "use"]).await;
        w.ping(Some("x"), 2).await;
        w.until_calls(&["make", "use", "use"]).await;
        let given = w.shared.given.lock().unwrap().clone();
        assert_eq!(given[1]["consumed"], json!({}), "another key: absent");
        assert_eq!(given[2]["consumed"], json!({"made": {"name": "make"}}));
        w.node.shutdown().await;
    }

    async fn dispatch_c08_a_closed_artifact_is_consumed_no_more(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged}]\nmode: parallel\nactions:\n- choose:\n    - when: trigger.payload.n < 3\n      sequence: [{action: world.call, config: {name: 'made {{ trigger.payload.n }}'}}]\n  else: [{action: world.consume, config: {name: use}}]").await;
        let done = async |n: usize| eventually(async || w.runs(a).await.iter().filter(|r| r.status == "success").count() == n, "so many runs").await;
        for n in [1, 2] {
            w.ping(Some("x"), n).await;
            done(n as usize).await;
            w.clock.advance(Duration::from_secs(1));
        }
        // The newest is closed: the one before it is the newest open one. Then none is left.
        for closed in [1, 0] {
            let run = w.runs(a).await[closed].id;
            let artifact = w.engine.artifacts(run).await.unwrap().remove(0);
            assert!(w.engine.close_artifact(artifact.id).await.unwrap());
            assert!(!w.engine.close_artifact(artifact.id).await.unwrap(), "closed already");
            w.ping(Some("x"), 3).await;
            done(4 - closed).await;
        }
        let consumed = w.shared.given.lock().unwrap()[2..].iter().map(|g| g["consumed"].clone()).collect::<Vec<_>>();
        assert_eq!(consumed, [json!({"made": {"name": "made 1"}}), json!({})]);
        w.node.shutdown().await;
    }

    async fn dispatch_r29_without_a_context_only_the_artifacts_of_the_same_run_are_consumed(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged}]\nactions:\n- choose:\n    - when: trigger.payload.n == 1\n      sequence: [{action: world.call, config: {name: make}}]\n    - when: trigger.payload.n == 2\n      sequence: [{action: world.consume, config: {name: use}}]\n  else: [{action: world.call, config: {name: own}}, {action: world.consume, config: {name: use}}]").await;
        w.ping(None, 1).await;
        w.until_calls(&["make"]).await;
        w.run_with(a, "success").await;
        w.ping(None, 2).await;
        w.until_calls(&["make", "use"]).await;
        eventually(async || w.runs(a).await.iter().filter(|r| r.status == "success").count() == 2, "the second run ends").await;
        w.ping(None, 3).await;
        w.until_calls(&["make", "use", "own", "use"]).await;
        let given = w.shared.given.lock().unwrap().clone();
        assert_eq!(given[1]["consumed"], json!({}), "another run: absent");
        assert_eq!(given[3]["consumed"], json!({"made": {"name": "own"}}));
        w.node.shutdown().await;
    }

    async fn dispatch_c20_a_delay_waits_with_one_lock_and_goes_on(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation(&format!("{ON_PING}actions:\n- delay: {{seconds: 30}}\n- {{action: world.call, config: {{name: after}}}}")).await;
        w.ping(Some("x"), 1).await;
        let run = w.run_with(a, "waiting").await;
        assert_eq!(w.count(&db, LOCKS).await, 1);
        assert_eq!(w.step_list(run.id).await, ["actions[0]=waiting"]);
        assert!(w.calls().is_empty());
        w.clock.advance(Duration::from_millis(29_999));
        assert!(stays(async || w.calls().is_empty()).await, "never early");
        w.clock.advance(Duration::from_millis(1));
        w.until_calls(&["after"]).await;
        let run = w.run_with(a, "success").await;
        assert_eq!(w.step_list(run.id).await, ["actions[0]=success", "actions[1]=success"]);
        assert_eq!(w.count(&db, LOCKS).await, 0);
        w.node.shutdown().await;
    }

    async fn dispatch_c36_a_wait_until_stays_until_its_condition_holds(db: TestDb) {
        let w = World::new(&db).await;
        w.set("x", "down").await;
        let a = w.automation(&format!("{ON_PING}actions:\n- wait_until: {{condition: 'state.thing[trigger.payload.thing].status == \"up\"'}}\n- {{action: world.call, config: {{name: up}}}}")).await;
        w.ping(Some("x"), 1).await;
        w.run_with(a, "waiting").await;
        w.set("x", "middling").await;
        w.set("y", "up").await;
        assert!(stays(async || w.calls().is_empty()).await);
        w.set("x", "up").await;
        w.until_calls(&["up"]).await;
        w.run_with(a, "success").await;
        assert_eq!(w.count(&db, LOCKS).await, 0);
        w.node.shutdown().await;
    }

    async fn dispatch_c02_c04_failures_end_the_run_with_their_code(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation(&format!("{ON_PING}actions:\n- {{action: world.call, config: {{name: a, fails: boom}}}}\n- {{action: world.call, config: {{name: b}}}}")).await;
        w.ping(None, 1).await;
        let run = w.run_with(a, "failed").await;
        assert_eq!(run.error_code.as_deref(), Some("action_failed"));
        assert_eq!(run.error_message.as_deref(), Some("boom"));
        assert_eq!(w.step_list(run.id).await, ["actions[0]=failed(action_failed)"]);
        let a = w.automation(&format!("{ON_PING}actions: [{{action: world.call, config: {{name: p, panics: true}}}}]")).await;
        w.ping(None, 1).await;
        let run = w.run_with(a, "failed").await;
        assert_eq!(run.error_code.as_deref(), Some("internal_error"));
        w.node.shutdown().await;
    }
}
