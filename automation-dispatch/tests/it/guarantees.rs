//! What holds whatever is redelivered, broken, deleted or shared between nodes.

use crate::{
    recovery::restart,
    world::{DWELLS, LOCKS, STATES, World},
};
use plugin_api::{fail::Action, queue::NewJob};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use test_kit::{TestDb, VirtualClock, advance_until, both_engines, eventually, stays};

const ON_CHANGE: &str = "triggers: [{event: world.changed}]\nmode: parallel\nactions: [{action: world.call, config: {name: 'c {{ trigger.payload.id }}'}}]";

both_engines! {
    async fn entity_23_17_dispatch_c66_a_redelivered_job_starts_no_second_run(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation(ON_CHANGE).await;
        let changed = json!({
            "kind": "thing", "id": "x", "prev": null, "next": {"status": "up"}, "delta": {"status": "up"},
            "changedFields": ["status"], "actor": {"type": "system", "id": "system"},
            "occurredAt": "2026-01-15T12:00:00.000Z", "changeId": "019bc186-de00-7001-8000-00000000ffff",
        });
        // `triggerId` is the reference's wire name of the event.
        let job = json!({"reason": "trigger", "automationId": a, "triggerId": "world.changed", "ref": "thing:x", "changed": changed});
        let queues = &w.parts().queues;
        for id in ["one", "two"] {
            queues.enqueue("automation-dispatch", vec![NewJob::new(job.clone()).id(id)]).await.unwrap();
        }
        w.run_with(a, "success").await;
        queues.enqueue("automation-dispatch", vec![NewJob::new(job).id("three")]).await.unwrap();
        assert!(stays(async || w.runs(a).await.len() == 1).await);
        assert_eq!(w.calls(), ["c x"]);
        w.node.shutdown().await;
    }

    async fn a_failing_batch_is_tried_again_and_starts_one_run(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation(ON_CHANGE).await;
        w.node.scope().arm("dispatch.start", Action::Error(2));
        w.set("x", "up").await;
        advance_until(&w.clock, Duration::from_millis(500), async || w.calls() == ["c x"], "the retry").await;
        w.run_with(a, "success").await;
        assert_eq!(w.runs(a).await.len(), 1);
        w.node.shutdown().await;
    }

    async fn malformed_jobs_are_dropped(db: TestDb) {
        let w = World::new(&db).await;
        let queues = &w.parts().queues;
        for (queue, data) in [("automation-dispatch", json!({"reason": "nonsense"})), ("automation-delay", json!({})), ("automation-dwell", json!({"dwellId": 7}))] {
            queues.enqueue(queue, vec![NewJob::new(data)]).await.unwrap();
        }
        eventually(async || w.node.logs().contains("malformed"), "the warning").await;
        w.automation(ON_CHANGE).await;
        w.set("x", "up").await;
        w.until_calls(&["c x"]).await;
        w.node.shutdown().await;
    }

    async fn a_job_of_a_newer_form_is_left_for_a_newer_node(db: TestDb) {
        let w = World::new(&db).await;
        let queues = &w.parts().queues;
        let all = ["automation-dispatch", "automation-delay", "automation-wait-timeout", "automation-dwell", "automation-builtin-triggers"];
        for queue in all {
            let newer = NewJob::new(json!({"v": 2, "what": "this node cannot know"}));
            queues.enqueue(queue, vec![newer]).await.unwrap();
        }
        w.automation(ON_CHANGE).await;
        w.set("x", "up").await;
        w.until_calls(&["c x"]).await;
        for _ in 0..2 {
            eventually(async || w.node.logs().find(tracing::Level::WARN, "newer version").len() >= all.len(), "each is warned of").await;
            for queue in all {
                eventually(async || queues.stats(queue).await.unwrap().pending == 1, queue).await;
                assert_eq!(queues.stats(queue).await.unwrap().failed, 0, "{queue}");
            }
            w.clock.advance(Duration::from_secs(31));
        }
        assert!(!w.node.logs().contains("malformed"));
        w.node.shutdown().await;
    }

    async fn every_job_of_the_engine_says_its_form(db: TestDb) {
        let w = World::new(&db).await;
        w.automation("triggers: [{event: world.pinged}]\nactions: [{delay: {seconds: 600}}]").await;
        w.automation("triggers: [{event: world.pinged}]\nactions: [{wait_until: {condition: 'state.thing.x.status == \"down\"', timeout_seconds: 600}}]").await;
        w.automation("triggers: [{event: world.pinged, for: {seconds: 600}}]\nactions: []").await;
        w.automation("triggers: [{event: automation.interval, config: {intervalSeconds: 600}}]\nactions: []").await;
        w.automation(ON_CHANGE).await;
        w.ping(Some("k"), 1).await;
        // The nightly pruning of transitions carries nothing that could have a form.
        plugin_api::statements! { FORMS = {
            sqlite: "select queue || '=' || coalesce(data->>'v', 'none') from queue_jobs where queue not like 'hook:%' union select queue || '=' || coalesce(data->>'v', 'none') from queue_recurring where queue <> 'automation.entity-retention' order by 1",
            postgres: "select queue || '=' || coalesce(data->>'v', 'none') from signalbox.queue_jobs where queue not like 'hook:%' union select queue || '=' || coalesce(data->>'v', 'none') from signalbox.queue_recurring where queue <> 'automation.entity-retention' order by 1",
        }; }
        let forms = async || db.db().sql(FORMS).all::<String>().await.unwrap();
        let timers = ["automation-builtin-triggers=1", "automation-delay=1", "automation-dwell=1", "automation-wait-timeout=1"];
        eventually(async || forms().await == timers, "the timers").await;
        // The job between the stages is gone as soon as it is handled.
        w.node.scope().arm("queue.batch.before_commit", Action::Hang);
        w.set("y", "up").await;
        eventually(async || forms().await.contains(&"automation-dispatch=1".to_owned()), "the dispatch job").await;
        w.node.scope().disarm("queue.batch.before_commit");
        w.node.shutdown().await;
    }

    async fn dispatch_c67_an_automation_that_cannot_fire_stops_no_other(db: TestDb) {
        let w = World::new(&db).await;
        let on_ping = "triggers: [{event: world.pinged}]\nactions: [{action: world.call, config: {name: go}}]";
        let broken = w.automation(on_ping).await;
        let sound = w.automation(on_ping).await;
        w.ping(None, 1).await;
        w.until_calls(&["go", "go"]).await;
        w.run_with(sound, "success").await;
        w.run_with(broken, "success").await;
        // Gone behind the index's back: its firing fails on a foreign key.
        plugin_api::statements! { GONE = "delete from signalbox.automations where id = $1"; }
        db.db().sql(GONE).bind(broken).execute().await.unwrap();
        w.ping(None, 2).await;
        eventually(async || w.runs(sound).await.len() == 2, "the other fires").await;
        w.until_calls(&["go", "go", "go"]).await;
        assert!(stays(async || w.calls().len() == 3).await, "once");
        w.node.shutdown().await;
    }

    async fn dispatch_c52_consumer_and_sweeper_at_once_start_one_run(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged, for: {seconds: 60}}]\nmode: parallel\nactions: [{action: world.call, config: {name: go}}]").await;
        w.ping(Some("k"), 1).await;
        eventually(async || w.count(&db, DWELLS).await == 1, "armed").await;
        w.node.scope().arm("dispatch.expire", Action::Hang);
        w.clock.advance(Duration::from_secs(60));
        eventually(async || w.node.scope().visits("dispatch.expire") >= 1, "somebody fires it").await;
        w.node.scope().disarm("dispatch.expire");
        w.engine.sweep().await;
        w.until_calls(&["go"]).await;
        assert!(stays(async || w.runs(a).await.len() == 1).await);
        assert_eq!(w.count(&db, DWELLS).await, 0);
        w.node.shutdown().await;
    }

    async fn dispatch_c55_a_malformed_stored_actor_degrades_to_the_system(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged, for: {seconds: 60}}]\nactions: []").await;
        w.ping(Some("k"), 1).await;
        eventually(async || w.count(&db, DWELLS).await == 1, "armed").await;
        plugin_api::statements! { GARBLE = "update signalbox.automation_dwell_timers set actor_snapshot = '{\"x\":1}'"; }
        db.db().sql(GARBLE).execute().await.unwrap();
        w.clock.advance(Duration::from_secs(60));
        let run = w.run_with(a, "success").await;
        assert_eq!(run.actor.0, json!({"type": "system", "id": "system"}));
        assert!(w.node.logs().contains("malformed"));
        w.node.shutdown().await;
    }

    async fn dispatch_c41_a_wait_whose_refs_cannot_be_told_is_re_checked_every_five_minutes(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged}]\nactions:\n- variables: {kind: thing}\n- wait_until: {condition: 'state[variables.kind].x.status == \"closed\"', timeout_seconds: 86400}").await;
        w.ping(Some("k"), 1).await;
        let run = w.run_with(a, "waiting").await;
        let logs = w.engine.logs(run.id).await.unwrap();
        assert!(logs.iter().any(|l| l.level == "warn"), "the run log says so: {logs:?}");
        plugin_api::statements! { CHECKED = "select checked_at from signalbox.automation_wait_locks"; }
        let first: plugin_api::Ts = db.db().sql(CHECKED).one().await.unwrap();
        w.clock.advance(Duration::from_secs(301));
        advance_until(&w.clock, Duration::from_secs(10), async || {
            let now: plugin_api::Ts = db.db().sql(CHECKED).one().await.unwrap();
            now > first
        }, "a re-check").await;
        assert_eq!(w.runs(a).await[0].status, "waiting");
        w.node.shutdown().await;
    }

    async fn a_deleted_automation_leaves_no_row_and_no_driver(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged}]\nactions: [{action: world.call, config: {name: one, hangs: true}}, {action: world.call, config: {name: two}}]").await;
        w.ping(Some("k"), 1).await;
        w.until_calls(&["one"]).await;
        w.engine.delete(a, None).await.unwrap();
        assert_eq!(w.count(&db, STATES).await, 0);
        w.open_gate();
        assert!(stays(async || w.calls() == ["one"]).await, "no further action");
        assert!(w.runs(a).await.is_empty());
        assert_eq!(w.count(&db, LOCKS).await, 0);
        eventually(async || w.engine.load().0 == 0, "the driver leaves").await;
        w.node.shutdown().await;
    }

    async fn dispatch_3_12_automations_are_deleted_while_their_runs_commit(db: TestDb) {
        let w = World::new(&db).await;
        let text = "triggers: [{event: world.pinged}]\nactions: [{repeat: {count: 500, sequence: [{action: world.call, config: {name: again}}]}}]";
        let mut automations = Vec::new();
        for _ in 0..12 {
            automations.push(w.automation(text).await);
        }
        w.ping(Some("k"), 1).await;
        eventually(async || w.calls().len() > 100, "they walk").await;
        let deletions = automations.iter().map(|a| w.engine.delete(*a, None));
        let done = w.node.run(futures::future::join_all(deletions)).await;
        assert!(done.iter().all(Result::is_ok), "{done:?}");
        eventually(async || w.engine.load().0 == 0, "the drivers leave").await;
        assert_eq!(w.count(&db, STATES).await, 0);
        let deadlocks = w.node.logs().lines().iter().filter(|l| l.to_string().contains("deadlock")).count();
        assert_eq!(deadlocks, 0, "nobody waits in a circle");
        w.node.shutdown().await;
    }

    async fn dispatch_c70_what_a_run_resolved_is_masked_in_every_row(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged}]\nactions:\n- {id: s, action: world.call, config: {name: 'secret hunter2!!'}}\n- variables: {v: '{{ artifacts.s.made.name }}'}\n- delay: {seconds: 60}\n- {action: world.call, config: {name: x, fails: 'no hunter2!!'}}").await;
        w.ping(Some("k"), 1).await;
        let run = w.run_with(a, "waiting").await;
        let first = w.steps(run.id).await[0].clone();
        assert_eq!(first.result_payload.map(|d| d.0), Some(json!({"externalId": "id-****"})));
        let artifacts = w.engine.artifacts(run.id).await.unwrap();
        assert_eq!(artifacts[0].data.0, json!({"name": "secret ****"}));
        let logs = w.engine.logs(run.id).await.unwrap();
        assert_eq!(logs[0].message, "using ****");
        plugin_api::statements! { SNAPSHOT = { sqlite: "select scope_snapshot from automation_run_state", postgres: "select scope_snapshot::text from signalbox.automation_run_state" }; }
        let snapshot: String = db.db().sql(SNAPSHOT).one().await.unwrap();
        assert!(snapshot.contains("****") && !snapshot.contains("hunter2"), "{snapshot}");
        // What it resolved before the delay is known to its node after it.
        w.clock.advance(Duration::from_secs(60));
        let run = w.run_with(a, "failed").await;
        assert_eq!(run.error_message.as_deref(), Some("no ****"));
        let steps = w.steps(run.id).await;
        assert_eq!(steps.last().and_then(|s| s.error_message.as_deref()), Some("no ****"));
        w.node.shutdown().await;
    }

    async fn dispatch_c70_a_node_that_resumes_a_run_masks_what_the_run_resolves_there(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged}]\nactions:\n- {id: s, action: world.call, config: {name: 'secret hunter2!!'}}\n- delay: {seconds: 60}\n- {action: world.call, config: {name: 'secret hunter2!!', fails: 'no hunter2!!'}}").await;
        w.ping(Some("k"), 1).await;
        w.run_with(a, "waiting").await;
        let w = restart(w, &db).await;
        w.clock.advance(Duration::from_secs(60));
        let run = w.run_with(a, "failed").await;
        assert_eq!(run.error_message.as_deref(), Some("no ****"));
        assert_eq!(w.shared.given.lock().unwrap().iter().map(|g| g["node"].clone()).collect::<Vec<_>>(), [1, 2]);
        let steps = w.steps(run.id).await;
        assert_eq!(steps.last().and_then(|s| s.error_message.as_deref()), Some("no ****"));
        let logs = w.engine.logs(run.id).await.unwrap();
        assert!(logs.len() == 2 && logs.iter().all(|l| l.message == "using ****"), "{logs:?}");
        w.node.shutdown().await;
    }

    async fn idle_runs_cost_no_driver(db: TestDb) {
        let w = World::new(&db).await;
        let a = w.automation("triggers: [{event: world.pinged}]\nmode: parallel\nmax_runs: 100\nactions: [{delay: {seconds: 600}}]").await;
        for n in 0..10 {
            w.ping(Some("k"), n).await;
        }
        eventually(async || w.runs(a).await.iter().filter(|r| r.status == "waiting").count() == 10, "all wait").await;
        eventually(async || w.engine.load().0 == 0, "nobody drives").await;
        w.node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_share_the_work_and_either_can_be_killed() {
    let db = TestDb::postgres().await;
    let clock = VirtualClock::new();
    let shared = Arc::default();
    let one = World::boot(&db, Arc::clone(&shared), clock.clone()).await;
    let two = World::boot(&db, shared, clock.clone()).await;
    let a = one.automation("triggers: [{event: world.pinged}]\nmode: parallel\nmax_runs: 100\nactions: [{action: world.call, config: {name: 'n{{ trigger.payload.n }}', hangs: true}}, {action: world.call, config: {name: end}}]").await;
    for n in 0..4 {
        one.ping(Some("k"), n).await;
    }
    eventually(async || one.calls().len() == 4, "four runs call").await;
    two.open_gate();
    let World { node, .. } = one;
    node.kill();
    advance_until(
        &clock,
        Duration::from_secs(10),
        async || two.runs(a).await.iter().all(|r| r.status == "success"),
        "the survivor finishes every run",
    )
    .await;
    assert_eq!(two.runs(a).await.len(), 4);
    let calls = two.calls();
    assert_eq!(calls.iter().filter(|c| *c == "end").count(), 4, "{calls:?}");
    two.node.shutdown().await;
}
