//! `automation.cron` and `automation.interval` at run time (`definition §10`).

use crate::world::World;
use automation_core::{
    AutomationId,
    store::{AutomationChange, Status},
};
use plugin_api::Actor;
use std::time::Duration;
use test_kit::{TestDb, advance_until, both_engines, eventually, stays};

const STEP: Duration = Duration::from_secs(30);

fn on(trigger: &str) -> String {
    format!("triggers: [{{{trigger}}}]\nactions: []")
}

async fn schedules(w: &World, n: usize) {
    let queues = &w.parts().queues;
    let armed = async || {
        let all = queues.list_recurring("automation-builtin-triggers").await;
        all.expect("schedules").len() == n
    };
    eventually(armed, &format!("{n} schedules are armed")).await;
}

/// When each run of the automation was due, as minutes after noon.
async fn fired(w: &World, automation: AutomationId) -> Vec<String> {
    let runs = w.runs(automation).await;
    let due = |r: &automation_dispatch::store::runs::RunRecord| {
        let at = r.trigger_payload.0["firedAt"].as_str().expect("an instant");
        at.strip_prefix("2026-01-15T12:")
            .expect("after noon")
            .to_owned()
    };
    runs.iter().map(due).collect()
}

async fn until_fired(w: &World, automation: AutomationId, n: usize) {
    let enough = async || w.runs(automation).await.len() >= n;
    advance_until(&w.clock, STEP, enough, &format!("{n} ticks")).await;
}

async fn disable(w: &World, automation: AutomationId) {
    let change = AutomationChange {
        status: Some(Status::Disabled),
        ..Default::default()
    };
    let store = w.engine.automations();
    store
        .update(automation, None, change, &Actor::system())
        .await
        .expect("it is disabled");
}

both_engines! {
    async fn definition_18_27_ticks_start_runs_of_their_own_automation_until_it_is_disabled(db: TestDb) {
        let w = World::new(&db).await;
        let twos = w.automation(&on("id: t, event: automation.cron, config: {cronPattern: '*/2 * * * *'}")).await;
        let fives = w.automation(&on("id: t, event: automation.cron, config: {cronPattern: '*/5 * * * *'}")).await;
        let every = w.automation(&on("id: t, event: automation.interval, config: {intervalSeconds: 180}")).await;
        schedules(&w, 3).await;
        for automation in [twos, every, fives] {
            until_fired(&w, automation, 1).await;
        }
        until_fired(&w, fives, 2).await;
        // No tick of one is found at another.
        for (automation, minutes) in [(twos, 2), (every, 3), (fives, 5)] {
            let found = fired(&w, automation).await;
            let own: Vec<String> = (1..=found.len()).map(|n| format!("{:02}:00.000Z", n * minutes)).collect();
            assert_eq!(found, own);
        }
        let run = w.run_with(fives, "success").await;
        assert_eq!((run.trigger_id.as_str(), run.trigger_event_id.as_str(), run.context_key), ("t", "automation.cron", None));
        assert_eq!(w.run_with(every, "success").await.trigger_event_id, "automation.interval");

        disable(&w, twos).await;
        disable(&w, every).await;
        schedules(&w, 1).await;
        let counts = async || (w.runs(twos).await.len(), w.runs(every).await.len());
        let before = counts().await;
        until_fired(&w, fives, w.runs(fives).await.len() + 1).await;
        assert!(stays(async || counts().await == before).await, "disabling stops the ticks, without a restart");
        w.node.shutdown().await;
    }
}
