//! A node that dies right before or right after any of its commits (`issue 3 G.2`): the fail points
//! that the simulator has in its model, on the real stores. One story is played again and again, and
//! each time the node dies at the next of its commits, until a story has fewer commits than that.

use crate::{
    recovery::restart,
    world::{DWELLS, LOCKS, STATES, World},
};
use automation_core::AutomationId;
use plugin_api::fail::{self, Action};
use std::{collections::BTreeMap, time::Duration};
use test_kit::{TestDb, advance_until, both_engines};

/// A dwell, a call, a wait, branches with a delay, a call.
const STORY: &str = r#"
triggers: [{event: world.went_down, for: {seconds: 2}}]
mode: parallel
max_runs: 10
actions:
- {action: world.call, config: {name: 'open {{ trigger.payload.id }}'}}
- wait_until: {condition: 'state.thing[trigger.payload.id].status == "up"', timeout_seconds: 3600}
- parallel:
  - {action: world.call, config: {name: 'left {{ trigger.payload.id }}'}}
  - sequence: [{delay: {seconds: 1}}, {action: world.call, config: {name: 'right {{ trigger.payload.id }}'}}]
- {action: world.call, config: {name: 'close {{ trigger.payload.id }}'}}
"#;

/// Commits that a story has at least: change, routing, dwell, run, steps.
const COMMITS: u32 = 10;

plugin_api::statements! {
    CHANGES = "select count(*) from signalbox.entity_outbox";
    JOBS = "select count(*) from signalbox.queue_jobs where queue = 'automation-dispatch'";
    DEAD = "select count(*) from signalbox.queue_dead";
}

/// The story of one thing.
struct Story<'a> {
    db: &'a TestDb,
    automation: AutomationId,
    thing: String,
}

impl Story<'_> {
    /// Lets it go on until it has ended or the node is dead.
    async fn play(&self, w: &World) {
        let status = w.status(&self.thing).await;
        if status.is_none() {
            w.try_set(&self.thing, "down").await;
        }
        self.until(w, &["waiting", "success"]).await;
        if w.node.scope().is_killed() {
            return;
        }
        if status.as_deref() != Some("up") {
            w.try_set(&self.thing, "up").await;
        }
        self.until(w, &["success"]).await;
    }

    async fn until(&self, w: &World, wanted: &[&str]) {
        let there = async || {
            let runs = w.runs(self.automation).await;
            let of_thing = |r: &&_| Self::is_of(r, &self.thing);
            let status = runs.iter().find(of_thing).map(|r| r.status.as_str());
            w.node.scope().is_killed() || status.is_some_and(|s| wanted.contains(&s))
        };
        let what = format!("{} gets to {wanted:?}", self.thing);
        advance_until(&w.clock, Duration::from_secs(1), there, &what).await;
    }

    fn is_of(run: &automation_dispatch::store::runs::RunRecord, thing: &str) -> bool {
        run.context_key.as_deref() == Some(thing)
    }

    /// How often each action was called whose step is over, by idempotency key.
    async fn over(&self, w: &World) -> BTreeMap<String, usize> {
        let mut over = BTreeMap::new();
        let runs = w.runs(self.automation).await;
        for run in runs.iter().filter(|r| Self::is_of(r, &self.thing)) {
            for step in w.steps(run.id).await {
                if step.status == "success" && step.provider_action_id.is_some() {
                    let key = format!("{}:{}", run.id, step.action_path);
                    let given = w.shared.given.lock().unwrap();
                    let calls = given.iter().filter(|g| g["key"] == *key).count();
                    over.insert(key, calls);
                }
            }
        }
        over
    }

    /// One run, every action of it called; nothing of it is left.
    async fn check(&self, w: &World) {
        let runs = w.runs(self.automation).await;
        let own = runs.iter().filter(|r| Self::is_of(r, &self.thing));
        assert_eq!(own.count(), 1, "runs of {}", self.thing);
        for name in ["open", "left", "right", "close"] {
            let name = format!("{name} {}", self.thing);
            let calls = w.calls().iter().filter(|c| **c == name).count();
            assert!((1..=2).contains(&calls), "{name}: {calls} calls");
        }
        let left = async || {
            let mut left = 0;
            for sql in [LOCKS, STATES, DWELLS, CHANGES, JOBS] {
                left += w.count(self.db, sql).await;
            }
            left == 0
        };
        advance_until(&w.clock, Duration::from_secs(1), left, "nothing is left").await;
        assert_eq!(w.count(self.db, DEAD).await, 0, "dead letters");
    }
}

/// Stories with a node that dies at its first commit, at its second, and so on.
async fn die_at_every(point: &'static str, db: &TestDb) {
    let mut w = World::new(db).await;
    let automation = w.automation(STORY).await;
    for n in 1.. {
        let thing = format!("t{n}");
        let story = Story {
            db,
            automation,
            thing,
        };
        w.node.scope().arm(point, Action::Kill(n));
        story.play(&w).await;
        let killed = w.node.scope().is_killed();
        if killed {
            let over = story.over(&w).await;
            w = restart(w, db).await;
            story.play(&w).await;
            let mut end = story.over(&w).await;
            end.retain(|key, _| over.contains_key(key));
            assert_eq!(end, over, "what was over before commit {n} is repeated");
        }
        w.node.scope().disarm(point);
        story.check(&w).await;
        if !killed {
            assert!(n > COMMITS, "only {n} commits");
            break;
        }
    }
    w.node.shutdown().await;
}

both_engines! {
    async fn dispatch_g2_a_node_may_die_before_any_of_its_commits(db: TestDb) {
        die_at_every(fail::COMMIT, &db).await;
    }

    async fn dispatch_g2_a_node_may_die_after_any_of_its_commits(db: TestDb) {
        die_at_every(fail::COMMITTED, &db).await;
    }
}
