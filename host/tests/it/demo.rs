//! The demo as its audience meets it: on either database, and again on the same one.

use crate::support::{Server, binary};
use test_kit::TestDb;

/// Runs the demo to its end and answers what it told.
async fn told(args: Vec<String>) -> String {
    let run = tokio::task::spawn_blocking(move || {
        let mut demo = binary();
        demo.args(["demo", "--once"]).args(args);
        demo.output().expect("the demo runs")
    });
    let out = run.await.expect("the demo ends");
    let (told, error) = (
        String::from_utf8_lossy(&out.stdout).into_owned(),
        String::from_utf8_lossy(&out.stderr),
    );
    assert!(out.status.success(), "{told}{error}");
    told
}

/// Tells the story twice on one database: the second must know nothing of the first.
async fn twice(args: Vec<&str>) {
    let args: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
    let first = told(args.clone()).await;
    let second = told(args).await;
    for story in [&first, &second] {
        assert_eq!(story.matches("opened: ").count(), 1, "{story}");
        assert!(story.contains("the incident has been resolved"), "{story}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_tells_one_story_each_time_on_either_database() {
    let (db, nodes) = (TestDb::postgres().await, TestDb::postgres().await);
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("demo");
    let folder = folder.to_str().expect("UTF-8");
    futures::join!(
        twice(vec!["--data-dir", folder]),
        twice(vec!["--database-url", db.url()]),
        twice(vec!["--nodes", "2", "--database-url", nodes.url()])
    );
    // The demo was a guest: the first server still makes itself at home.
    let server = Server::start(&dir.path().join("data"), Some(db.url().to_owned())).await;
    let status = server.client().get("/status").await;
    status.expect("the first server has an administrator token");
}
