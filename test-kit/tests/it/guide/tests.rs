//! The plugin's promises, on both databases.

use super::{
    action::{Agent, Busy},
    entity::{Backup, Status},
    plugin::BackupPlugin,
    store::{ALL, MIGRATIONS, STORE},
};
use async_trait::async_trait;
use automation_core::{
    AutomationId,
    store::{NewAutomation, Source},
};
use automation_dispatch::{
    AutomationPlugin, ENGINE,
    store::runs::{RunFilter, RunRecord},
};
use migrations::{Migrator, Owner};
use plugin_api::{Actor, BoxError, Clock, PluginId, Ts};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use test_kit::{
    Kit, Node, TestDb, VirtualClock, both_engines, entity::reads_agree, eventually, prepare_all,
    stays, until,
};

/// An agent that is busy the first time, and remembers the keys it was called with.
#[derive(Default)]
struct Fake(Mutex<Vec<String>>);

#[async_trait]
impl Agent for Fake {
    async fn start(&self, backup: &str, key: &str) -> Result<String, Busy> {
        let mut keys = self.0.lock().unwrap();
        keys.push(key.to_owned());
        match keys.len() {
            1 => Err(Busy),
            _ => Ok(format!("run of {backup}")),
        }
    }
}

/// A node with the engine and the plugin.
async fn boot(db: &TestDb, agent: Arc<dyn Agent>) -> Node {
    Kit::new(db)
        .await
        .plugin(AutomationPlugin::default())
        .plugin(BackupPlugin { agent })
        .boot()
        .await
}

/// Stores an enabled automation.
async fn automation(node: &Node, text: &str) -> AutomationId {
    let engine = node.service("test", &ENGINE).unwrap();
    let new = NewAutomation::of(Source::Text(text.to_owned()));
    let stored = engine.automations().create(new, &Actor::system()).await;
    stored.expect("a valid definition").automation.id
}

/// Its runs, newest first.
async fn runs(node: &Node, automation: AutomationId) -> Vec<RunRecord> {
    let engine = node.service("test", &ENGINE).unwrap();
    let filter = RunFilter {
        automation_id: Some(automation),
        ..RunFilter::default()
    };
    engine.runs(&filter, None, 100).await.expect("runs")
}

/// Waits until its newest run has this status.
async fn run_that_is(node: &Node, automation: AutomationId, status: &str) -> RunRecord {
    let newest = async || runs(node, automation).await.into_iter().next();
    until(
        async || newest().await.filter(|r| r.status == status),
        &format!("a run that is {status}"),
    )
    .await
}

async fn finished(node: &Node, id: &str, status: Status, megabytes: f64) {
    let store = node.service("test", &STORE).unwrap();
    let done = node.run(store.finished(id, status, megabytes)).await;
    done.expect("it is stored");
}

/// How many dwells are armed.
async fn armed(node: &Node, automation: AutomationId) -> usize {
    let engine = node.service("test", &ENGINE).unwrap();
    engine.timers(automation).await.expect("timers").len()
}

const BAD_FOR_HALF_AN_HOUR: &str = "
name: A backup that stays bad
triggers: [{ event: backup.failed, for: { minutes: 30 } }]
actions: [{ action: automation.log, config: { message: bad } }]
";

both_engines! {
    async fn a_backup_that_stays_bad_starts_one_run(db: TestDb) {
        let node = boot(&db, Arc::<Fake>::default()).await;
        let automation = automation(&node, BAD_FOR_HALF_AN_HOUR).await;
        finished(&node, "nightly", Status::Late, 10.0).await;
        eventually(async || armed(&node, automation).await == 1, "it is armed").await;

        node.clock().advance(Duration::from_secs(20 * 60));
        finished(&node, "nightly", Status::Failed, 0.0).await; // worse, and still bad
        node.clock().advance(Duration::from_secs(10 * 60 - 1));
        assert!(stays(async || runs(&node, automation).await.is_empty()).await);

        node.clock().advance(Duration::from_secs(1));
        let run = run_that_is(&node, automation, "success").await;
        assert_eq!(run.context_key.as_deref(), Some("nightly"));
        node.shutdown().await;
    }

    async fn a_backup_that_recovers_starts_none(db: TestDb) {
        let node = boot(&db, Arc::<Fake>::default()).await;
        let automation = automation(&node, BAD_FOR_HALF_AN_HOUR).await;
        finished(&node, "nightly", Status::Failed, 0.0).await;
        eventually(async || armed(&node, automation).await == 1, "it is armed").await;
        // A look cancels only what was armed before it began.
        node.clock().advance(Duration::from_secs(60));
        finished(&node, "nightly", Status::Ok, 500.0).await;
        eventually(async || armed(&node, automation).await == 0, "it is cancelled").await;
        node.shutdown().await;
    }
}

both_engines! {
    async fn a_small_backup_fires_and_a_large_one_does_not(db: TestDb) {
        let node = boot(&db, Arc::<Fake>::default()).await;
        let automation = automation(&node, "
            name: Too small
            mode: parallel
            triggers: [{ event: backup.too_small, config: { below: 100 } }]
        ").await;
        finished(&node, "large", Status::Ok, 100.0).await;
        finished(&node, "small", Status::Ok, 99.5).await;
        let run = run_that_is(&node, automation, "success").await;
        assert_eq!(run.context_key.as_deref(), Some("small"));
        assert_eq!(runs(&node, automation).await.len(), 1);
        node.shutdown().await;
    }
}

both_engines! {
    async fn a_busy_agent_is_asked_again_with_the_same_key(db: TestDb) {
        let agent = Arc::<Fake>::default();
        let node = boot(&db, agent.clone()).await;
        let automation = automation(&node, "
            name: Run it again
            triggers: [{ event: backup.failed }]
            actions:
              - id: again
                action: backup.run
                config: { backupId: '{{ trigger.payload.backupId }}' }
                retry: { max_attempts: 3, delay: { hours: 1 } }
        ").await;
        finished(&node, "nightly", Status::Failed, 0.0).await;
        run_that_is(&node, automation, "waiting").await;
        node.clock().advance(Duration::from_secs(30)); // what the action asked for, not the hour
        let run = run_that_is(&node, automation, "success").await;
        let keys = agent.0.lock().unwrap().clone();
        assert_eq!(keys, vec![format!("{}:actions[0]", run.id); 2]);
        node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_read_the_same_and_remind_once() -> Result<(), BoxError> {
    let db = TestDb::postgres().await;
    let [here, there] = Kit::two_nodes(&db, |_| {
        let agent = Arc::<Fake>::default();
        vec![
            Box::new(AutomationPlugin::default()),
            Box::new(BackupPlugin { agent }),
        ]
    })
    .await;
    let ours = here.service("test", &STORE)?;
    let theirs = there.service("test", &STORE)?;
    reads_agree(&ours.handle, &theirs.handle, "nightly", async |_| {
        Ok(ours.finished("nightly", Status::Late, 10.0).await?)
    })
    .await?;

    let automation = automation(
        &here,
        "
        name: Every ten minutes
        mode: parallel
        triggers: [{ event: backup.reminder, config: { minutes: 10 } }]
    ",
    )
    .await;
    let clock = here.clock(); // both nodes have it
    let due = Ts::parse("2026-01-15T12:10:00Z").expect("an instant");
    let both = async || clock.sleeping_until(due) >= 2;
    eventually(both, "both nodes have set it up").await;
    clock.advance(Duration::from_secs(600));
    run_that_is(&here, automation, "success").await;
    assert!(stays(async || runs(&here, automation).await.len() == 1).await);
    here.shutdown().await;
    there.kill();
    Ok(())
}

both_engines! {
    async fn every_statement_suits_the_migrated_tables(db: TestDb) {
        let me = PluginId::new("backup");
        let clock: Arc<dyn Clock> = VirtualClock::new();
        let migrator = Migrator::new(db.db().clone(), clock);
        migrator.run(&Owner::plugin(&me, MIGRATIONS)).await.unwrap();
        prepare_all(&db.db().scoped(&me.schema()), ALL).await;
    }
}

#[test]
fn the_state_is_small_and_plain() {
    let state = serde_json::to_value(Backup { status: Status::Ok }).unwrap();
    assert_eq!(state, serde_json::json!({"status": "ok"}));
}
