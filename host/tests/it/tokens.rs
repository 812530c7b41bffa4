//! Tokens and keys: lost ones are replaced, and nodes of one database agree on the key.

use crate::support::{Server, binary, free_address};
use signalbox::client::Client;
use std::{fs, process::Output};
use test_kit::TestDb;

fn said(out: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    )
}

fn run(args: &[&str]) -> Output {
    binary().args(args).output().expect("the binary runs")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_administrator_token_is_replaced_beside_the_running_server() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    let folder = data.to_str().expect("UTF-8");
    let never = run(&["token", "--data-dir", folder]);
    assert!(
        !never.status.success() && said(&never).contains("signalbox serve"),
        "{}",
        said(&never)
    );
    let mut server = Server::start(&data, None).await;
    let first = server.client();
    fs::remove_file(data.join("admin-token")).expect("the token is lost");
    // Starting again does not help: the token was made once.
    server.kill();
    server.spawn().await;
    assert!(!data.join("admin-token").exists());
    let address = format!("http://{}", server.address);
    let lost = run(&["status", "--server", &address, "--data-dir", folder]);
    assert!(said(&lost).contains("signalbox token"), "{}", said(&lost));

    let issued = run(&["token", "--data-dir", folder]);
    assert!(issued.status.success(), "{}", said(&issued));
    let status = run(&["status", "--server", &address, "--data-dir", folder]);
    assert!(status.status.success(), "{}", said(&status));
    first
        .get("/status")
        .await
        .expect("the old token still works");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_starts_with_the_key_of_the_first_and_with_no_other() {
    let db = TestDb::postgres().await;
    let dir = tempfile::tempdir().expect("a folder");
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    let _first = Server::start(&one, Some(db.url().to_owned())).await;
    let folder = two.to_str().expect("UTF-8");
    let address = free_address().to_string();
    let serve = [
        "serve",
        "--data-dir",
        folder,
        "--listen",
        &address,
        "--database-url",
        db.url(),
    ];
    let refused = run(&serve);
    let text = said(&refused);
    assert!(!refused.status.success(), "{text}");
    for part in ["config-key", "SIGNALBOX_CONFIG_KEY", "fingerprint"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(
        !two.join("config-key").exists(),
        "the key made for this start is not left in the way"
    );
    fs::copy(one.join("config-key"), two.join("config-key")).expect("the key");
    let second = Server::start(&two, Some(db.url().to_owned())).await;
    // Nor is the token the second node's to make.
    let issued = run(&["token", "--data-dir", folder, "--database-url", db.url()]);
    assert!(issued.status.success(), "{}", said(&issued));
    second.client().get("/status").await.expect("a valid token");
    let same = run(&["key", "--data-dir", folder, "--database-url", db.url()]);
    assert!(same.status.success(), "{}", said(&same));

    // A key that is lost for good is given up on purpose only.
    let three = dir.path().join("three");
    let folder = three.to_str().expect("UTF-8");
    let key = ["key", "--data-dir", folder, "--database-url", db.url()];
    assert!(!run(&key).status.success());
    assert!(run(&[&key[..], &["--replace"]].concat()).status.success());
    assert!(run(&key).status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_none_is_answered_with_one_that_is() {
    for wrong in ["nonsense", "localhost:8080", "ftp://x", "http://"] {
        let error = Client::with_token(wrong, "sb_x").err();
        let error = error.map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains("http://127.0.0.1:8080"), "{wrong}: {error}");
    }
}
