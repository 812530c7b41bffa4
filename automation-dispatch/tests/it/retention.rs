//! History stays bounded, and nothing goes that is still needed (issue 3 E).

use crate::world::{LOGS, World};
use automation_core::{
    AutomationId,
    store::{AutomationChange, KEPT_VERSIONS, Source},
};
use automation_dispatch::{AutomationPlugin, Pruned, Retention};
use plugin_api::{Actor, Clock, Ts};
use std::{sync::Arc, time::Duration};
use test_kit::{TestDb, VirtualClock, advance_until, both_engines, eventually, until};

const DAY: Duration = Duration::from_secs(86_400);

plugin_api::statements! {
    RUNS = "select count(*) from signalbox.automation_runs";
    STEPS = "select count(*) from signalbox.automation_run_steps";
    ARTIFACTS = "select count(*) from signalbox.automation_artifacts";
    LEDGER = "select count(*) from signalbox.automation_occurrences";
    DECISIONS = "select count(*) from signalbox.automation_decisions";
    VERSIONS = "select count(*) from signalbox.automation_versions";
    /// `$1` more log lines of every run.
    CHATTER = {
        sqlite: "with recursive n(i) as (select 1 union all select i + 1 from n where i < $1) insert into automation_run_logs(id, run_id, at, level, message) select printf('00%06x%s', n.i, substr(r.id, 9)), r.id, 0, 'info', 'line' from automation_runs r, n",
        postgres: "insert into signalbox.automation_run_logs(id, run_id, at, level, message) select ('00' || substr(md5(r.id::text || n), 3))::uuid, r.id, now(), 'info', 'line' from signalbox.automation_runs r, generate_series(1, $1::bigint) n",
    };
    /// `$1` ledger rows of an automation, decided at `$3`.
    REMEMBER = {
        sqlite: "with recursive n(i) as (select 1 union all select i + 1 from n where i < $1) insert into automation_occurrences(key, automation_id, decided_at) select 'k' || n.i || $3, $2, $3 from n",
        postgres: "insert into signalbox.automation_occurrences(key, automation_id, decided_at) select 'k' || n || ($3::timestamptz)::text, $2, $3 from generate_series(1, $1::bigint) n",
    };
}

async fn world(db: &TestDb, keep: Retention) -> World {
    let engine = AutomationPlugin::default().retention(keep);
    World::boot_with(db, Arc::default(), VirtualClock::new(), engine).await
}

async fn finished(w: &World, a: AutomationId, n: usize) {
    let done = async || {
        w.runs(a)
            .await
            .iter()
            .filter(|r| r.status == "success")
            .count()
            == n
    };
    eventually(done, &format!("{n} finished runs")).await;
}

async fn prune(w: &World) -> Pruned {
    w.node.run(w.engine.prune()).await.expect("a pass")
}

/// Prunes until the automation has so many runs left. The node's own pass may be at it at the same
/// time: time was moved.
async fn pruned_to(w: &World, a: AutomationId, left: usize) {
    let done = async || {
        prune(w).await;
        w.runs(a).await.len() == left
    };
    eventually(done, &format!("{left} runs are left")).await;
}

async fn edit(w: &World, a: AutomationId, text: &str) {
    let change = AutomationChange {
        definition: Some(Source::Text(text.to_owned())),
        ..Default::default()
    };
    let store = w.engine.automations();
    let actor = Actor::system();
    let update = store.update(a, None, change, &actor);
    w.node.run(update).await.expect("an edit");
}

both_engines! {
    async fn old_runs_go_with_all_of_theirs_and_the_newest_stay(db: TestDb) {
        let w = world(&db, Retention { runs_per_automation: 2, ..Default::default() }).await;
        let a = w.automation("triggers: [{event: world.pinged}]\nmode: parallel\nactions: [{action: world.call, config: {name: one}}, {action: automation.log, config: {message: hello}}, {action: world.call, config: {name: two}}]").await;
        let quiet = w.automation("triggers: [{event: world.pinged}]\nmode: parallel\nactions: []").await;
        for n in 0..5 {
            w.ping(None, n).await;
            finished(&w, a, n as usize + 1).await;
            finished(&w, quiet, n as usize + 1).await;
            w.clock.advance(Duration::from_secs(60));
        }
        // More lines than one transaction takes.
        db.db().sql(CHATTER).bind(400_i64).execute().await.unwrap();
        w.clock.advance(29 * DAY);
        prune(&w).await;
        assert_eq!(w.runs(a).await.len(), 5, "not before 30 days");
        let newest: Vec<_> = w.runs(a).await[3..].iter().map(|r| r.id).collect();
        w.clock.advance(DAY);
        pruned_to(&w, a, 2).await;
        pruned_to(&w, quiet, 2).await;
        let left: Vec<_> = w.runs(a).await.iter().map(|r| r.id).collect();
        assert_eq!(left, newest);
        assert_eq!(w.count(&db, RUNS).await, 4);
        assert_eq!(w.count(&db, STEPS).await, 2 * 3);
        assert_eq!(w.count(&db, ARTIFACTS).await, 2 * 2);
        assert_eq!(w.count(&db, LOGS).await, 4 * 400 + 2);
        assert_eq!(prune(&w).await, Pruned::default(), "a second pass finds nothing");
        w.node.shutdown().await;
    }

    async fn a_run_is_as_old_as_its_end_and_one_that_is_not_over_never_goes(db: TestDb) {
        let w = world(&db, Retention { runs_per_automation: 0, ..Default::default() }).await;
        w.set("x", "down").await;
        let a = w.automation("triggers: [{event: world.pinged}]\nmode: parallel\nactions:\n- choose:\n    - when: trigger.payload.n > 0\n      sequence: [{wait_until: {condition: 'state.thing.x.status == \"up\"'}}]").await;
        w.ping(None, 0).await;
        w.ping(None, 1).await;
        finished(&w, a, 1).await;
        let waiting = w.run_with(a, "waiting").await;
        // Younger than the 31 days a run may be active.
        w.clock.advance(30 * DAY + DAY / 2);
        pruned_to(&w, a, 1).await;
        assert_eq!(w.runs(a).await[0].id, waiting.id);
        w.set("x", "up").await;
        finished(&w, a, 1).await;
        prune(&w).await;
        assert_eq!(w.runs(a).await.len(), 1, "it ended just now");
        w.clock.advance(31 * DAY);
        pruned_to(&w, a, 0).await;
        w.node.shutdown().await;
    }

    async fn the_newest_open_artifact_of_a_key_keeps_its_run_for_a_year(db: TestDb) {
        let w = world(&db, Retention { runs_per_automation: 0, ..Default::default() }).await;
        let a = w.automation("triggers: [{event: world.pinged}]\nmode: parallel\nactions: [{action: world.call, config: {name: 'n{{ trigger.payload.n }}'}}]").await;
        for (n, key) in [(1, Some("x")), (2, Some("x")), (3, Some("y")), (4, None)] {
            w.ping(key, n).await;
            finished(&w, a, n as usize).await;
            w.clock.advance(Duration::from_secs(1));
        }
        let y = w.runs(a).await[2].id;
        let artifact = w.engine.artifacts(y).await.unwrap()[0].id;
        w.engine.close_artifact(artifact).await.unwrap();
        w.clock.advance(31 * DAY);
        // An older one, a closed one and one without a key go.
        pruned_to(&w, a, 1).await;
        assert_eq!(w.runs(a).await[0].trigger_payload.0["n"], 2);
        w.clock.advance(333 * DAY);
        prune(&w).await;
        assert_eq!(w.runs(a).await.len(), 1);
        w.clock.advance(2 * DAY);
        pruned_to(&w, a, 0).await;
        w.node.shutdown().await;
    }

    async fn a_run_that_its_trigger_cools_down_from_stays(db: TestDb) {
        let keep = Retention { runs_per_automation: 0, runs_days: 1, ..Default::default() };
        let w = world(&db, keep).await;
        let a = w.automation("triggers: [{event: world.pinged, cooldown: {hours: 48}}]\nmode: parallel\nactions: []").await;
        w.ping(Some("x"), 1).await;
        finished(&w, a, 1).await;
        w.clock.advance(DAY + DAY / 2);
        prune(&w).await;
        assert_eq!(w.runs(a).await.len(), 1);
        w.clock.advance(DAY);
        pruned_to(&w, a, 0).await;
        w.node.shutdown().await;
    }

    async fn versions_go_once_no_run_refers_to_them(db: TestDb) {
        let w = world(&db, Retention { runs_per_automation: 0, ..Default::default() }).await;
        w.set("x", "down").await;
        let body = "triggers: [{event: world.pinged}]\nmode: parallel\nactions:\n- choose:\n    - when: trigger.payload.n > 0\n      sequence: [{wait_until: {condition: 'state.thing.x.status == \"up\"'}}]";
        let a = w.automation(body).await;
        w.ping(None, 0).await;
        finished(&w, a, 1).await;
        edit(&w, a, &format!("name: second\n{body}")).await;
        w.ping(None, 1).await;
        w.run_with(a, "waiting").await;
        for n in 0..KEPT_VERSIONS + 3 {
            edit(&w, a, &format!("name: n{n}\n{body}")).await;
        }
        assert_eq!(w.count(&db, VERSIONS).await, KEPT_VERSIONS + 2, "and the two that runs refer to");
        assert_eq!(prune(&w).await.versions, 0);
        w.clock.advance(30 * DAY + DAY / 2);
        pruned_to(&w, a, 1).await;
        prune(&w).await;
        assert_eq!(w.count(&db, VERSIONS).await, KEPT_VERSIONS + 1, "that of the finished run has gone");
        w.set("x", "up").await;
        finished(&w, a, 1).await;
        w.clock.advance(31 * DAY);
        pruned_to(&w, a, 0).await;
        prune(&w).await;
        assert_eq!(w.count(&db, VERSIONS).await, KEPT_VERSIONS);
        w.node.shutdown().await;
    }

    async fn the_ledger_forgets_after_a_day(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged}]\nactions: []").await;
        let remember = async |n: i64, at: Ts| {
            db.db().sql(REMEMBER).bind(n).bind(a).bind(at).execute().await.expect("ledger rows");
        };
        let now = w.clock.now();
        remember(1_200, now.plus_millis(-25 * 3_600_000)).await;
        remember(7, now.plus_millis(-23 * 3_600_000)).await;
        w.engine.sweep().await;
        assert_eq!(w.count(&db, LEDGER).await, 707, "a sweep takes one batch");
        assert_eq!(prune(&w).await.ledger, 700);
        assert_eq!(w.count(&db, LEDGER).await, 7);
        w.node.shutdown().await;
    }

    async fn decisions_go_by_number_and_by_age(db: TestDb) {
        let w = world(&db, Retention { decisions_per_automation: 4, ..Default::default() }).await;
        let a = w.automation("triggers: [{event: world.pinged, filter: 'false'}]\nactions: []").await;
        for n in 0..9 {
            w.ping(Some(&format!("k{n}")), n).await;
            until(async || {
                let told = w.engine.why(a, Some(&format!("k{n}")), None, 1).await.unwrap();
                told.into_iter().next()
            }, "the decision").await;
        }
        prune(&w).await;
        assert_eq!(w.count(&db, DECISIONS).await, 4);
        w.clock.advance(29 * DAY);
        w.ping(Some("new"), 9).await;
        until(async || w.engine.why(a, Some("new"), None, 1).await.unwrap().into_iter().next(), "the decision").await;
        w.clock.advance(2 * DAY);
        eventually(async || { prune(&w).await; w.count(&db, DECISIONS).await == 1 }, "one is left").await;
        let left = w.engine.why(a, None, None, 10).await.unwrap();
        assert_eq!(left[0].context_key.as_deref(), Some("new"));
        w.node.shutdown().await;
    }

    async fn passes_at_the_same_time_do_not_meet(db: TestDb) {
        let w = world(&db, Retention { runs_per_automation: 1, ..Default::default() }).await;
        let a = w.automation("triggers: [{event: world.pinged}]\nmode: parallel\nactions: [{action: world.call, config: {name: one}}]").await;
        for n in 0..6 {
            w.ping(None, n).await;
            finished(&w, a, n as usize + 1).await;
        }
        db.db().sql(CHATTER).bind(300_i64).execute().await.unwrap();
        w.clock.advance(31 * DAY);
        let pass = || w.node.run(w.engine.prune());
        let (one, two, three) = tokio::join!(pass(), pass(), pass());
        for pruned in [one, two, three] {
            assert!(pruned.expect("no pass fails").runs <= 5);
        }
        pruned_to(&w, a, 1).await;
        assert_eq!((w.count(&db, LOGS).await, w.count(&db, STEPS).await), (300, 1));
        w.node.shutdown().await;
    }

    async fn one_loop_prunes_by_itself(db: TestDb) {
        let w = world(&db, Retention { runs_per_automation: 0, runs_days: 1, ..Default::default() }).await;
        let a = w.automation("triggers: [{event: world.pinged}]\nactions: []").await;
        w.ping(None, 1).await;
        finished(&w, a, 1).await;
        w.clock.advance(DAY);
        advance_until(&w.clock, Duration::from_secs(120), async || w.runs(a).await.is_empty(), "a pass").await;
        eventually(async || w.node.logs().contains("Old history was forgotten"), "the sentence").await;
        let status = w.node.runtime().status().get("automation.retention").expect("a status");
        assert!(status.last_error.is_none() && status.last_pass.is_some());
        w.node.shutdown().await;
    }

    async fn dispatch_3_11_a_run_log_keeps_its_newest_thousand_lines(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged}]\nactions: [{action: world.call, config: {name: wait, hangs: true}}, {action: automation.log, config: {message: newest}}]").await;
        w.ping(None, 1).await;
        w.until_calls(&["wait"]).await;
        db.db().sql(CHATTER).bind(1_100_i64).execute().await.unwrap();
        w.open_gate();
        let run = w.run_with(a, "success").await;
        assert_eq!(w.count(&db, LOGS).await, 1000);
        let logs = w.engine.logs(run.id).await.unwrap();
        assert_eq!(logs.last().map(|l| l.message.as_str()), Some("newest"));
        w.node.shutdown().await;
    }
}
