//! Two nodes on one Postgres: hints, signals, one clock.

use crate::queue_support::Record;
use plugin_api::{
    Clock, Db, SystemClock,
    core::SIGNALS,
    db::{DbConfig, Sql},
    fail,
    hints::HintListener,
    masking::MaskSet,
    queue::{Consumer, NewJob},
};
use plugin_runtime::{Runtime, ShutdownReason};
use serde_json::json;
use std::sync::Arc;
use test_kit::{Kit, Node, TestDb, TestPlugin, eventually, stays, within};
use tracing::Level;

const LISTENERS: Sql = Sql {
    sqlite: "select 0",
    postgres: "select count(*) from pg_stat_activity where datname = current_database() and query ilike 'listen %'",
};
const CUT: Sql = Sql {
    sqlite: "select 0",
    postgres: "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = current_database() and query ilike 'listen %'",
};

async fn both_listen(db: &Db) {
    eventually(
        async || db.sql(LISTENERS).one::<i64>().await.unwrap() == 2,
        "both nodes listen",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hints_and_signals_reach_the_other_node_and_survive_a_cut_line() {
    let db = TestDb::postgres().await;
    let [first, second] = Kit::two_nodes(&db, |_| Vec::new()).await;
    let here = first.runtime().kernel().hints();
    let listener = second.runtime().kernel().hints().listen("work");
    let other = second.runtime().kernel().hints().listen("other");
    // A listener starts woken; listening itself wakes all, so that nothing is missed.
    listener.wait().await;
    both_listen(db.db()).await;
    let calm = async || {
        // Take up what the start of the listening task left behind.
        while within_moment(listener.wait()).await {}
        while within_moment(other.wait()).await {}
    };
    calm().await;

    here.notify("work");
    within(listener.wait(), "the hint").await;
    assert!(
        !within_moment(other.wait()).await,
        "only the topic is woken"
    );

    let mut clients = second.service("x", &SIGNALS).unwrap().subscribe();
    let signals = first.service("x", &SIGNALS).unwrap();
    signals.broadcast("x.changed", MaskSet::empty().mask_json(json!(1)));
    let signal = within(clients.recv(), "the signal").await.unwrap();
    assert_eq!(signal.signal.payload, json!(1));

    // After a lost connection every topic is woken, because something may have been missed.
    assert!(db.db().sql(CUT).one::<i64>().await.unwrap() >= 2);
    within(other.wait(), "the scan after the cut").await;
    both_listen(db.db()).await;
    calm().await;
    here.notify("work");
    within(listener.wait(), "a hint on the new line").await;
    first.shutdown().await;
    second.shutdown().await;
}

/// Two nodes that have come to rest, each with a plugin that gives a hint when it is cleaned up; and a
/// listener of the second that has taken up what there was.
async fn at_rest(db: &TestDb) -> ([Node; 2], HintListener) {
    let plugin = || {
        TestPlugin::new("a").init(|ctx| {
            let hints = ctx.hints();
            ctx.on_cleanup(move || async move {
                hints.notify("work");
                Ok(())
            });
            Box::pin(async { Ok(()) })
        })
    };
    let nodes = Kit::two_nodes(db, |_| vec![Box::new(plugin())]).await;
    both_listen(db.db()).await;
    let listener = nodes[1].runtime().kernel().hints().listen("work");
    while within_moment(listener.wait()).await {}
    (nodes, listener)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hint_that_could_not_be_sent_is_sent_again() {
    let db = TestDb::postgres().await;
    let ([first, second], listener) = at_rest(&db).await;
    first.scope().arm(fail::DATABASE, fail::Action::Error(1));
    first.runtime().kernel().hints().notify("work");
    within(listener.wait(), "the hint").await;
    let failed = first.logs().find(Level::WARN, "sent again");
    assert_eq!(failed.len(), 1, "{failed:?}");
    first.shutdown().await;
    second.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_hints_of_a_node_that_stops_are_sent() {
    let db = TestDb::postgres().await;
    let ([first, second], listener) = at_rest(&db).await;
    first.shutdown().await;
    within(listener.wait(), "the hint of the clean-up").await;
    second.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_of_a_node_that_died_before_its_hint_is_handled_by_an_idle_one() {
    let db = TestDb::postgres().await;
    let ([first, second], listener) = at_rest(&db).await;
    let (clock, record) = (second.clock(), Record::default());
    let (start, queues) = (clock.now(), second.runtime().kernel().queues());
    let consumer = Consumer::each("t.g", record.handler());
    second.run(queues.consume("t.q", consumer)).await.unwrap();
    let tomorrow = start.plus_millis(24 * 3_600_000);
    let idle = async || clock.sleeping_until(tomorrow) == 1;
    eventually(idle, "the lane waits for nothing").await;

    let scope = first.scope().clone();
    scope.arm(fail::COMMITTED, fail::Action::Kill(1));
    let queues = first.runtime().kernel().queues();
    let dying = plugin_api::spawn(async move {
        let jobs = vec![NewJob::new(json!("last"))];
        scope.run(queues.enqueue("t.q", jobs)).await
    });
    eventually(async || first.scope().is_killed(), "the death").await;
    dying.abort();
    assert!(stays(async || record.len() == 0).await, "nobody told it");

    let beat = async |n: i64| {
        let at = start.plus_millis(n * 20_000);
        eventually(async || clock.sleeping_until(at) == 1, "the beat before").await;
        clock.set(at);
    };
    beat(1).await;
    assert_eq!(record.wait(1).await, ["last"]);
    // Once it is found dead, whatever else it had to say is looked for, too.
    beat(2).await;
    beat(3).await;
    assert!(!within_moment(listener.wait()).await);
    beat(4).await;
    within(listener.wait(), "a look at everything").await;
    second.shutdown().await;
}

/// True when the future ends within a moment of real time.
async fn within_moment(f: impl Future<Output = ()>) -> bool {
    tokio::select! {
        biased;
        () = f => true,
        _ = stays(async || true) => false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nodes_clock_follows_the_databases() {
    let db = TestDb::postgres().await;
    let wrong = SystemClock::new();
    wrong.set_offset_ms(3_600_000);
    let handle = Db::open(&DbConfig::new(db.url())).await.unwrap();
    let builder = Runtime::builder(handle).system_clock(wrong.clone());
    let runtime = builder.boot().await.unwrap();
    let right = SystemClock::new();
    let difference = wrong.now().millis() - right.now().millis();
    assert!(
        difference.abs() < 5_000,
        "an hour ahead became {difference} ms"
    );
    // A second measurement so soon is not made, however wrong the clock is.
    wrong.set_offset_ms(3_600_000);
    runtime.sync_clock().await.unwrap();
    assert_eq!(wrong.offset_ms(), 3_600_000);
    runtime.shutdown(ShutdownReason::Manual).await;
    let _: Arc<dyn Clock> = right;
}
