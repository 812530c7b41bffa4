//! What a run saw, rebuilt from its rows (`dispatch §16`), and what leaves it only masked.

use crate::world::World;
use automation_dispatch::ReplayError;
use serde_json::{Value, json};
use std::time::Duration;
use test_kit::{TestDb, advance_until, both_engines, eventually};

const LOOP: &str = "triggers: [{id: start, event: world.pinged}]
actions:
- {id: a, action: world.call, config: {name: one}}
- variables: {v: '{{ artifacts.a.made.name }}', list: [x, y]}
- repeat:
    for_each: variables.list
    sequence:
    - {id: b, action: world.call, config: {name: 'b {{ repeat.item }}'}}
    - variables: {inner: '{{ repeat.item }}'}
    - delay: {seconds: 60}
- {id: c, action: world.call, config: {name: last}}";

async fn scope(w: &World, run: automation_core::RunId, at: Option<&str>) -> (Value, bool) {
    let run = w.engine.run(run).await.unwrap().expect("the run is there");
    let scope = w.engine.replay_scope(&run, at).await.expect("a scope");
    (scope.context, scope.scope_snapshot_available)
}

fn made(name: &str) -> Value {
    json!({"made": {"name": name}})
}

both_engines! {
    async fn a_scope_has_the_variables_and_the_loop_of_a_run_that_waits_and_loses_them_at_its_end(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation(LOOP).await;
        w.ping(Some("k"), 7).await;
        let run = w.run_with(a, "waiting").await.id;
        let trigger = json!({
            "id": "start", "event": "world.pinged", "actor": {"type": "system", "id": "system"},
            "payload": {"thing": "k", "n": 7},
        });
        let (context, available) = scope(&w, run, None).await;
        assert!(available);
        assert_eq!(context, json!({
            "trigger": trigger,
            "artifacts": {"a": made("one"), "b": made("b x")},
            "var": {"v": "one", "list": ["x", "y"], "inner": "x"},
            "repeat": {"index": 0, "item": "x"},
        }));
        for (at, seen) in [
            ("actions[0]", json!({})),
            ("actions[1]", json!({"a": made("one")})),
            ("actions[2]", json!({"a": made("one")})),
            ("actions[2].repeat[0].sequence[0]", json!({"a": made("one")})),
            ("actions[2].repeat[0].sequence[2]", json!({"a": made("one"), "b": made("b x")})),
            // Not begun yet: it will see whatever has ended.
            ("actions[3]", json!({"a": made("one"), "b": made("b x")})),
        ] {
            assert_eq!(scope(&w, run, Some(at)).await.0["artifacts"], seen, "{at}");
        }
        let record = w.engine.run(run).await.unwrap().unwrap();
        for nowhere in ["actions[4]", "actions[2].sequence[0]", "actions", "actions[x]", ""] {
            let refused = w.engine.replay_scope(&record, Some(nowhere)).await;
            assert!(matches!(refused, Err(ReplayError::NoSuchAction { .. })), "{nowhere}");
        }
        advance_until(&w.clock, Duration::from_secs(10), async || w.calls().len() == 4, "both passes end").await;
        w.run_with(a, "success").await;
        let (context, available) = scope(&w, run, None).await;
        assert!(!available);
        assert_eq!(context, json!({
            "trigger": trigger,
            "artifacts": {"a": made("one"), "b": made("b y"), "c": made("last")},
            "var": {},
        }), "of two passes the later one wins");
        let second = scope(&w, run, Some("actions[2].repeat[1].sequence[0]")).await.0;
        assert_eq!(second["artifacts"], json!({"a": made("one"), "b": made("b x")}));
        w.node.shutdown().await;
    }

    async fn a_branch_does_not_see_what_its_sibling_made_before_the_join(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged}]
actions:
- parallel:
  - {id: left, action: world.call, config: {name: left}}
  - sequence:
    - variables: {mine: right}
    - delay: {seconds: 60}
- {id: after, action: world.call, config: {name: after}}").await;
        w.ping(Some("k"), 1).await;
        let run = w.run_with(a, "waiting").await.id;
        let (right, _) = scope(&w, run, Some("actions[0].parallel[1][0].sequence[1]")).await;
        assert_eq!((&right["artifacts"], &right["var"]), (&json!({}), &json!({"mine": "right"})));
        let (after, _) = scope(&w, run, Some("actions[1]")).await;
        assert_eq!((&after["artifacts"], &after["var"]), (&json!({"left": made("left")}), &json!({})));
        w.node.shutdown().await;
    }

    async fn a_checkpoint_that_cannot_be_read_counts_as_none(db: TestDb) {
        plugin_api::statements! {
            NEWER = "update signalbox.automation_run_state set scope_snapshot = '{\"format\":99}'";
            BROKEN = "update signalbox.automation_run_state set scope_snapshot = '[7]'";
        }
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged}]\nactions: [{id: a, action: world.call, config: {name: one}}, {variables: {v: 1}}, {delay: {seconds: 60}}]").await;
        w.ping(Some("k"), 1).await;
        let run = w.run_with(a, "waiting").await.id;
        for spoil in [NEWER, BROKEN] {
            db.db().sql(spoil).execute().await.unwrap();
            let (context, available) = scope(&w, run, None).await;
            assert_eq!((&context["var"], &context["artifacts"], available), (&json!({}), &json!({"a": made("one")}), false));
        }
        w.node.shutdown().await;
    }

    async fn a_scope_is_masked_with_what_the_run_has_resolved_since(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged}]
actions:
- variables: {v: 'got {{ trigger.payload.thing }}'}
- {action: world.call, config: {name: 'secret {{ trigger.payload.thing }}', hangs: true}}").await;
        w.ping(Some("hunter2!hunter2!"), 1).await;
        eventually(async || w.calls().len() == 1, "the run has resolved its secret").await;
        let run = w.runs(a).await.remove(0).id;
        let (context, available) = scope(&w, run, None).await;
        assert!(available && !context.to_string().contains("hunter2"), "{context}");
        assert_eq!((&context["trigger"]["payload"]["thing"], &context["var"]["v"]), (&json!("****"), &json!("got ****")));
        w.open_gate();
        w.run_with(a, "success").await;
        w.node.shutdown().await;
    }

    async fn secrets_11_5_the_reason_of_a_cancel_is_masked(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged}]\nactions: [{action: world.call, config: {name: 'secret hunter2!!'}}, {delay: {seconds: 60}}]").await;
        w.ping(Some("k"), 1).await;
        let run = w.run_with(a, "waiting").await;
        w.engine.cancel(a, run.id, Some("it sends hunter2!! to everybody".into())).await.unwrap();
        let run = w.run_with(a, "cancelled").await;
        assert_eq!(run.error_message.as_deref(), Some("it sends **** to everybody"));
        w.node.shutdown().await;
    }
}
