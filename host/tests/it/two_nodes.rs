//! Two nodes on one Postgres share the work of the demo; either can be killed.

use crate::support::{Server, begin_story, end_story};
use plugin_api::{Clock, SystemClock};
use signalbox::demo::Outage;
use std::time::Duration;
use test_kit::TestDb;

const OUTAGE: Outage = Outage {
    after: Duration::from_secs(3),
    lasting: Duration::from_secs(10),
};
const LIMIT: Duration = Duration::from_secs(150);

/// Kills the first or the second of two nodes in the middle of the outage.
async fn killing(first: bool) {
    let db = TestDb::postgres().await;
    let dir = tempfile::tempdir().expect("a folder");
    let one_dir = dir.path().join("one");
    let mut one = Server::start(&one_dir, Some(db.url().to_owned())).await;
    let two_dir = dir.path().join("two");
    std::fs::create_dir(&two_dir).expect("a folder");
    // The administrator token was made by the first node; the second node's folder gets a copy, as an operator would do.
    std::fs::copy(one_dir.join("admin-token"), two_dir.join("admin-token")).expect("the token");
    let mut two = Server::start(&two_dir, Some(db.url().to_owned())).await;
    let _service = begin_story(&one.client(), OUTAGE).await;
    SystemClock::new().sleep(Duration::from_secs(8)).await;
    let left = if first {
        one.kill();
        two
    } else {
        two.kill();
        one
    };
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
