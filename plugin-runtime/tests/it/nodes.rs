//! Two nodes on one Postgres: hints, signals, one clock.

use plugin_api::{
    Clock, Db, SystemClock,
    core::SIGNALS,
    db::{DbConfig, Sql},
    masking::MaskSet,
};
use plugin_runtime::{Runtime, ShutdownReason};
use serde_json::json;
use std::sync::Arc;
use test_kit::{Kit, TestDb, eventually, stays, within};

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
