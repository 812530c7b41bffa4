//! `serve`, killed with SIGKILL again and again while events pour in; then what the databases hold is
//! checked: every change routed, every occurrence decided once, every run over, no action repeated
//! after its checkpoint.

use crate::support::Server;
use automation_core::RunId;
use plugin_api::{Clock, Db, SystemClock, Ts, db::DbConfig};
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
    /// Checkpointed steps.
    CHECKPOINTS = "select run_id, action_path, attempts, finished_at from signalbox.automation_run_steps where status = 'success'";
}

plugin_api::row! {
    struct Checkpoint { run_id: RunId, action_path: String, attempts: i64, finished_at: Option<Ts> }
}

/// Steps that are over, with executions and end.
type Checkpoints = BTreeMap<(RunId, String), (i64, Option<Ts>)>;

async fn checkpoints(db: &Db) -> Checkpoints {
    let rows: Vec<Checkpoint> = db.sql(CHECKPOINTS).all().await.expect("steps");
    let entry = |c: Checkpoint| ((c.run_id, c.action_path), (c.attempts, c.finished_at));
    rows.into_iter().map(entry).collect()
}

/// What was checkpointed stays as it was: its action was not begun again, and did not end again.
fn unchanged(before: &Checkpoints, now: &Checkpoints) {
    for (step, was) in before {
        assert_eq!(
            now.get(step),
            Some(was),
            "{step:?} was over before the kill"
        );
    }
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
async fn kill(servers: &mut [Server], db: &Db, stop: &AtomicBool) -> Vec<Checkpoints> {
    let clock = SystemClock::new();
    let (count, mut seen) = (servers.len(), Vec::new());
    for n in 0..KILLS {
        let random = clock.new_uuid().as_u128() as u64 % 1_000;
        clock.sleep(Duration::from_millis(500 + random)).await;
        let server = &mut servers[n % count];
        server.kill();
        seen.push(checkpoints(db).await);
        server.spawn().await;
    }
    stop.store(true, Ordering::Relaxed);
    seen
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
    let db = Db::open(&DbConfig::new(database_url))
        .await
        .expect("the database opens");
    let ((), at_kills) = futures::join!(load(&clients, &stop), kill(&mut servers, &db, &stop));
    let done = async || {
        for sql in [UNROUTED, JOBS, LEFT] {
            if db.sql(sql).one::<i64>().await.ok() != Some(0) {
                return false;
            }
        }
        true
    };
    eventually_within(LIMIT, done, "everything is routed, decided and over").await;
    let over = checkpoints(&db).await;
    at_kills.iter().for_each(|then| unchanged(then, &over));
    assert!(
        at_kills.iter().any(|then| then.len() > 30),
        "few steps were over before a kill"
    );
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
        repeated += repeated_effects(&run, &incident);
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

/// No step had more effects than executions; answers how many effects were there more than once.
fn repeated_effects(run: &Value, incident: &Value) -> usize {
    let updates = incident["updates"].as_array().expect("updates");
    let mut repeated = 0;
    for name in ["seen", "left", "right"] {
        let of = |s: &&Value| s["action_id"] == name;
        let step = run["steps"].as_array().expect("steps").iter().find(of);
        let step = step.unwrap_or_else(|| panic!("no step {name}: {run:#}"));
        let executions = step["attempts"].as_u64().expect("a number") as usize;
        let effects = updates.iter().filter(|u| u["message"] == name).count();
        assert!(
            (1..=executions).contains(&effects),
            "{effects} times {name}: {run:#}"
        );
        repeated += effects - 1;
    }
    repeated
}

const ARGS: &[&str] = &["--lease-seconds", "5"];

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_under_load_loses_and_repeats_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    let server = Server::start_with(&data, None, ARGS).await;
    let url = sqlite_url(&data).expect("a URL");
    hammer(vec![server], &url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_killed_in_turn_under_load_lose_and_repeat_nothing() {
    let db = TestDb::postgres().await;
    let dir = tempfile::tempdir().expect("a folder");
    let url = Some(db.url().to_owned());
    let one = Server::start_with(&dir.path().join("one"), url, ARGS).await;
    let two = Server::join(&one, &dir.path().join("two")).await;
    hammer(vec![one, two], db.url()).await;
}
