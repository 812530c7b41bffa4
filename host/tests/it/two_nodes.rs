//! Two nodes on one Postgres share the work of the demo; either can be killed.

use crate::support::{Server, begin_story, end_story, recover};
use plugin_api::{Clock, SystemClock};
use std::time::Duration;
use test_kit::{TestDb, eventually_within};

const LIMIT: Duration = Duration::from_secs(150);

/// Kills the first or the second of two nodes in the middle of the outage.
async fn killing(first: bool) {
    let db = TestDb::postgres().await;
    let dir = tempfile::tempdir().expect("a folder");
    let url = Some(db.url().to_owned());
    let mut one = Server::start(&dir.path().join("one"), url).await;
    let mut two = Server::join(&one, &dir.path().join("two")).await;
    let service = begin_story(&one.client()).await;
    let clock = SystemClock::new();
    let killing_at = clock.now().plus_millis(8_000);
    let worked = async |node: &Server| {
        let stats = node.client().get("/check-executor").await;
        stats.is_ok_and(|s| s["recorded"].as_u64() > Some(0))
    };
    eventually_within(
        Duration::from_secs(60),
        async || worked(&one).await && worked(&two).await,
        "both nodes have run checks",
    )
    .await;
    clock.sleep_until(killing_at).await;
    let left = if first {
        one.kill();
        two
    } else {
        two.kill();
        one
    };
    recover(&left.client(), &service, LIMIT).await;
    end_story(&left, LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_node_finishes_when_the_first_is_killed() {
    killing(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_node_finishes_when_the_second_is_killed() {
    killing(false).await;
}
