//! Durable kinds: no committed change is lost (`entity §8.8`).
#![expect(
    clippy::async_yields_async,
    reason = "a task is started inside the scope of a fail point and awaited outside it"
)]

use crate::kit::*;
use automation_entity::*;
use plugin_api::{Clock, Ts, fail};
use std::{sync::Arc, time::Duration};
use test_kit::{TestDb, advance_until, both_engines, eventually, stays};

const DURABLE: KindOptions = KindOptions {
    durable: true,
    serialised_by_owner: false,
};

async fn write(
    handle: &EntityHandle<Thing>,
    node: &Node,
    status: &str,
) -> Result<Thing, MutateError> {
    handle
        .mutate("a", MutateOpts::default(), async || {
            put_alone(&node.db, "a", &thing(status)).await?;
            Ok(thing(status))
        })
        .await
}

/// Writes `status` on a node that dies after the plugin's commit.
async fn crash(db: &TestDb, status: &'static str) {
    let (node, handle) = Node::of_things(db, DURABLE).await;
    let scope = fail::Scope::default();
    scope.arm("entity.record", fail::Action::Hang);
    let node = Arc::new(node);
    let task = scope
        .run(async {
            let node = node.clone();
            plugin_api::spawn(async move { write(&handle, &node, status).await })
        })
        .await;
    eventually(
        async || scope.visits("entity.record") == 1,
        "the write between commit and recording",
    )
    .await;
    scope.kill();
    assert!(task.await.unwrap_err().is_cancelled());
}

async fn intents(node: &Node) -> i64 {
    node.db.sql(INTENTS).one().await.unwrap()
}

both_engines! {
    async fn entity_23_8_killed_between_apply_and_recording(db: TestDb) {
        crash(&db, "open").await;
        let (node, handle) = Node::of_things(&db, DURABLE).await;
        assert_eq!((intents(&node).await, node.outbox().await.len()), (1, 0));
        node.start().await;
        eventually(async || node.routed.count() == 1, "the change after the restart").await;
        assert_eq!(node.transitions().await, ["a.status: - > open"]);
        assert_eq!(intents(&node).await, 0);
        write(&handle, &node, "done").await.unwrap();
        eventually(async || node.routed.count() == 2, "the next change").await;
        let changes = node.routed.changes.lock().unwrap().clone();
        assert_eq!(changes[1].prev, changes[0].next);
        node.engine.stop().await;
    }

    async fn entity_23_8_a_failed_apply_leaves_no_intent(db: TestDb) {
        let (node, handle) = Node::of_things(&db, DURABLE).await;
        let failed = handle.mutate("a", MutateOpts::default(), async || Err("no".into())).await;
        assert!(matches!(failed, Err(MutateError::Apply(_))));
        assert_eq!(intents(&node).await, 0);
        write(&handle, &node, "open").await.unwrap();
        write(&handle, &node, "open").await.unwrap();
        assert_eq!((intents(&node).await, node.outbox().await.len()), (0, 1));
        let refused = write(&handle, &node, "refused").await;
        assert!(matches!(refused, Err(MutateError::InvalidState { .. })));
        assert_eq!(intents(&node).await, 0);
    }

    async fn the_next_write_settles_what_a_crash_left(db: TestDb) {
        crash(&db, "open").await;
        let (node, handle) = Node::of_things(&db, DURABLE).await;
        write(&handle, &node, "done").await.unwrap();
        assert_eq!(node.transitions().await, ["a.status: - > open", "a.status: open > done"]);
        assert_eq!((intents(&node).await, node.outbox().await.len()), (0, 2));
    }

    async fn a_removal_is_recovered_as_a_tombstone(db: TestDb) {
        let (node, handle) = Node::of_things(&db, DURABLE).await;
        write(&handle, &node, "open").await.unwrap();
        let scope = fail::Scope::default();
        scope.arm("entity.record", fail::Action::Hang);
        let task = scope.run(async {
            let (handle, db) = (handle.clone(), node.db.clone());
            plugin_api::spawn(async move {
                handle.remove("a", MutateOpts::default(), async || {
                    db.sql(DELETE).bind("a".to_owned()).execute().await?;
                    Ok(())
                }).await
            })
        }).await;
        eventually(async || scope.visits("entity.record") == 1, "the removal before its recording").await;
        scope.kill();
        task.await.unwrap_err();
        node.engine.recover(Ts::from_millis(i64::MAX)).await.unwrap();
        assert!(node.outbox().await[1].is_tombstone());
    }

    async fn recovery_waits_for_a_running_write(db: TestDb) {
        let (node, handle) = Node::of_things(&db, DURABLE).await;
        let node = Arc::new(node);
        let scope = fail::Scope::default();
        scope.arm("entity.record", fail::Action::Hang);
        let running = scope.run(async {
            let (node, handle) = (node.clone(), handle.clone());
            plugin_api::spawn(async move { write(&handle, &node, "open").await })
        }).await;
        eventually(async || scope.visits("entity.record") == 1, "the write before its recording").await;
        let recovery = plugin_api::spawn({
            let node = node.clone();
            async move { node.engine.recover(Ts::from_millis(i64::MAX)).await.unwrap() }
        });
        assert!(stays(async || !recovery.is_finished()).await, "the write holds its entity");
        scope.disarm("entity.record");
        running.await.unwrap().unwrap();
        assert_eq!(recovery.await.unwrap(), (0, 0), "nothing was left to recover");
        assert_eq!((intents(&node).await, node.outbox().await.len()), (0, 1));
    }

    async fn intents_of_another_node_are_looked_at_every_thirty_seconds(db: TestDb) {
        let (node, _handle) = Node::of_things(&db, DURABLE).await;
        node.start().await;
        // The first look, at boot, found nothing: from then on it sleeps.
        assert!(stays(async || node.clock.next_wake().is_none()).await);
        crash(&db, "open").await;
        node.engine.wake();
        eventually(async || node.clock.next_wake().is_some(), "a second look").await;
        assert_eq!(node.routed.count(), 0, "it may be that of a running write");
        let before = node.clock.now();
        advance_until(&node.clock, Duration::from_secs(10), async || node.routed.count() == 1, "the change").await;
        assert!(node.clock.now().millis() - before.millis() >= 60_000);
        node.engine.stop().await;
    }
}
