//! `automation.state` through the engine: from the change of any entity to a run (`definition §10.8`).

use crate::{
    why::{after, told, verdicts},
    world::{DWELLS, World},
};
use automation_core::store::{AutomationChange, Status};
use plugin_api::Actor;
use std::time::Duration;
use test_kit::{TestDb, both_engines, eventually, stays};

const TELL: &str = "actions: [{action: world.call, config: {name: '{{ trigger.payload.id }} {{ trigger.payload.from }} {{ trigger.payload.to }}'}}]";

fn listening(config: &str, more: &str) -> String {
    format!(
        "triggers: [{{event: automation.state, config: {{kind: thing, {config}}}{more}}}]\nmode: parallel\nmax_runs: 100\n{TELL}"
    )
}

both_engines! {
    async fn definition_10_8_a_change_to_a_named_value_starts_a_run(db: TestDb) {
        let w = World::new(&db).await;
        // No deriver answers anything for `warm`: the change is found by its kind alone.
        let a = w.automation(&listening("to: [hot, warm]", "")).await;
        let only_y = w.automation(&listening("entity: y", "")).await;
        w.set("x", "cold").await;
        w.set("x", "warm").await;
        w.until_calls(&["x cold warm"]).await;
        let runs = w.runs(a).await;
        assert_eq!((runs.len(), runs[0].context_key.as_deref()), (1, Some("x")));
        assert_eq!(runs[0].trigger_event_id, "automation.state");
        // The value that did not fit was looked at, and is told.
        assert_eq!(verdicts(&after(&w, a, 2).await), ["config_gate", "started"]);
        assert!(told(&w, only_y).await.is_empty(), "another entity is none of its business");
        // An edit acts on the very next change.
        let b = w.automation(&listening("to: null", "")).await;
        w.remove("x").await;
        eventually(async || w.calls().len() == 2, "the removed thing is told").await;
        assert_eq!(w.calls()[1], "x warm ");
        assert_eq!((w.runs(b).await.len(), w.runs(a).await.len()), (1, 1));
        w.node.shutdown().await;
    }

    async fn definition_10_8_a_for_holds_only_while_the_field_keeps_its_value(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation(&listening("to: hot", ", for: {seconds: 60}")).await;
        for (id, later) in [("stays", None), ("leaves", Some("cold"))] {
            w.set(id, "hot").await;
            eventually(async || w.count(&db, DWELLS).await == 1, "armed").await;
            w.clock.advance(Duration::from_secs(30));
            if let Some(later) = later {
                w.set(id, later).await;
            }
            w.clock.advance(Duration::from_secs(30));
            eventually(async || w.count(&db, DWELLS).await == 0, "over").await;
            // The clock is not set forward while a run walks.
            w.run_with(a, "success").await;
        }
        assert!(stays(async || w.calls().len() == 1).await);
        assert_eq!(w.runs(a).await[0].context_key.as_deref(), Some("stays"));
        w.node.shutdown().await;
    }

    async fn definition_10_8_a_disabled_automation_is_told_that_it_would_have_been_asked(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation(&listening("to: hot", "")).await;
        let change = AutomationChange { status: Some(Status::Disabled), ..Default::default() };
        let (store, actor) = (w.engine.automations(), Actor::system());
        w.node.run(store.update(a, None, change, &actor)).await.expect("disabled");
        w.set("x", "hot").await;
        assert_eq!(verdicts(&after(&w, a, 1).await), ["disabled"]);
        assert!(w.runs(a).await.is_empty());
        w.node.shutdown().await;
    }
}
