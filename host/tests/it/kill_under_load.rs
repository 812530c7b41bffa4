//! `serve`, killed with SIGKILL again and again while events pour in; then what the databases hold is
//! checked: every change routed, every occurrence decided once, every run over, no action repeated
//! after its checkpoint.

use crate::support::{Server, Store};
use plugin_api::{Clock, Db, SystemClock, db::DbConfig};
use reqwest::Method;
use serde_json::{Value, json};
use signalbox::{client::Client, settings::sqlite_url};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use test_kit::{TestDb, eventually_within};

const KILLS: usize = 6;
/// Between two incidents.
const PACE: Duration = Duration::from_millis(60);
/// Leases last 5 s here.
const LIMIT: Duration = Duration::from_secs(120);

plugin_api::statements! {
    /// Changes that nobody has routed.
    UNROUTED = "select count(*) from signalbox.entity_outbox";
    /// Jobs that are not over, but for ticks to come.
    JOBS = "select count(*) from signalbox.queue_jobs where recurring is null";
    /// Waits and leases of runs that are over.
    LEFT = "select (select count(*) from signalbox.automation_wait_locks) + (select count(*) from signalbox.automation_run_state)";
}

fn definition() -> Value {
    json!({"definition": {
        "name": "answers", "mode": "parallel", "max_runs": 1000,
        "triggers": [{"id": "made", "event": "incident.created"}],
        "actions": [
            {"id": "seen", "action": "incident.add_update", "config": {"incidentId": "{{ trigger.payload.incidentId }}", "message": "seen"}},
            {"delay": {"seconds": 1}},
            {"parallel": [
                {"id": "left", "action": "incident.add_update", "config": {"incidentId": "{{ trigger.payload.incidentId }}", "message": "left"}},
                {"id": "right", "action": "incident.add_update", "config": {"incidentId": "{{ trigger.payload.incidentId }}", "message": "right"}},
            ]},
        ],
    }})
}

/// Opens incidents at whichever node answers, until it is told to stop.
async fn load(clients: &[Client], stop: &AtomicBool) {
    let clock = SystemClock::new();
    let body = json!({"title": "one of many", "severity": "minor", "system_ids": ["pay"]});
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let client = &clients[n % clients.len()];
        client
            .call(Method::POST, "/incidents", Some(&body))
            .await
            .ok();
        clock.sleep(PACE).await;
    }
}

/// Kills one after the other, at random moments, and starts each again.
async fn kill(servers: &mut [Server], stop: &AtomicBool) {
    let clock = SystemClock::new();
    let count = servers.len();
    for n in 0..KILLS {
        let random = clock.new_uuid().as_u128() as u64 % 1_000;
        clock.sleep(Duration::from_millis(500 + random)).await;
        let server = &mut servers[n % count];
        server.kill();
        server.spawn().await;
    }
    stop.store(true, Ordering::Relaxed);
}

async fn hammer(mut servers: Vec<Server>, database_url: &str) {
    let clients: Vec<Client> = servers.iter().map(Server::client).collect();
    let made = clients[0]
        .call(Method::POST, "/automations", Some(&definition()))
        .await;
    let automation = made.expect("an automation")["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let stop = AtomicBool::new(false);
    futures::join!(load(&clients, &stop), kill(&mut servers, &stop));

    let db = Db::open(&DbConfig::new(database_url))
        .await
        .expect("the database opens");
    let done = async || {
        for sql in [UNROUTED, JOBS, LEFT] {
            if db.sql(sql).one::<i64>().await.ok() != Some(0) {
                return false;
            }
        }
        true
    };
    eventually_within(LIMIT, done, "everything is routed, decided and over").await;
    db.close().await;

    let client = &clients[0];
    let incidents = client.all("/incidents").await.expect("incidents");
    let runs = client
        .all(&format!("/runs?automation_id={automation}"))
        .await
        .expect("runs");
    let mut by_incident: BTreeMap<&str, &Value> = BTreeMap::new();
    for run in &runs {
        let key = run["context_key"].as_str().expect("a key");
        assert!(by_incident.insert(key, run).is_none(), "two runs of {key}");
    }
    let mut repeated = 0;
    for incident in &incidents {
        let id = incident["id"].as_str().expect("an id");
        let run = by_incident
            .remove(id)
            .unwrap_or_else(|| panic!("{id} was never answered"));
        let run = client
            .get(&format!("/runs/{}", run["id"].as_str().expect("an id")))
            .await;
        let run = run.expect("the run");
        assert_eq!(run["status"], "success", "{run:#}");
        let incident = client
            .get(&format!("/incidents/{id}"))
            .await
            .expect("the incident");
        repeated += unrepeated(&run, &incident);
    }
    assert!(by_incident.is_empty(), "runs of nothing: {by_incident:?}");
    println!(
        "{} incidents, {KILLS} kills, {repeated} actions in flight were repeated",
        runs.len()
    );
    assert!(runs.len() > 30, "the load was no load: {}", runs.len());
    for mut server in servers {
        assert!(server.stop(), "{}", server.log());
    }
}

/// Every effect of a step came before its checkpoint; answers how many were there more than once.
fn unrepeated(run: &Value, incident: &Value) -> usize {
    // All in one form, so texts are in the order of time.
    let instant = |v: &Value| v.as_str().expect("an instant").to_owned();
    let updates = incident["updates"].as_array().expect("updates");
    let mut repeated = 0;
    for name in ["seen", "left", "right"] {
        let of = |s: &&Value| s["action_id"] == name;
        let step = run["steps"].as_array().expect("steps").iter().find(of);
        let step = step.unwrap_or_else(|| panic!("no step {name}: {run:#}"));
        let over = instant(&step["finished_at"]);
        let effects: Vec<String> = updates
            .iter()
            .filter(|u| u["message"] == name)
            .map(|u| instant(&u["created_at"]))
            .collect();
        assert!(
            !effects.is_empty(),
            "{name} succeeded and did nothing: {run:#}"
        );
        assert!(
            effects.iter().all(|at| *at <= over),
            "{name} again after its checkpoint: {run:#}"
        );
        repeated += effects.len() - 1;
    }
    repeated
}

async fn start(store: &Store, folder: &std::path::Path) -> Server {
    let url = match store {
        Store::Sqlite => None,
        Store::Postgres(db) => Some(db.url().to_owned()),
    };
    Server::start_with(folder, url, &["--lease-seconds", "5"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_under_load_loses_and_repeats_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    let server = start(&Store::Sqlite, &data).await;
    let url = sqlite_url(&data).expect("a URL");
    hammer(vec![server], &url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_killed_in_turn_under_load_lose_and_repeat_nothing() {
    let store = Store::Postgres(TestDb::postgres().await);
    let Store::Postgres(db) = &store else {
        unreachable!("it is Postgres")
    };
    let dir = tempfile::tempdir().expect("a folder");
    let (first, second) = (dir.path().join("one"), dir.path().join("two"));
    let one = start(&store, &first).await;
    // Key and administrator token were made by the first node.
    std::fs::create_dir(&second).expect("a folder");
    for file in ["config-key", "admin-token"] {
        std::fs::copy(first.join(file), second.join(file)).expect(file);
    }
    let two = start(&store, &second).await;
    hammer(vec![one, two], db.url()).await;
}
