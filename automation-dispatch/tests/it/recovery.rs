//! Nodes that die: leases, checkpoints, takeover.

use crate::world::{LEASES, LOCKS, LOGS, STATES, World};
use automation_core::{
    AutomationId,
    store::{AutomationChange, Source},
};
use automation_dispatch::{AutomationPlugin, LeaseTimes};
use plugin_api::{Actor, Clock, fail::Action};
use std::time::Duration;
use test_kit::{TestDb, VirtualClock, advance_until, both_engines, eventually, stays};

const STORY: &str = "triggers: [{event: world.pinged}]\nactions: [{action: world.call, config: {name: one}}, {action: world.call, config: {name: two, hangs: true}}, {action: world.call, config: {name: three}}]";

plugin_api::statements! {
    /// Timers are lost.
    LOSE = "delete from signalbox.queue_jobs";
    /// Checkpoints are damaged.
    DAMAGE = "update signalbox.automation_run_state set scope_snapshot = '{\"tree\": {\"odd\": {}}}'";
    /// Checkpoints are those of a program to come.
    OUTGROW = "update signalbox.automation_run_state set scope_snapshot = '{\"format\": 99, \"tree\": 7}'";
    /// The first versions of definitions make no sense any more.
    SPOIL = "update signalbox.automation_versions set definition = '{\"name\": 7}' where version = 1";
    SNAPSHOT = "select scope_snapshot from signalbox.automation_run_state";
    /// How long the leases that are held last.
    UNTIL = "select min(lease_expires_at) from signalbox.automation_run_state where lease_owner is not null";
}

/// A node dies; a new one on the same database goes on.
pub async fn restart(w: World, db: &TestDb) -> World {
    let World {
        node,
        shared,
        clock,
        ..
    } = w;
    node.kill();
    let next = World::boot(db, shared, clock).await;
    next.open_gate();
    next
}

/// Statuses and error codes of an automation's runs, sorted.
async fn endings(w: &World, automation: AutomationId) -> Vec<(String, Option<String>)> {
    let runs = w.runs(automation).await.into_iter();
    let mut endings: Vec<_> = runs.map(|r| (r.status, r.error_code)).collect();
    endings.sort();
    endings
}

both_engines! {
    async fn dispatch_c61_recovery_repeats_nothing_before_the_checkpoint(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation(STORY).await;
        w.ping(Some("x"), 1).await;
        w.until_calls(&["one", "two"]).await;
        let w = restart(w, &db).await;
        // On Postgres the dead node's lease must run out first; SQLite has no other node.
        advance_until(&w.clock, Duration::from_secs(1), async || w.calls().len() == 4, "the run goes on").await;
        assert_eq!(w.calls(), ["one", "two", "two", "three"]);
        let run = w.run_with(a, "success").await;
        let steps = w.steps(run.id).await;
        assert_eq!(steps.iter().map(|s| s.attempts).collect::<Vec<_>>(), [1, 2, 1]);
        let given = w.shared.given.lock().unwrap().clone();
        assert_eq!(given[1]["key"], given[2]["key"], "the same idempotency key");
        assert_eq!(given[2]["attempt"], 2);
        w.node.shutdown().await;
    }

    async fn dispatch_c62_a_run_that_died_before_its_first_call_begins_again(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged}]\nactions: [{action: world.call, config: {name: one, hangs: true}}]").await;
        w.ping(Some("x"), 1).await;
        w.until_calls(&["one"]).await;
        let w = restart(w, &db).await;
        advance_until(&w.clock, Duration::from_secs(10), async || w.calls().len() == 2, "begun again").await;
        w.run_with(a, "success").await;
        w.node.shutdown().await;
    }

    async fn dispatch_c23_a_lost_delay_job_is_repaired_by_the_sweep(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged}]\nactions: [{delay: {seconds: 60}}, {action: world.call, config: {name: after}}]").await;
        w.ping(Some("x"), 1).await;
        w.run_with(a, "waiting").await;
        db.db().sql(LOSE).execute().await.unwrap();
        advance_until(&w.clock, Duration::from_secs(10), async || !w.calls().is_empty(), "the sweep finds it").await;
        w.run_with(a, "success").await;
        assert_eq!(w.calls(), ["after"]);
        w.node.shutdown().await;
    }

    async fn dispatch_r26_a_wait_that_cannot_be_swept_starves_no_other(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged}]\nmode: parallel\nactions: [{delay: {seconds: 60}}, {action: world.call, config: {name: swept}}]").await;
        for thing in ["bad", "good"] {
            w.ping(Some(thing), 1).await;
            eventually(async || w.runs(a).await.iter().any(|r| r.context_key.as_deref() == Some(thing) && r.status == "waiting"), "it waits").await;
        }
        let bad = w.runs(a).await.into_iter().find(|r| r.context_key.as_deref() == Some("bad")).unwrap().id;
        let refuse = if db.is_postgres() {
            format!("alter table signalbox.automation_wait_locks add check (run_id <> '{bad}' or fired_at is null)")
        } else {
            format!("create trigger bad before update on automation_wait_locks when old.run_id = '{bad}' begin select raise(abort, 'bad'); end")
        };
        db.db().script(&refuse).await.unwrap();
        db.db().sql(LOSE).execute().await.unwrap();
        advance_until(&w.clock, Duration::from_secs(10), async || !w.calls().is_empty(), "the sweep finds it").await;
        assert_eq!(w.run_with(a, "success").await.context_key.as_deref(), Some("good"));
        assert_eq!(w.calls(), ["swept"]);
        assert!(w.node.logs().contains("A wait could not be swept"));
        assert_eq!(w.count(&db, LOCKS).await, 1, "the other waits for the next cycle");
        w.node.shutdown().await;
    }

    async fn dispatch_c64_a_long_wait_is_not_recovered(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged}]\nactions: [{action: world.call, config: {name: before}}, {delay: {seconds: 7200}}, {action: world.call, config: {name: after}}]").await;
        w.ping(Some("x"), 1).await;
        w.run_with(a, "waiting").await;
        let w = restart(w, &db).await;
        w.clock.advance(Duration::from_secs(600));
        w.engine.sweep().await;
        assert!(stays(async || w.calls() == ["before"]).await);
        assert_eq!(w.count(&db, LOCKS).await, 1);
        assert_eq!(w.count(&db, LEASES).await, 0, "a resting run holds no lease");
        w.clock.advance(Duration::from_secs(7200));
        w.until_calls(&["before", "after"]).await;
        w.node.shutdown().await;
    }

    async fn dispatch_c60_a_long_step_keeps_its_lease_and_runs_once(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged}]\nactions: [{action: world.call, config: {name: long, hangs: true}}]").await;
        w.ping(Some("x"), 1).await;
        w.until_calls(&["long"]).await;
        let end = w.clock.now().plus_millis(200_000);
        advance_until(&w.clock, Duration::from_secs(1), async || w.clock.now() >= end, "200 s pass").await;
        w.engine.sweep().await;
        w.open_gate();
        let run = w.run_with(a, "success").await;
        assert_eq!(w.calls(), ["long"]);
        assert_eq!(w.steps(run.id).await[0].attempts, 1);
        w.node.shutdown().await;
    }

    async fn a_commit_that_fails_leaves_the_run_to_recovery(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation(STORY).await;
        w.open_gate();
        w.node.scope().arm("dispatch.commit.before", Action::Error(4));
        w.ping(Some("x"), 1).await;
        advance_until(&w.clock, Duration::from_millis(100), async || w.node.scope().visits("dispatch.commit.before") >= 4, "the commit was tried again and again").await;
        advance_until(&w.clock, Duration::from_secs(10), async || w.runs(a).await.iter().any(|r| r.status == "success"), "recovered").await;
        let calls = w.calls();
        assert_eq!(calls.last().map(String::as_str), Some("three"));
        assert_eq!(calls.iter().filter(|c| *c == "three").count(), 1, "{calls:?}");
        w.node.shutdown().await;
    }

    async fn a_checkpoint_whose_reply_is_lost_takes_effect_once(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.went_down}]\nactions:\n- parallel:\n  - sequence: [{action: automation.log, config: {message: once}}, {wait_for_trigger: {event: world.pinged, context_key: one}}, {action: world.call, config: {name: woken}}]\n  - sequence: [{action: world.call, config: {name: long, hangs: true}}]").await;
        // The lock and the line of the log are written, and the driver does not hear of it.
        w.node.scope().arm("dispatch.commit.after", Action::Error(1));
        w.set("x", "down").await;
        advance_until(&w.clock, Duration::from_millis(20), async || w.node.scope().visits("dispatch.commit.after") >= 2, "the commit is tried again").await;
        w.ping(Some("one"), 1).await;
        w.until_calls(&["long", "woken"]).await;
        w.open_gate();
        let run = w.run_with(a, "success").await;
        assert_eq!(w.calls().len(), 2, "nothing is repeated");
        assert!(w.steps(run.id).await.iter().all(|s| s.attempts <= 1));
        assert_eq!(w.count(&db, LOGS).await, 1);
        w.node.shutdown().await;
    }

    async fn a_graceful_stop_gives_the_lease_back_at_once(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged}]\nactions: [{delay: {seconds: 10}}, {action: world.call, config: {name: after}}]").await;
        w.ping(Some("x"), 1).await;
        w.run_with(a, "waiting").await;
        let World { node, shared, clock, .. } = w;
        node.shutdown().await;
        clock.advance(Duration::from_secs(10));
        let w = World::boot(&db, shared, clock).await;
        w.until_calls(&["after"]).await;
        w.run_with(a, "success").await;
        w.node.shutdown().await;
    }

    async fn dispatch_r07_a_checkpoint_that_cannot_be_read_fails_its_run_and_the_next_one_has_its_turn(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("mode: queued\ntriggers: [{event: world.pinged}]\nactions:\n- parallel:\n  - {action: world.call, config: {name: one, hangs: true}}\n  - delay: {seconds: 3600}").await;
        w.ping(Some("x"), 1).await;
        w.until_calls(&["one"]).await;
        w.ping(Some("x"), 2).await;
        w.run_with(a, "pending").await;
        db.db().sql(DAMAGE).execute().await.unwrap();
        let w = restart(w, &db).await;
        advance_until(&w.clock, Duration::from_secs(5), async || w.calls().len() == 2, "the next one begins").await;
        let run = w.run_with(a, "failed").await;
        assert_eq!(run.error_code.as_deref(), Some("corrupt_path"));
        assert_eq!(run.error_message.as_deref(), Some("the stored checkpoint of the run cannot be read"));
        assert!(run.finished_at.is_some());
        assert_eq!(w.step_list(run.id).await, ["actions[0].parallel[0][0]=failed(corrupt_path)", "actions[0].parallel[1][0]=failed(corrupt_path)", "actions[0]=failed(corrupt_path)"]);
        w.run_with(a, "waiting").await;
        assert_eq!((w.count(&db, LOCKS).await, w.count(&db, STATES).await), (1, 1), "those of the next run");
        w.node.shutdown().await;
    }

    async fn a_checkpoint_of_a_newer_program_is_left_for_a_newer_node(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation(STORY).await;
        w.ping(Some("x"), 1).await;
        w.until_calls(&["one", "two"]).await;
        db.db().sql(OUTGROW).execute().await.unwrap();
        let w = restart(w, &db).await;
        let seen = || w.node.logs().lines().iter().filter(|l| l.to_string().contains("its checkpoint has form 99")).count();
        advance_until(&w.clock, Duration::from_secs(5), async || seen() >= 2, "looked at again and again").await;
        assert_eq!(w.runs(a).await[0].status, "running");
        assert_eq!(w.count(&db, STATES).await, 1);
        w.node.shutdown().await;
    }

    async fn dispatch_r07_a_version_that_does_not_compile_any_more_fails_its_runs(db: TestDb) {
        let w = World::new(&db).await;
        let waits = ["delay: {seconds: 60}", "wait_until: {condition: 'state.thing.x.status == \"up\"', timeout_seconds: 60}"];
        let mut ids = Vec::new();
        for wait in waits {
            let text = format!("mode: single\ntriggers: [{{event: world.pinged}}]\nactions: [{{{wait}}}, {{action: world.call, config: {{name: old}}}}]");
            let a = w.automation(&text).await;
            ids.push((a, format!("name: test\n{}", text.replace("name: old", "name: new"))));
        }
        w.ping(Some("k"), 1).await;
        for (a, text) in ids.clone() {
            w.run_with(a, "waiting").await;
            let change = AutomationChange { definition: Some(Source::Text(text)), ..Default::default() };
            w.engine.automations().update(a, None, change, &Actor::system()).await.unwrap();
        }
        db.db().sql(SPOIL).execute().await.unwrap();
        let w = restart(w, &db).await;
        advance_until(&w.clock, Duration::from_secs(5), async || futures::future::join_all(ids.iter().map(|(a, _)| w.runs(*a))).await.iter().all(|r| r[0].status == "failed"), "both fail").await;
        for (a, _) in &ids {
            let run = w.run_with(*a, "failed").await;
            assert_eq!(run.error_code.as_deref(), Some("state_missing"));
            assert!(w.step_list(run.id).await[0].ends_with("=failed(state_missing)"));
        }
        assert_eq!(w.count(&db, LOCKS).await + w.count(&db, STATES).await, 0);
        // Nothing holds the next firing back.
        w.ping(Some("k"), 2).await;
        for (a, _) in &ids {
            w.run_with(*a, "waiting").await;
        }
        w.node.shutdown().await;
    }

    async fn dispatch_8_5_a_pending_run_whose_version_does_not_compile_any_more_fails_and_keeps_nobody_from_their_turn(db: TestDb) {
        let w = World::new(&db).await;
        let text = "name: test\nmode: queued\nmax_runs: 5\ntriggers: [{event: world.pinged}]\nactions: [{delay: {seconds: 60}}, {action: world.call, config: {name: old}}]";
        let a = w.automation(text.trim_start_matches("name: test\n")).await;
        w.ping(Some("k"), 1).await;
        w.run_with(a, "waiting").await;
        w.ping(Some("k"), 2).await;
        w.run_with(a, "pending").await;
        let change = AutomationChange { definition: Some(Source::Text(text.replace("name: old", "name: new"))), ..Default::default() };
        w.engine.automations().update(a, None, change, &Actor::system()).await.unwrap();
        w.ping(Some("k"), 3).await;
        eventually(async || endings(&w, a).await.len() == 3, "three runs").await;
        db.db().sql(SPOIL).execute().await.unwrap();
        let w = restart(w, &db).await;
        let failed = ("failed".to_owned(), Some("state_missing".to_owned()));
        let wanted = [failed.clone(), failed, ("waiting".to_owned(), None)];
        advance_until(&w.clock, Duration::from_secs(5), async || endings(&w, a).await == wanted, "two fail, the third has its turn").await;
        w.node.shutdown().await;
    }

    async fn dispatch_20_a_secret_that_occurs_in_the_ids_of_a_run_leaves_its_checkpoint_readable(db: TestDb) {
        let w = World::new(&db).await;
        // Ids begin with the time: whatever is made within the next hours begins like this one.
        let secret = w.clock.new_uuid().to_string()[..4].to_owned();
        let a = w.automation(&format!("triggers: [{{event: world.pinged}}]\nactions:\n- {{id: s, action: world.call, config: {{name: 'secret {secret}'}}}}\n- variables: {{v: '{{{{ artifacts.s.made.name }}}}'}}\n- parallel:\n  - sequence: [{{delay: {{seconds: 5}}}}, {{action: world.call, config: {{name: 'woken by {{{{ artifacts.s.made.name }}}}'}}}}]\n  - {{action: world.call, config: {{name: long, hangs: true}}}}")).await;
        w.ping(Some("x"), 1).await;
        let mine = format!("secret {secret}");
        w.until_calls(&[&mine, "long"]).await;
        let run = w.runs(a).await[0].id;
        assert!(run.to_string().starts_with(&secret));
        eventually(async || w.count(&db, LOCKS).await == 1, "one branch waits").await;
        let stored: serde_json::Value = db.db().sql(SNAPSHOT).one::<plugin_api::Doc>().await.unwrap().0;
        assert_eq!(stored["variables"]["v"], "secret ****", "what is free is masked");
        let w = restart(w, &db).await;
        advance_until(&w.clock, Duration::from_secs(1), async || w.calls().len() == 4, "both branches go on").await;
        let mut calls = w.calls();
        calls.sort();
        assert_eq!(calls, ["long", "long", mine.as_str(), "woken by secret ****"]);
        w.run_with(a, "success").await;
        w.node.shutdown().await;
    }

    async fn dispatch_c06_an_artifact_is_readable_behind_a_wait(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged}]\nactions:\n- {id: first, action: world.call, config: {name: one}}\n- delay: {seconds: 5}\n- {action: world.call, config: {name: 'got {{ artifacts.first.made.name }}'}}\n- wait_until: {condition: 'state.thing[artifacts.first.made.name].status == \"up\"'}\n- wait_for_trigger: {event: world.changed, filter: 'artifacts.first.made.name == trigger.payload.id', context_key: '{{ artifacts.first.made.name }}'}\n- {action: world.call, config: {name: end}}").await;
        w.ping(Some("x"), 1).await;
        w.run_with(a, "waiting").await;
        w.clock.advance(Duration::from_secs(5));
        w.until_calls(&["one", "got one"]).await;
        w.run_with(a, "waiting").await;
        w.set("one", "up").await;
        eventually(async || w.runs(a).await[0].status == "waiting" && w.steps(w.runs(a).await[0].id).await.len() == 5, "it waits for the event").await;
        w.set("one", "down").await;
        w.until_calls(&["one", "got one", "end"]).await;
        w.run_with(a, "success").await;
        w.node.shutdown().await;
    }

    async fn dispatch_9_3_leases_are_renewed_while_a_stopping_node_waits_for_its_drivers(db: TestDb) {
        let clock = VirtualClock::new();
        let engine = AutomationPlugin::default().leases(LeaseTimes::lasting(Duration::from_secs(5)));
        let w = World::boot_with(&db, Default::default(), clock, engine).await;
        w.automation("triggers: [{event: world.pinged}]\nactions: [{action: world.call, config: {name: long, hangs: true}}]").await;
        w.ping(Some("x"), 1).await;
        w.until_calls(&["long"]).await;
        let World { node, clock, .. } = w;
        let stop = plugin_api::spawn(node.shutdown());
        // The driver is waited for longer than its lease lasts; at no moment another node may take it.
        while !stop.is_finished() {
            clock.advance(Duration::from_secs(1));
            let renewed = async || {
                let until: Option<plugin_api::Ts> = db.db().sql(UNTIL).one().await.unwrap();
                stop.is_finished() || until.is_none_or(|at| at.millis() - clock.now().millis() >= 3000)
            };
            eventually(renewed, "the lease is renewed").await;
        }
        stop.await.unwrap();
    }
}

/// Two nodes look at one delay that is over, at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dispatch_c24_a_delay_that_two_nodes_end_at_once_resumes_its_run_once() {
    let db = TestDb::postgres().await;
    let clock = VirtualClock::new();
    let one = World::boot(&db, Default::default(), clock.clone()).await;
    let two = World::boot(&db, one.shared.clone(), clock).await;
    let a = one.automation("triggers: [{event: world.pinged}]\nactions: [{delay: {seconds: 30}}, {action: world.call, config: {name: after}}]").await;
    one.ping(Some("k"), 1).await;
    one.run_with(a, "waiting").await;
    let scopes = [one.node.scope(), two.node.scope()];
    for scope in &scopes {
        scope.arm("dispatch.fire", Action::Hang);
    }
    one.clock.advance(Duration::from_secs(30));
    let both = async {
        let there = async || scopes.iter().all(|s| s.visits("dispatch.fire") > 0);
        eventually(there, "both are about to fire it").await;
        for scope in &scopes {
            scope.disarm("dispatch.fire");
        }
    };
    tokio::join!(
        one.node.run(one.engine.sweep()),
        two.node.run(two.engine.sweep()),
        both
    );
    one.run_with(a, "success").await;
    assert!(stays(async || one.calls() == ["after"]).await);
    one.node.shutdown().await;
    two.node.shutdown().await;
}
