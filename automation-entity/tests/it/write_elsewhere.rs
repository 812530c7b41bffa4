//! Writes whose plugin commits on its own (`entity §6`), on the log in memory.

use crate::kit::*;
use automation_entity::*;
use plugin_api::fail;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use test_kit::{Logs, TestDb, advance_until, both_engines, entity::MemoryTransitions, eventually};
use tracing::Level;

async fn on_memory(db: &TestDb) -> (Node, EntityHandle<Thing>, MemoryTransitions) {
    db.db().sql(MAKE).execute().await.unwrap();
    let node = Node::registered(db.db());
    let handle = node
        .point(&OWNER)
        .define(KindOptions::default(), Things)
        .unwrap();
    let log = MemoryTransitions::new();
    node.bind_with(Arc::new(log.clone()));
    (node, handle, log)
}

async fn elsewhere(
    handle: &EntityHandle<Thing>,
    node: &Node,
    id: &str,
    status: &str,
) -> Result<Thing, MutateError> {
    handle
        .mutate(id, MutateOpts::default(), async || {
            put_alone(&node.db, id, &thing(status)).await?;
            Ok(thing(status))
        })
        .await
}

both_engines! {
    async fn entity_23_7_apply_commits_before_the_store_opens_a_transaction(db: TestDb) {
        let (node, handle, log) = on_memory(&db).await;
        let (applied, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        log.on_transaction({
            let (applied, seen) = (applied.clone(), seen.clone());
            move || {
                assert!(applied.load(Ordering::SeqCst), "apply had not committed");
                seen.fetch_add(1, Ordering::SeqCst);
            }
        });
        let failed = handle.mutate("a", MutateOpts::default(), async || Err("no".into())).await;
        assert!(matches!(failed, Err(MutateError::Apply(e)) if e.to_string() == "no"));
        assert_eq!(seen.load(Ordering::SeqCst), 0, "nothing is opened for a failed apply");
        let write = handle.mutate("a", MutateOpts::default(), async || {
            put_alone(&node.db, "a", &thing("open")).await?;
            applied.store(true, Ordering::SeqCst);
            Ok(thing("open"))
        });
        write.await.unwrap();
        assert_eq!(seen.load(Ordering::SeqCst), 1);
        assert_eq!(log.transitions(), ["a.status: - > open"]);
        assert_eq!(log.read_for("thing").len(), 1);
    }

    async fn entity_23_8_a_failing_log_does_not_fail_the_write(db: TestDb) {
        let (node, handle, log) = on_memory(&db).await;
        let logs = Logs::new();
        log.fail_next(6);
        let clock = node.clock.clone();
        let write = async {
            elsewhere(&handle, &node, "a", "open").await.unwrap();
            // Behind the first, which waits in memory.
            elsewhere(&handle, &node, "a", "done").await.unwrap();
        };
        let done = AtomicBool::new(false);
        tokio::join!(
            async {
                logs.record(write).await;
                done.store(true, Ordering::SeqCst);
            },
            advance_until(&clock, Duration::from_millis(50), async || done.load(Ordering::SeqCst), "both writes"),
        );
        assert_eq!(logs.find(Level::ERROR, "could not be recorded").len(), 1);
        assert!(log.read_for("thing").is_empty());
        advance_until(&clock, Duration::from_secs(1), async || log.read_for("thing").len() == 2, "both changes").await;
        let changes = log.read_for("thing");
        assert_eq!(log.transitions(), ["a.status: - > open", "a.status: open > done"]);
        assert_eq!(changes[1].prev, changes[0].next);
    }

    async fn entity_23_8_a_failing_publish_delays_and_repeats_with_the_same_id(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        let scope = fail::Scope::default();
        scope.arm("entity.route", fail::Action::Error(1));
        set(&handle, "a", thing("open")).await.unwrap();
        let sent = node.outbox().await[0].change_id;
        scope.run(node.start()).await;
        advance_until(&node.clock, Duration::from_secs(1), async || node.routed.count() == 1, "the change").await;
        assert_eq!(node.routed.changes.lock().unwrap()[0].change_id, sent);
        assert!(scope.visits("entity.route") >= 2);
        eventually(async || node.outbox().await.is_empty(), "an empty outbox").await;
        node.engine.stop().await;
    }

    async fn an_invalid_state_is_written_but_not_recorded(db: TestDb) {
        let (node, handle, log) = on_memory(&db).await;
        let refused = elsewhere(&handle, &node, "a", "refused").await;
        assert!(matches!(refused, Err(MutateError::InvalidState { .. })));
        assert_eq!(handle.get("a").await.unwrap().unwrap().status, "refused");
        assert!(log.rows().is_empty());
    }

    async fn a_failing_reader_stops_the_write_before_apply(db: TestDb) {
        let node = Node::registered(db.db());
        let read = reader(|_, _| Box::pin(async { Err("the table is gone".into()) }));
        let handle = node.point(&OWNER).define(KindOptions::default(), read).unwrap();
        node.bind();
        let called = AtomicBool::new(false);
        let write = handle.mutate("a", MutateOpts::default(), async || {
            called.store(true, Ordering::SeqCst);
            Ok(thing("open"))
        });
        assert!(matches!(write.await, Err(MutateError::Read(_))));
        assert!(!called.load(Ordering::SeqCst));
    }

    async fn entity_14_2_services_work_without_a_handle(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        let logs = Logs::new();
        let write = async |handle: Option<&EntityHandle<Thing>>, id: &str| {
            with_entity_write(handle, id, MutateOpts::default(), async || {
                put_alone(&node.db, id, &thing("open")).await?;
                Ok(thing("open"))
            }).await.unwrap()
        };
        write(Some(&handle), "a").await;
        assert_eq!(node.outbox().await.len(), 1);
        logs.record(async {
            write(None, "b").await;
            with_entity_remove::<Thing>(None, "b", MutateOpts::default(), async || Ok(())).await.unwrap();
        }).await;
        assert_eq!(node.outbox().await.len(), 1);
        assert!(handle.get("b").await.unwrap().is_some());
        // Warned once per process and kind, by whichever of the two engines came first.
        assert!(logs.find(Level::WARN, "without its handle").len() <= 1);
    }
}
