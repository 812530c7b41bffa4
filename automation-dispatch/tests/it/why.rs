//! Every verdict is told, with what explains it, to whoever asks (issue 3 C).

use crate::world::{DWELLS, World};
use automation_core::{
    AutomationId,
    store::{AutomationChange, NewAutomation, Source, Status},
};
use automation_dispatch::{AutomationPlugin, DecisionFilter, DecisionRecord, Retention};
use plugin_api::{Actor, Clock, fail::Action, queue::NewJob};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use test_kit::{TestDb, VirtualClock, both_engines, eventually, stays, until};

const GO: &str = "actions: [{action: world.call, config: {name: go}}]";
const DOWN_FOR_A_MINUTE: &str = "triggers: [{id: down, event: world.went_down, for: {seconds: 60}}]\nconcurrency_scope: context_key\nactions: []";

/// Decisions, oldest first.
pub async fn told(w: &World, a: AutomationId) -> Vec<DecisionRecord> {
    let asked = w.engine.why(a, None, None, 500);
    let mut told = w.node.run(asked).await.expect("decisions");
    told.reverse();
    told
}

/// Waits until there are `n` and answers them.
pub async fn after(w: &World, a: AutomationId, n: usize) -> Vec<DecisionRecord> {
    until(
        async || Some(told(w, a).await).filter(|t| t.len() >= n),
        &format!("{n} decisions"),
    )
    .await
}

pub fn verdicts(told: &[DecisionRecord]) -> Vec<&str> {
    told.iter().map(|d| d.verdict.as_str()).collect()
}

fn facts(d: &DecisionRecord) -> Vec<String> {
    d.facts().iter().map(ToString::to_string).collect()
}

async fn set_status(w: &World, a: AutomationId, status: Status) {
    let change = AutomationChange {
        status: Some(status),
        ..Default::default()
    };
    let store = w.engine.automations();
    let actor = Actor::system();
    let update = store.update(a, None, change, &actor);
    w.node.run(update).await.expect("the status changes");
}

both_engines! {
    async fn a_false_filter_is_explained_by_its_smallest_parts(db: TestDb) {
        let w = World::new(&db).await;
        w.health("sys", "degraded");
        let a = w.automation(&format!("triggers: [{{event: world.pinged, filter: 'health.system.status == \"unhealthy\" && trigger.payload.n > 1'}}]\n{GO}")).await;
        w.ping(Some("sys"), 3).await;
        let told = after(&w, a, 1).await;
        let d = &told[0];
        assert_eq!((d.verdict.as_str(), d.gate.as_deref()), ("filter_false", Some("filter")));
        assert_eq!(facts(d), ["health.system.status == \"unhealthy\" was \"degraded\""]);
        assert_eq!(d.context_key.as_deref(), Some("sys"));
        assert_eq!(d.trigger_id, "world_pinged");
        assert_eq!(d.at, w.clock.now());
        assert_eq!(d.run_id, None);
        assert_eq!(d.sentence(), "The filter was false.");
        assert!(!d.occurrence.is_empty());
        w.node.shutdown().await;
    }

    async fn the_explanation_is_of_the_scope_the_gate_saw(db: TestDb) {
        let w = World::new(&db).await;
        w.health("sys", "degraded");
        let a = w.automation(&format!("triggers: [{{event: world.pinged}}]\nconditions: ['true', {{state: {{entity: sys, status: healthy}}}}, 'false']\n{GO}")).await;
        w.ping(Some("sys"), 1).await;
        eventually(async || !w.shared.asked.lock().unwrap().is_empty(), "the gate has looked").await;
        w.health("sys", "healthy");
        let told = after(&w, a, 1).await;
        assert_eq!((told[0].verdict.as_str(), told[0].gate.as_deref()), ("condition_false", Some("conditions")));
        assert_eq!(told[0].detail.0["index"], 1);
        assert_eq!(facts(&told[0]), ["state: sys was degraded, not healthy"]);
        assert_eq!(told[0].sentence(), "Condition 2 was false.");
        w.node.shutdown().await;
    }

    async fn failing_gates_are_told_with_their_error(db: TestDb) {
        let w = World::new(&db).await;
        let large = format!("(\"a\"{}) == trigger.payload.thing", " | replace(\"a\", \"aaaaaaaaaa\")".repeat(7));
        let a = w.automation(&format!("triggers: [{{event: world.pinged, filter: '{large}'}}]\n{GO}")).await;
        let b = w.automation(&format!("triggers: [{{event: world.pinged}}]\nconditions: ['{large}']\n{GO}")).await;
        w.ping(Some("x"), 1).await;
        for (automation, verdict) in [(a, "filter_error"), (b, "condition_error")] {
            let told = after(&w, automation, 1).await;
            assert_eq!(told[0].verdict, verdict);
            let error = told[0].detail.0["error"].as_str().expect("an error");
            assert!(told[0].sentence().contains(error), "{:?}", told[0]);
            assert!(!told[0].facts().is_empty());
        }
        w.node.shutdown().await;
    }

    async fn the_triggers_own_gate_shows_its_config_and_what_it_looked_at(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation(&format!("triggers: [{{event: world.measured, config: {{above: 10}}}}]\n{GO}")).await;
        w.ping(Some("a"), 3).await;
        let told = after(&w, a, 1).await;
        assert_eq!((told[0].verdict.as_str(), told[0].gate.as_deref()), ("config_gate", Some("evaluate_config")));
        assert_eq!(told[0].detail.0["config"], json!({"above": 10}));
        assert_eq!(facts(&told[0]), ["trigger.payload.thing was \"a\"", "trigger.payload.n was 3"]);
        w.node.shutdown().await;
    }

    async fn starts_refusals_and_runs_by_hand_are_told(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged}]\nmode: single\nactions: [{action: world.call, config: {name: go, hangs: true}}]").await;
        w.ping(Some("x"), 1).await;
        w.until_calls(&["go"]).await;
        w.ping(Some("y"), 2).await;
        after(&w, a, 2).await;
        let by_hand = w.manual(a).await;
        let told = after(&w, a, 3).await;
        assert_eq!(verdicts(&told), ["started", "refused", "started"]);
        let runs = w.runs(a).await;
        assert_eq!(told[0].run_id, Some(runs[0].id));
        assert_eq!((told[0].gate.as_deref(), &told[0].detail.0), (None, &json!({})));
        assert_eq!(told[1].detail.0, json!({"mode": "single", "max_runs": 10}));
        assert_eq!(told[1].gate.as_deref(), Some("concurrency"));
        assert_eq!(told[2].run_id, Some(by_hand));
        assert_eq!(told[2].sentence(), "A run was started by hand.");
        w.open_gate();
        w.node.shutdown().await;
    }

    async fn a_redelivered_occurrence_is_a_duplicate_and_a_failed_try_is_not_told(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation(&format!("triggers: [{{event: world.changed}}]\nmode: parallel\n{GO}")).await;
        let no = w.automation(&format!("triggers: [{{event: world.changed}}]\nconditions: ['false']\n{GO}")).await;
        let armed = w.automation("triggers: [{event: world.changed, for: {minutes: 5}}]\nactions: []").await;
        let changed = json!({
            "kind": "thing", "id": "x", "prev": null, "next": {"status": "up"}, "delta": {"status": "up"},
            "changedFields": ["status"], "actor": {"type": "system", "id": "system"},
            "occurredAt": "2026-01-15T12:00:00.000Z", "changeId": "019bc186-de00-7001-8000-00000000ffff",
        });
        w.node.scope().arm("dispatch.start", Action::Error(1));
        let queues = &w.parts().queues;
        let job = |a: AutomationId| json!({"reason": "trigger", "automationId": a, "eventId": "world.changed", "ref": "thing:x", "changed": changed});
        for (n, automation) in [a, a, no, no, armed, armed].into_iter().enumerate() {
            queues.enqueue("automation-dispatch", vec![NewJob::new(job(automation)).id(format!("{n}"))]).await.unwrap();
        }
        for (automation, first) in [(a, "started"), (no, "condition_false"), (armed, "dwell_armed")] {
            test_kit::advance_until(&w.clock, Duration::from_millis(500), async || told(&w, automation).await.len() >= 2, "two decisions").await;
            let told = told(&w, automation).await;
            assert_eq!(verdicts(&told), [first, "duplicate"]);
            assert_eq!(told[0].occurrence, "019bc186-de00-7001-8000-00000000ffff");
            assert_eq!(told[1].occurrence, told[0].occurrence);
        }
        w.node.shutdown().await;
    }

    async fn dwells_are_told_from_arming_to_their_end(db: TestDb) {
        let w = World::new(&db).await;
        w.set("a", "up").await;
        let a = w.automation(DOWN_FOR_A_MINUTE).await;
        let due = w.clock.now().plus_millis(60_000);
        w.set("a", "down").await;
        let told = after(&w, a, 1).await;
        assert_eq!((told[0].verdict.as_str(), told[0].gate.as_deref()), ("dwell_armed", Some("for")));
        assert_eq!(told[0].detail.0["until"], due.to_text());
        w.clock.advance(Duration::from_secs(10));
        w.set("a", "up").await;
        let told = after(&w, a, 2).await;
        assert_eq!(told[1].verdict, "dwell_cancelled");
        assert_eq!(told[1].detail.0, json!({"by": "left", "armed_status": "down"}));
        w.set("a", "down").await;
        after(&w, a, 3).await;
        w.clock.advance(Duration::from_secs(60));
        let told = after(&w, a, 4).await;
        assert_eq!(verdicts(&told), ["dwell_armed", "dwell_cancelled", "dwell_armed", "started"]);
        assert!(told[3].occurrence.starts_with("dwell:"));
        assert_eq!(told[3].run_id, Some(w.runs(a).await[0].id));
        w.node.shutdown().await;
    }

    async fn a_kept_dwell_and_the_own_gate_that_ends_it_are_told(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.measured, config: {above: 10}, for: {minutes: 10}}]\nactions: []").await;
        for n in [11, 12, 3] {
            w.ping(Some("a"), n).await;
            let expected = if n == 3 { 4 } else { (n - 10) as usize };
            after(&w, a, expected).await;
        }
        let told = told(&w, a).await;
        let mut last = verdicts(&told[2..]);
        last.sort_unstable();
        assert_eq!(verdicts(&told[..2]), ["dwell_armed", "dwell_kept"]);
        assert_eq!(last, ["config_gate", "dwell_cancelled"], "the no, and what it ended");
        let cancelled = told.iter().find(|d| d.verdict == "dwell_cancelled").unwrap();
        assert_eq!(cancelled.detail.0, json!({"by": "own_gate"}));
        w.node.shutdown().await;
    }

    async fn a_dwell_dropped_at_its_end_says_why(db: TestDb) {
        let w = World::new(&db).await;
        w.set("a", "up").await;
        w.health("sys", "bad");
        let over = w.automation(DOWN_FOR_A_MINUTE).await;
        let edited = w.automation(DOWN_FOR_A_MINUTE).await;
        let unmet = w.automation("triggers: [{event: world.went_down, for: {seconds: 50}}]\nconditions: ['health.systems.sys.status == \"good\"']\nactions: []").await;
        w.set("a", "down").await;
        eventually(async || w.count(&db, DWELLS).await == 3, "three armed dwells").await;
        let text = format!("name: test\n{}", DOWN_FOR_A_MINUTE.replace("seconds: 60", "seconds: 61"));
        let change = AutomationChange { definition: Some(Source::Text(text)), ..Default::default() };
        w.engine.automations().update(edited, None, change, &Actor::system()).await.unwrap();
        w.clock.advance(Duration::from_secs(50));
        let told = after(&w, unmet, 2).await;
        assert_eq!(told[1].verdict, "condition_false");
        assert_eq!(facts(&told[1]), ["health.systems.sys.status == \"good\" was \"bad\""]);
        // Behind the handle's back, so that no change cancels the dwell first.
        plugin_api::statements! { UP = { sqlite: "update things set status = 'up'", postgres: "update plugin_world.things set status = 'up'" }; }
        db.db().sql(UP).execute().await.expect("the thing recovers unseen");
        w.clock.advance(Duration::from_secs(10));
        let told = after(&w, over, 2).await;
        assert_eq!(told[1].verdict, "dwell_dropped");
        assert_eq!(told[1].detail.0, json!({"reason": "over", "armed_status": "down"}));
        let told = after(&w, edited, 2).await;
        assert_eq!(told[1].verdict, "dwell_dropped");
        assert!(["trigger_changed", "over"].contains(&told[1].detail.0["reason"].as_str().unwrap()));
        w.node.shutdown().await;
    }

    async fn windows_queues_and_cooldowns_are_told(db: TestDb) {
        let w = World::new(&db).await;
        let window = w.automation(&format!("triggers: [{{event: world.pinged, window: {{count: 2, minutes: 60, refire: once}}}}]\nmode: parallel\n{GO}")).await;
        let cools = w.automation("triggers: [{event: world.pinged, cooldown: {minutes: 10}}]\nmode: parallel\nactions: []").await;
        let queued = w.automation("triggers: [{event: world.pinged}]\nmode: queued\nmax_runs: 1\nactions: [{action: world.call, config: {name: hang, hangs: true}}]").await;
        for n in 1..=3 {
            w.ping(Some("x"), n).await;
            for a in [window, cools, queued] {
                after(&w, a, n as usize).await;
            }
        }
        let of_window = told(&w, window).await;
        assert_eq!(verdicts(&of_window), ["window_held", "started", "window_held"]);
        assert_eq!(of_window[0].gate.as_deref(), Some("window"));
        assert_eq!(of_window[0].sentence(), "The window has counted 1 of 2 within 60 min.");
        assert!(of_window[2].sentence().starts_with("The window has fired already: 3 within 60 min"));
        let of_cools = told(&w, cools).await;
        assert_eq!(verdicts(&of_cools), ["started", "cooldown", "cooldown"]);
        assert_eq!(of_cools[1].detail.0["until"], w.clock.now().plus_millis(600_000).to_text());
        let of_queued = told(&w, queued).await;
        assert_eq!(verdicts(&of_queued), ["started", "queued", "refused"]);
        assert!(of_queued[1].run_id.is_some());
        assert_eq!(of_queued[2].detail.0["mode"], "queued");
        w.open_gate();
        w.node.shutdown().await;
    }

    async fn what_a_disabled_automation_misses_is_told(db: TestDb) {
        let w = World::new(&db).await;
        w.set("a", "up").await;
        let hook = w.automation(&format!("triggers: [{{event: world.pinged}}]\n{GO}")).await;
        let dwell = w.automation(DOWN_FOR_A_MINUTE).await;
        w.set("a", "down").await;
        after(&w, dwell, 1).await;
        set_status(&w, hook, Status::Disabled).await;
        set_status(&w, dwell, Status::Disabled).await;
        let told_of_dwell = after(&w, dwell, 2).await;
        assert_eq!(told_of_dwell[1].detail.0, json!({"by": "disabled"}));
        w.ping(Some("k"), 1).await;
        w.set("a", "up").await;
        w.set("a", "down").await;
        let told = after(&w, hook, 1).await;
        assert_eq!((told[0].verdict.as_str(), told[0].gate.as_deref()), ("disabled", Some("enabled")));
        assert_eq!(told[0].context_key.as_deref(), Some("k"));
        let told = after(&w, dwell, 3).await;
        assert_eq!((told[2].verdict.as_str(), told[2].context_key.as_deref()), ("disabled", Some("a")));
        assert!(w.calls().is_empty());
        w.node.shutdown().await;
    }

    async fn decisions_are_masked_with_the_secrets_of_the_run_they_made(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged}]\nactions: [{action: world.call, config: {name: 'secret {{ trigger.payload.thing }}', hangs: true}}]").await;
        w.ping(Some("hunter2!hunter2!"), 1).await;
        eventually(async || w.calls().len() == 1, "the run has resolved its secret").await;
        let told = after(&w, a, 1).await;
        assert_eq!(told[0].context_key.as_deref(), Some("****"));
        w.open_gate();
        w.run_with(a, "success").await;
        w.node.shutdown().await;
    }

    async fn pages_and_filters_narrow_the_ring(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation(&format!("triggers: [{{event: world.pinged, filter: trigger.payload.n > 2}}]\nmode: parallel\n{GO}")).await;
        for n in 0..6 {
            w.ping(Some(if n % 2 == 0 { "even" } else { "odd" }), n).await;
            after(&w, a, n as usize + 1).await;
            w.clock.advance(Duration::from_secs(1));
        }
        let all = told(&w, a).await;
        assert_eq!(verdicts(&all), ["filter_false", "filter_false", "filter_false", "started", "started", "started"]);
        let odd = w.engine.why(a, Some("odd"), None, 10).await.unwrap();
        assert_eq!(odd.len(), 3);
        let late = w.engine.why(a, None, Some(all[4].at), 10).await.unwrap();
        assert_eq!(late.len(), 2);
        let filter = DecisionFilter { verdict: Some("started".into()), ..Default::default() };
        let page = w.engine.decisions(a, &filter, None, 2).await.unwrap();
        let rest = w.engine.decisions(a, &filter, Some(page[1].id), 2).await.unwrap();
        assert_eq!((page.len(), rest.len()), (2, 1));
        assert_eq!(rest[0].id, all[3].id);
        w.node.shutdown().await;
    }

    async fn the_ring_keeps_the_newest(db: TestDb) {
        let keep = Retention { decisions_per_automation: 8, ..Default::default() };
        let w = World::boot_with(&db, Arc::default(), VirtualClock::new(), AutomationPlugin::default().retention(keep)).await;
        let a = w.automation(&format!("triggers: [{{event: world.pinged, filter: 'false'}}]\n{GO}")).await;
        let other = w.automation(&format!("triggers: [{{event: world.pinged, filter: 'false'}}]\n{GO}")).await;
        for n in 0..30 {
            w.ping(Some(&format!("k{n}")), n).await;
            let newest = async || told(&w, a).await.last().is_some_and(|d| d.context_key.as_deref() == Some(&format!("k{n}")));
            eventually(newest, "the decision is kept").await;
            let kept = told(&w, a).await.len();
            assert!(kept <= 8 + 2, "a ring of 8 is cut when it has grown by a quarter: {kept}");
        }
        let keys: Vec<_> = told(&w, a).await.into_iter().filter_map(|d| d.context_key).collect();
        assert_eq!(keys[keys.len() - 8..], ["k22", "k23", "k24", "k25", "k26", "k27", "k28", "k29"]);
        assert!(told(&w, other).await.len() <= 10);
        w.node.shutdown().await;
    }

    async fn what_was_decided_before_a_stop_is_kept(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation(&format!("triggers: [{{event: world.pinged}}]\n{GO}")).await;
        w.ping(Some("last"), 1).await;
        w.until_calls(&["go"]).await;
        let World { node, shared, clock, .. } = w;
        node.shutdown().await;
        let w = World::boot(&db, shared, clock).await;
        assert_eq!(verdicts(&told(&w, a).await), ["started"]);
        w.node.shutdown().await;
    }

    async fn the_task_writes_by_itself_and_only_when_there_is_something(db: TestDb) {
        let w = World::new(&db).await;
        plugin_api::statements! { COUNT = "select count(*) from signalbox.automation_decisions"; }
        w.automation(&format!("triggers: [{{event: world.pinged, filter: 'false'}}]\n{GO}")).await;
        w.ping(Some("x"), 1).await;
        assert!(stays(async || w.count(&db, COUNT).await == 0).await, "decisions gather first");
        test_kit::advance_until(&w.clock, Duration::from_millis(100), async || w.count(&db, COUNT).await == 1, "the row").await;
        let passes = async || w.node.runtime().status().get("automation.decisions").map_or(0, |s| s.handled);
        eventually(async || passes().await > 0, "the pass is counted").await;
        let before = passes().await;
        w.clock.advance(Duration::from_secs(60));
        assert!(stays(async || passes().await == before).await);
        w.node.shutdown().await;
    }

    async fn decisions_that_are_lost_are_counted_and_stop_nothing(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation(&format!("triggers: [{{event: world.pinged}}]\nmode: parallel\n{GO}")).await;
        w.node.scope().arm("dispatch.decisions", Action::Error(2));
        w.ping(Some("x"), 1).await;
        w.until_calls(&["go"]).await;
        eventually(async || { told(&w, a).await; w.node.logs().contains("Some decisions will be missing") }, "the sentence").await;
        assert!(told(&w, a).await.is_empty());
        w.ping(Some("y"), 2).await;
        w.until_calls(&["go", "go"]).await;
        let told = after(&w, a, 1).await;
        assert_eq!(told[0].context_key.as_deref(), Some("y"));
        w.node.shutdown().await;
    }

    async fn decisions_go_with_their_automation(db: TestDb) {
        let w = World::new(&db).await;
        plugin_api::statements! { COUNT = "select count(*) from signalbox.automation_decisions"; }
        let gone = w.automation(&format!("triggers: [{{event: world.pinged, filter: 'false'}}]\n{GO}")).await;
        let stays = w.automation(&format!("triggers: [{{event: world.pinged, filter: 'false'}}]\n{GO}")).await;
        w.ping(Some("x"), 1).await;
        after(&w, gone, 1).await;
        w.ping(Some("y"), 2).await;
        w.engine.delete(gone, None).await.unwrap();
        let told = after(&w, stays, 2).await;
        assert_eq!(told.len(), 2);
        assert_eq!(w.count(&db, COUNT).await, 2, "nothing of the deleted one, not even what was still to be written");
        w.node.shutdown().await;
    }

    async fn drafts_and_automations_nobody_called_have_nothing_to_tell(db: TestDb) {
        let w = World::new(&db).await;
        let new = NewAutomation { status: Status::Disabled, ..NewAutomation::of(Source::Text(format!("name: quiet\ntriggers: [{{event: world.came_up}}]\n{GO}"))) };
        let quiet = w.engine.automations().create(new, &Actor::system()).await.unwrap().automation.id;
        w.ping(Some("x"), 1).await;
        assert!(told(&w, quiet).await.is_empty());
        w.node.shutdown().await;
    }
}
