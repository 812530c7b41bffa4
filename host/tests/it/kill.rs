//! `serve`, killed with SIGKILL at a random moment of the demo story and started again, finishes the
//! story: one incident, resolved once. Ten moments on each database.

use crate::support::{Server, Store, begin_story, end_story, recover};
use plugin_api::{Clock, SystemClock};
use std::time::Duration;
use test_kit::TestDb;

/// From applying the examples to the resolved incident.
const STORY_MS: u64 = 20_000;
const MOMENTS: u64 = 10;
/// A killed server may hold leases of 60 s that nobody can take over sooner.
const LIMIT: Duration = Duration::from_secs(150);

/// One story with one kill after `moment` milliseconds.
async fn story(store: Store, moment: u64) {
    let dir = tempfile::tempdir().expect("a folder");
    let url = match &store {
        Store::Sqlite => None,
        Store::Postgres(db) => Some(db.url().to_owned()),
    };
    let mut server = Server::start(&dir.path().join("data"), url).await;
    let client = server.client();
    let service = begin_story(&client).await;
    let killing = async {
        SystemClock::new()
            .sleep(Duration::from_millis(moment))
            .await;
        server.kill();
        server.spawn().await;
    };
    futures::join!(killing, recover(&client, &service, LIMIT));
    end_story(&server, LIMIT).await;
    assert!(
        server.stop(),
        "a stopped server exits with success\n{}",
        server.log()
    );
}

/// Ten moments, one in each tenth of the story, at random places inside.
fn moments() -> Vec<u64> {
    let random = SystemClock::new().new_uuid().as_u128();
    (0..MOMENTS)
        .map(|i| i * STORY_MS / MOMENTS + (random >> (i * 8)) as u64 % (STORY_MS / MOMENTS))
        .collect()
}

/// All stories at once: each mostly waits.
async fn all(stores: Vec<Store>) {
    let stories = stores.into_iter().zip(moments()).map(|(store, moment)| {
        println!("killing after {moment} ms");
        story(store, moment)
    });
    futures::future::join_all(stories).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_finishes_the_story_on_sqlite() {
    all((0..MOMENTS).map(|_| Store::Sqlite).collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_finishes_the_story_on_postgres() {
    let mut stores = Vec::new();
    for _ in 0..MOMENTS {
        stores.push(Store::Postgres(TestDb::postgres().await));
    }
    all(stores).await;
}
