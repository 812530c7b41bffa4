//! Concurrency, redelivery, isolation, cancellation, editing.

use crate::world::{DWELLS, LOCKS, STATES, World};
use automation_core::store::{AutomationChange, Source, Status};
use automation_dispatch::{AutomationPlugin, Limits, ManualFiring};
use plugin_api::{Actor, Clock, fail::Action};
use std::time::Duration;
use test_kit::{TestDb, VirtualClock, advance_until, both_engines, eventually, stays};

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

    async fn api_5_1_a_trigger_fired_by_hand_passes_its_gates_or_names_the_one_that_holds_it_back(db: TestDb) {
        let w = World::new(&db).await;
        let step = "actions: [{delay: {seconds: 60}}]";
        let blocked = |gate: &'static str| Err(gate);
        for (text, answers) in [
            ("triggers: [{event: world.pinged, filter: 'trigger.payload.n > 1'}]", vec![blocked("filter")]),
            ("triggers: [{event: world.pinged}]\nconditions: ['false']", vec![blocked("conditions")]),
            ("triggers: [{event: world.pinged, window: {count: 2, minutes: 5}}]\nmode: single", vec![blocked("window"), Ok("run"), blocked("concurrency")]),
            ("triggers: [{event: world.pinged, cooldown: {minutes: 5}}]\nmode: parallel\nmax_runs: 9", vec![Ok("run"), blocked("cooldown")]),
            ("triggers: [{event: world.pinged}]\nmode: queued\nmax_runs: 1", vec![Ok("run"), Ok("queued"), blocked("concurrency")]),
            ("triggers: [{event: world.pinged, for: {seconds: 5}}]", vec![Ok("dwell"), Ok("dwell")]),
        ] {
            let a = w.automation(&format!("{text}\n{step}")).await;
            for (n, answer) in answers.into_iter().enumerate() {
                assert_eq!(w.fire(a).await.map(|f| match f {
                    ManualFiring::Run(_) => "run",
                    ManualFiring::Queued(_) => "queued",
                    ManualFiring::Dwell(at) => {
                        assert_eq!(at, w.clock.now().plus_millis(5000), "the second finds the dwell of the first");
                        "dwell"
                    }
                }), answer, "{text} {n}");
            }
        }
        let a = w.automation(&format!("triggers: [{{event: world.pinged}}]\n{step}")).await;
        let off = AutomationChange { status: Some(Status::Disabled), ..Default::default() };
        w.engine.automations().update(a, None, off, &Actor::system()).await.unwrap();
        assert_eq!(w.fire(a).await, Err("enabled"));
        assert!(w.runs(a).await.is_empty());
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

    async fn dispatch_8_2_a_full_queue_is_told_at_the_usual_level(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation(&waiting("mode: queued\nmax_runs: 2")).await;
        // One walks, two wait.
        for n in 1..=4 {
            w.ping(Some("x"), n).await;
        }
        let told = || w.node.logs().lines().into_iter().find(|l| l.message.contains("the queue of its bucket is full"));
        eventually(async || told().is_some(), "the fourth is refused").await;
        assert_eq!(told().unwrap().level.to_string(), "INFO");
        assert_eq!(w.runs(a).await.len(), 3);
        w.open_gate();
        eventually(async || w.runs(a).await.iter().all(|r| r.status == "success"), "each has its turn").await;
        w.node.shutdown().await;
    }

    async fn a_computed_cooldown_reads_what_nothing_else_reads(db: TestDb) {
        let w = World::new(&db).await;
        let cooldown = "cooldown: {template: 'health.system.status == \"unhealthy\" ? 300 : 3600'}";
        let at_once = w.automation(&format!("mode: parallel\ntriggers: [{{event: world.pinged, {cooldown}}}]\nactions: []")).await;
        let held = w.automation(&format!("mode: parallel\ntriggers: [{{event: world.went_down, for: {{seconds: 60}}, {cooldown}}}]\nactions: []")).await;
        w.health("x", "unhealthy");
        let fire = async |n: i64| {
            w.ping(Some("x"), n).await;
            w.set("x", "up").await;
            w.set("x", "down").await;
            eventually(async || w.count(&db, DWELLS).await == 1, "armed").await;
            w.clock.advance(Duration::from_secs(60));
            advance_until(&w.clock, Duration::from_millis(20), async || w.count(&db, DWELLS).await == 0, "held long enough").await;
        };
        fire(1).await;
        eventually(async || w.runs(at_once).await.len() == 1 && w.runs(held).await.len() == 1, "both start").await;
        w.clock.advance(Duration::from_secs(300));
        fire(2).await;
        eventually(async || w.runs(at_once).await.len() == 2 && w.runs(held).await.len() == 2, "five minutes while it is unhealthy").await;
        w.health("x", "healthy");
        w.clock.advance(Duration::from_secs(300));
        fire(3).await;
        assert!(stays(async || w.runs(at_once).await.len() == 2 && w.runs(held).await.len() == 2).await, "an hour while it is healthy");
        w.node.shutdown().await;
    }

    async fn a_run_by_hand_makes_no_trigger_cool_down(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("mode: parallel\ntriggers: [{event: world.pinged, cooldown: {minutes: 10}}]\nactions: []").await;
        // Its context key is that of the pings.
        w.manual(a).await;
        w.run_with(a, "success").await;
        w.ping(Some("t"), 1).await;
        eventually(async || w.runs(a).await.len() == 2, "the first real firing").await;
        w.ping(Some("t"), 2).await;
        assert!(stays(async || w.runs(a).await.len() == 2).await, "which holds back the next");
        w.manual(a).await;
        eventually(async || w.runs(a).await.len() == 3, "a run by hand is never held back").await;
        w.node.shutdown().await;
    }

    async fn dispatch_9_6_a_run_that_ends_in_the_commit_that_begins_it_leaves_nothing_open(db: TestDb) {
        let engine = AutomationPlugin::default().limits(Limits { steps: 20, ..Limits::default() });
        let w = World::boot_with(&db, Default::default(), VirtualClock::new(), engine).await;
        // Created by it, and after a turn that was waited for.
        let a = w.automation("mode: queued\nmax_runs: 5\ntriggers: [{event: world.pinged}]\nactions:\n- choose:\n  - when: trigger.payload.n == 1\n    sequence: [{action: world.call, config: {name: first, hangs: true}}]\n  else:\n  - parallel:\n    - wait_for_trigger: {event: world.changed, timeout_seconds: 60}\n    - wait_for_trigger: {event: world.changed}\n    - repeat: {count: 100, sequence: [{variables: {v: 1}}]}").await;
        let over = async |runs: usize| {
            eventually(async || w.runs(a).await.iter().filter(|r| r.status == "failed").count() == runs, "over the budget").await;
            let run = w.runs(a).await.pop().unwrap();
            assert_eq!(run.error_code.as_deref(), Some("step_budget_exceeded"));
            let steps = w.steps(run.id).await;
            let open: Vec<_> = steps.iter().filter(|s| s.finished_at.is_none() || !matches!(&*s.status, "success" | "skipped" | "failed")).map(|s| &s.action_path).collect();
            assert!(open.is_empty(), "{open:?}");
            let waited = steps.iter().find(|s| s.action_path.ends_with("parallel[0][0]")).unwrap();
            assert_eq!((waited.status.as_str(), waited.error_code.as_deref()), ("skipped", Some("step_budget_exceeded")));
            assert_eq!(w.count(&db, LOCKS).await + w.count(&db, STATES).await, 0);
        };
        w.ping(Some("x"), 2).await;
        over(1).await;
        w.ping(Some("x"), 1).await;
        w.until_calls(&["first"]).await;
        w.ping(Some("x"), 3).await;
        w.run_with(a, "pending").await;
        w.open_gate();
        over(2).await;
        w.node.shutdown().await;
    }

    async fn dispatch_c45_a_partition_that_raises_or_is_empty_falls_back_to_the_key(db: TestDb) {
        let w = World::new(&db).await;
        let raises = format!("(\"a\"{}) == trigger.payload.thing", " | replace(\"a\", \"aaaaaaaaaa\")".repeat(7));
        let empty = "trigger.payload.n > 100 ? \"p\" : \"\"";
        let mut automations = Vec::new();
        for partition in [raises.as_str(), empty] {
            automations.push(w.automation(&format!("mode: parallel\ntriggers: [{{event: world.pinged, window: {{count: 2, minutes: 10, partitionBy: '{partition}'}}}}]\nactions: []")).await);
        }
        for (thing, n) in [("x", 1), ("y", 2), ("x", 3)] {
            w.ping(Some(thing), n).await;
        }
        for a in automations {
            let run = w.run_with(a, "success").await;
            assert_eq!(run.context_key.as_deref(), Some("x"));
            assert_eq!(w.runs(a).await.len(), 1);
        }
        w.node.shutdown().await;
    }
}

/// Both nodes are about to decide on a firing of the same bucket, and go on at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dispatch_c56_of_two_nodes_that_fire_at_once_one_starts_the_run() {
    let db = TestDb::postgres().await;
    let clock = VirtualClock::new();
    let one = World::boot(&db, Default::default(), clock.clone()).await;
    let two = World::boot(&db, one.shared.clone(), clock).await;
    let automations = [
        one.automation(&waiting("mode: single")).await,
        one.automation(&waiting("mode: single\nconcurrency_scope: context_key"))
            .await,
    ];
    let scopes = [one.node.scope(), two.node.scope()];
    for scope in &scopes {
        scope.arm("dispatch.start", Action::Hang);
    }
    let mut n = 0;
    let there = async || {
        one.ping(Some("x"), n).await;
        n += 1;
        scopes.iter().all(|s| s.visits("dispatch.start") > 0)
    };
    eventually(there, "both are about to start a run").await;
    for scope in &scopes {
        scope.disarm("dispatch.start");
    }
    for a in automations {
        one.run_with(a, "running").await;
        assert!(stays(async || one.runs(a).await.len() == 1).await);
    }
    one.open_gate();
    two.open_gate();
    for a in automations {
        one.run_with(a, "success").await;
    }
    one.node.shutdown().await;
    two.node.shutdown().await;
}
