//! Many automations on one event: they share jobs, and nothing else.

use crate::world::World;
use std::time::Duration;
use test_kit::{TestDb, advance_until, both_engines, eventually};

/// More than one job takes.
const MANY: usize = 300;

const QUEUE: &str = "automation-dispatch";

both_engines! {
    async fn dispatch_hundreds_of_automations_on_one_event_are_a_handful_of_jobs(db: TestDb) {
        let w = World::new(&db).await;
        for n in 0..MANY {
            w.automation(&format!("triggers: [{{event: world.changed, filter: 'trigger.payload.id == \"x{n}\"'}}]\nactions: [{{action: world.call, config: {{name: call {n}}}}}]")).await;
        }
        for n in [0, 255, 256, MANY - 1] {
            w.set(&format!("x{n}"), "on").await;
            let name = format!("call {n}");
            eventually(async || w.calls().contains(&name), "the one whose filter holds").await;
        }
        assert_eq!(w.calls().len(), 4, "nobody else");
        let stats = async || w.parts().queues.stats(QUEUE).await.expect("stats");
        eventually(async || stats().await.completed == 8, "two jobs for each change").await;
        w.node.shutdown().await;
    }

    async fn dispatch_one_automation_that_cannot_be_decided_stops_no_other(db: TestDb) {
        let w = World::new(&db).await;
        let mut ids = Vec::new();
        for n in 0..3 {
            ids.push(w.automation(&format!("triggers: [{{event: world.changed}}]\nactions: [{{action: world.call, config: {{name: call {n}}}}}]")).await);
        }
        let bad = ids[1];
        let refuse = if db.is_postgres() {
            format!("alter table signalbox.automation_runs add check (automation_id <> '{bad}')")
        } else {
            format!("create trigger bad before insert on automation_runs when new.automation_id = '{bad}' begin select raise(abort, 'bad'); end")
        };
        db.db().script(&refuse).await.unwrap();
        w.set("x", "on").await;
        let mut called = Vec::new();
        let both = async || { called = w.calls(); called.len() == 2 };
        advance_until(&w.clock, Duration::from_secs(1), both, "the others start").await;
        called.sort();
        assert_eq!(called, ["call 0", "call 2"]);
        let dead = async || w.parts().queues.stats(QUEUE).await.expect("stats").failed == 1;
        advance_until(&w.clock, Duration::from_secs(2), dead, "the bad one is given up").await;
        assert_eq!(w.calls().len(), 2, "the others start once");
        assert_eq!(w.runs(bad).await.len(), 0);
        w.node.shutdown().await;
    }

    async fn dispatch_an_automation_whose_run_the_event_wakes_holds_up_no_other(db: TestDb) {
        let w = World::new(&db).await;
        let waits = w.automation("triggers: [{event: world.changed}]\nactions:\n- wait_for_trigger: {event: world.changed}\n- {action: world.call, config: {name: woken}}").await;
        let other = w.automation("triggers: [{event: world.changed}]\nmode: parallel\nactions: [{action: world.call, config: {name: 'other {{ trigger.payload.status }}'}}]").await;
        w.set("x", "one").await;
        w.run_with(waits, "waiting").await;
        w.run_with(other, "success").await;
        w.set("x", "two").await;
        // The wake comes first; the event is decided for the automation when its run rests.
        eventually(async || w.calls().contains(&"other two".to_owned()), "it waits for nobody").await;
        w.run_with(waits, "success").await;
        advance_until(&w.clock, Duration::from_millis(20), async || w.runs(waits).await.len() == 2, "decided anew").await;
        w.run_with(waits, "waiting").await;
        let mut calls = w.calls();
        calls.sort();
        assert_eq!(calls, ["other one", "other two", "woken"]);
        assert_eq!((w.runs(waits).await.len(), w.runs(other).await.len()), (2, 2));
        w.node.shutdown().await;
    }
}
