//! `signalbox why` against a real server: what it says before anything has happened, and after.

use crate::support::{Server, binary};
use serde_json::json;
use std::{path::Path, time::Duration};
use test_kit::eventually_within;

fn why(server: &Server, data_dir: &Path, more: &[&str]) -> String {
    let url = format!("http://{}", server.address);
    let data = data_dir.to_str().expect("UTF-8");
    let mut command = binary();
    command.args(["why", "night watch", "--server", &url, "--data-dir", data]);
    let out = command.args(more).output().expect("the binary runs");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        out.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&out.stderr)
    );
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn why_tells_what_an_automation_listens_to_and_what_its_gates_decided() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    std::fs::create_dir(&data).expect("a data folder");
    let server = Server::start(&data, None).await;
    let client = server.client();
    let definition = json!({
        "name": "night watch", "mode": "parallel",
        "triggers": [{"id": "tick", "event": "automation.interval", "config": {"intervalSeconds": 1}, "filter": "trigger.payload.firedAt == 'never'"}],
        "actions": [],
    });
    let created = client
        .call(
            reqwest::Method::POST,
            "/automations",
            Some(&json!({"definition": definition})),
        )
        .await
        .expect("an automation");
    let id = created["id"].as_str().expect("an id").to_owned();

    let decided = async || why(&server, &data, &[]).contains("filter_false");
    eventually_within(
        Duration::from_secs(30),
        decided,
        "a tick that the filter stops",
    )
    .await;
    let text = why(&server, &data, &["--since", "1h"]);
    assert!(
        text.starts_with("night watch is enabled and listens to automation.interval (tick)."),
        "{text}"
    );
    assert!(text.contains("  last     it has no run"), "{text}");
    assert!(
        text.contains("  The filter was false.\n    trigger.payload.firedAt == 'never' was \"20"),
        "{text}"
    );

    let path = format!("/automations/{id}/runs");
    client
        .call(
            reqwest::Method::POST,
            &path,
            Some(&json!({"payload": {"firedAt": "now"}})),
        )
        .await
        .expect("a run by hand");
    let text = why(&server, &data, &["--verdict", "started"]);
    assert!(
        text.contains("A run was started by hand.\n    run "),
        "{text}"
    );
    let text = why(&server, &data, &["--context", "nobody"]);
    assert!(
        text.contains("No event of its triggers has arrived for nobody since "),
        "{text}"
    );

    let path = format!("/automations/{id}/decisions");
    let page = client
        .get(&format!("{path}?limit=1"))
        .await
        .expect("a page");
    let cursor = page["next_cursor"].as_str().expect("there are more");
    let next = client
        .get(&format!("{path}?limit=1&cursor={cursor}"))
        .await
        .expect("the next page");
    assert_ne!(page["items"][0]["id"], next["items"][0]["id"]);
    assert_eq!(page["kept"], json!({"per_automation": 200, "days": 30}));
    for wrong in [
        "verdict=nope",
        "since=yesterday",
        "cursor=x",
        "nonsense=1",
        "limit=0",
    ] {
        assert!(
            client.get(&format!("{path}?{wrong}")).await.is_err(),
            "{wrong}"
        );
    }
    let nobody = "/automations/019bc186-de00-7001-8000-00000000ffff/decisions";
    assert!(client.find(nobody).await.expect("an answer").is_none());
}
