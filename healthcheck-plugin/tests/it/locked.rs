//! Systems whose health somebody else keeps locked (`healthcheck §7.4`; decision 17: no committed change
//! is ever lost). Only on Postgres: on SQLite whoever writes locks the whole database.

use crate::world::{World, at_once};
use healthcheck_plugin::executor::schedule::QUEUE;
use plugin_api::fail;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use test_kit::{TestDb, advance_until, eventually, stays};
use tokio::task::JoinHandle;

const OUTAGE: [&str; 2] = [
    "healthcheck.system_degraded",
    "healthcheck.system_health_changed",
];

/// A world with the check `api` of the system `shop`, and one run that was fine.
async fn world(db: &TestDb) -> Arc<World> {
    let w = Arc::new(World::boot(db).await);
    w.check("api", &["shop"], at_once()).await;
    w.check("other", &["shop"], json!({})).await;
    w.run_as("api", "shop", false).await;
    w
}

/// A change of `shop` that stands still before its commit.
struct Standing {
    scope: fail::Scope,
    change: JoinHandle<(u16, Value)>,
}

impl Standing {
    async fn begin(w: &Arc<World>) -> Self {
        let scope = fail::Scope::default();
        scope.arm(fail::COMMIT, fail::Action::Hang);
        let (at, world) = (scope.clone(), w.clone());
        let change = plugin_api::spawn(async move {
            let policy = json!({ "notification_policy": { "suppressDeEscalations": true } });
            let put = world.call("PUT", "/checks/other/assignments/shop", policy);
            at.run(put).await
        });
        let stands = async || scope.visits(fail::COMMIT) == 1;
        eventually(stands, "the change stands before its commit").await;
        Self { scope, change }
    }
    async fn end(self) {
        self.scope.disarm(fail::COMMIT);
        assert_eq!(self.change.await.expect("it ends").0, 200);
    }
}

async fn start(w: &World, check: &str, system: &str) {
    let path = format!("/checks/{check}/assignments/{system}/run");
    w.ok("POST", path, Value::Null).await;
}

async fn count(w: &World, what: &str) -> Value {
    w.ok("GET", "/check-executor".into(), Value::Null).await[what].clone()
}

/// Lets the run in flight wait in vain so many times.
async fn wait_in_vain(w: &World, times: usize) {
    let warned = async || {
        let lines = w.node.logs().find(tracing::Level::WARN, "stayed locked");
        lines.len() >= times
    };
    let step = Duration::from_secs(5);
    advance_until(&w.node.clock(), step, warned, "a try is in vain").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_of_a_locked_system_waits_and_its_change_comes_out() {
    let db = TestDb::postgres().await;
    let w = world(&db).await;
    let standing = Standing::begin(&w).await;
    w.switch.down("api", true);
    start(&w, "api", "shop").await;
    wait_in_vain(&w, 2).await;
    assert_eq!(w.runs("api", "shop").await, 1);

    // However long it waits, no other run of the assignment overtakes it.
    start(&w, "api", "shop").await;
    let skipped = async || count(&w, "skipped_in_flight").await == json!(1);
    eventually(skipped, "the tick is skipped").await;

    standing.end().await;
    eventually(
        async || w.runs("api", "shop").await == 2,
        "the run is stored",
    )
    .await;
    assert_eq!(w.event_ids(2).await, OUTAGE);
    assert_eq!(w.history("shop").await, [">healthy", "healthy>unhealthy"]);
    let hooks = async || w.seen.hooks.lock().unwrap().len();
    eventually(
        async || hooks().await == 3,
        "both hooks of the failure fire",
    )
    .await;
    assert_eq!(count(&w, "lost").await, json!(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_waits_too_long_leaves_its_change_to_the_next() {
    let db = TestDb::postgres().await;
    let w = world(&db).await;
    let standing = Standing::begin(&w).await;
    w.switch.down("api", true);
    start(&w, "api", "shop").await;
    wait_in_vain(&w, 3).await;
    let lost = async || count(&w, "lost").await == json!(1);
    let step = Duration::from_secs(5);
    advance_until(&w.node.clock(), step, lost, "the run is given up").await;
    standing.end().await;
    assert_eq!(w.health("shop").await, ("healthy".into(), 2, 2));

    // Its claim is free, and health is what it was: nothing was stored that would hide the change.
    w.run("api", "shop").await;
    assert_eq!(w.event_ids(2).await, OUTAGE);
    assert!(stays(async || w.event_ids(0).await == OUTAGE).await);
    assert_eq!(w.history("shop").await, [">healthy", "healthy>unhealthy"]);
    assert_eq!(w.runs("api", "shop").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_of_a_locked_system_hold_nobody_else_up() {
    let db = TestDb::postgres().await;
    let w = World::boot(&db).await;
    let names: Vec<String> = (0..12).map(|n| format!("check-{n}")).collect();
    for name in &names {
        w.check(name, &["shop"], at_once()).await;
        w.switch.down(name, true);
    }
    w.check("api", &["blog"], at_once()).await;
    // As another node would.
    let mut other = db.db().begin().await.expect("a transaction");
    other
        .lock("automation.entity:health:shop")
        .await
        .expect("the lock");
    for name in &names {
        start(&w, name, "shop").await;
    }
    let waits = async || db.db().sql(WAITING).one::<i64>().await.expect("a count");
    eventually(
        async || waits().await >= 1,
        "a run waits for the other node",
    )
    .await;
    // More runs than the plugin has connections wait; the routes and other systems have theirs.
    w.run_as("api", "blog", true).await;
    assert_eq!(waits().await, 1);
    assert_eq!(w.health("blog").await, ("unhealthy".into(), 0, 1));
    assert_eq!(w.health("shop").await, ("healthy".into(), 12, 12));

    other.rollback().await.expect("released");
    let down = ("unhealthy".to_owned(), 0, 12);
    eventually(
        async || w.health("shop").await == down,
        "all runs are stored",
    )
    .await;
    assert_eq!(w.history("shop").await, [">unhealthy"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_assignment_that_is_disabled_while_it_is_being_scheduled_is_not() {
    let db = TestDb::postgres().await;
    let w = Arc::new(World::boot(&db).await);
    let check = w.check("api", &["shop"], json!({})).await;
    let queues = w.node.runtime().kernel().queues();
    let jobs = async || queues.list_recurring(QUEUE).await.expect("jobs").len();
    let path = "/checks/api/assignments/shop";
    w.ok("PUT", path.into(), json!({ "enabled": false })).await;

    // One node has enabled it and is about to store the job ...
    let job = format!("healthcheck:{}:shop", check["id"].as_str().expect("an id"));
    let mut before_job = db.db().begin().await.expect("a transaction");
    let key = format!("core.queue.recurring:{QUEUE}:{job}");
    before_job.lock(&key).await.expect("the lock");
    let world = w.clone();
    let enabling =
        plugin_api::spawn(async move { world.call("PUT", path, json!({ "enabled": true })).await });
    let waits = async || db.db().sql(WAITING).one::<i64>().await.expect("a count") == 1;
    eventually(waits, "it is about to store the job").await;
    // ... when another disables it.
    w.ok("PUT", path.into(), json!({ "enabled": false })).await;
    before_job.rollback().await.expect("released");
    assert_eq!(enabling.await.expect("it ends").0, 200);
    assert_eq!(jobs().await, 0);
}

plugin_api::statements! {
    WAITING = {
        sqlite: "select 0",
        postgres: "select count(*) from pg_locks where locktype = 'advisory' and not granted
            and database = (select oid from pg_database where datname = current_database())",
    };
}
