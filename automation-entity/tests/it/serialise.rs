//! One writer of an entity at a time (`entity §6.2`).

use crate::kit::*;
use automation_entity::*;
use plugin_api::Tx;
use std::{sync::Arc, time::Duration};
use test_kit::{TestDb, advance_until, both_engines, within};
use tokio::sync::{Notify, Semaphore};

/// Two writers of one entity, the second started once the first is inside `apply`.
async fn race(
    first: EntityHandle<Thing>,
    second: EntityHandle<Thing>,
    elsewhere: bool,
    node: &Node,
) {
    let (inside, release) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let db = node.db.clone();
    let write = |handle: EntityHandle<Thing>, status: &'static str, waits: bool| {
        let (inside, release, db) = (inside.clone(), release.clone(), db.clone());
        plugin_api::spawn(async move {
            let pause = async || {
                inside.notify_one();
                if waits {
                    release.acquire().await.unwrap().forget();
                }
            };
            if elsewhere {
                handle
                    .mutate("a", MutateOpts::default(), async || {
                        pause().await;
                        put_alone(&db, "a", &thing(status)).await?;
                        Ok(thing(status))
                    })
                    .await
            } else {
                handle
                    .mutate_in("a", MutateOpts::default(), async |tx: &mut Tx| {
                        pause().await;
                        put(tx, "a", &thing(status)).await?;
                        Ok(thing(status))
                    })
                    .await
            }
        })
    };
    let one = write(first, "one", true);
    within(inside.notified(), "the first writer inside apply").await;
    let two = write(second, "two", false);
    assert!(
        test_kit::stays(async || !two.is_finished()).await,
        "the second writer must wait"
    );
    release.add_permits(1);
    within(one, "the first writer").await.unwrap().unwrap();
    within(two, "the second writer").await.unwrap().unwrap();
    let changes = node.outbox().await;
    assert_eq!(changes.len(), 2);
    assert_eq!(changes[1].prev, changes[0].next, "the changes chain");
    assert_eq!(
        node.transitions().await,
        ["a.status: - > one", "a.status: one > two"]
    );
}

both_engines! {
    async fn entity_23_11_two_concurrent_mutates_chain(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        race(handle.clone(), handle, false, &node).await;
    }

    async fn entity_23_11_two_concurrent_mutates_elsewhere_chain(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        race(handle.clone(), handle, true, &node).await;
    }

    async fn entity_23_11_two_nodes_chain(db: TestDb) {
        if !db.is_postgres() {
            return;
        }
        for elsewhere in [false, true] {
            let (node, here) = Node::of_things(&db, KindOptions::default()).await;
            let (_other, there) = Node::of_things_on(&db.reopen().await, KindOptions::default()).await;
            race(here, there, elsewhere, &node).await;
            for clear in [CLEAR_OUTBOX, CLEAR_LOG, CLEAR_THINGS] {
                db.db().sql(clear).execute().await.unwrap();
            }
        }
    }

    async fn entity_23_11_a_nested_mutate_of_the_same_entity_is_reentrant(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        let again = handle.clone();
        let outer = handle.mutate_in("a", MutateOpts::default(), async |tx: &mut Tx| {
            let inner = again.mutate_with(tx, "a", MutateOpts::default(), async |_: &mut Tx| Ok(thing("inner"))).await;
            assert!(matches!(inner, Err(MutateError::Reentrant { .. })));
            let inner = set(&again, "a", thing("inner")).await;
            assert!(matches!(inner, Err(MutateError::Reentrant { .. })));
            // Another entity in a second transaction would wait for the first one's writer.
            let other = set(&again, "b", thing("other")).await;
            assert!(matches!(other, Err(MutateError::Nested { .. })));
            let with = again.mutate_with(tx, "b", MutateOpts::default(), async |tx: &mut Tx| {
                put(tx, "b", &thing("other")).await?;
                Ok(thing("other"))
            });
            with.await?;
            put(tx, "a", &thing("outer")).await?;
            Ok(thing("outer"))
        });
        within(outer, "the outer write").await.unwrap();
        assert_eq!(node.transitions().await, ["b.status: - > other", "a.status: - > outer"]);
        // The turn was given back.
        within(set(&handle, "a", thing("later")), "the next write").await.unwrap();
    }

    async fn a_writer_that_waits_thirty_seconds_is_told_that_the_entity_is_busy(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        let inside = Arc::new(Notify::new());
        let holder = plugin_api::spawn({
            let (handle, inside) = (handle.clone(), inside.clone());
            async move {
                handle.mutate("a", MutateOpts::default(), async || {
                    inside.notify_one();
                    std::future::pending().await
                }).await
            }
        });
        within(inside.notified(), "the first writer").await;
        let waiting = plugin_api::spawn({
            let handle = handle.clone();
            async move { set(&handle, "a", thing("late")).await }
        });
        advance_until(&node.clock, Duration::from_secs(5), async || waiting.is_finished(), "the answer").await;
        assert!(matches!(waiting.await.unwrap(), Err(MutateError::Busy { .. })));
        assert_eq!(handle.get("a").await.unwrap(), None);
        holder.abort();
    }

    async fn bad_ids_are_refused_before_anything_is_read(db: TestDb) {
        let (_node, handle) = Node::of_things(&db, KindOptions::default()).await;
        for id in ["", "*"] {
            assert!(matches!(set(&handle, id, thing("x")).await, Err(MutateError::InvalidId { .. })));
        }
        set(&handle, "a:b:*", thing("x")).await.unwrap();
    }

    async fn many_writers_of_one_entity_leave_one_chain(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        let writers: Vec<_> = (0..24).map(|n| {
            let handle = handle.clone();
            plugin_api::spawn(async move { set(&handle, "a", thing(&n.to_string())).await })
        }).collect();
        for writer in writers {
            within(writer, "a writer").await.unwrap().unwrap();
        }
        let changes = node.outbox().await;
        assert_eq!(changes.len(), 24);
        for pair in changes.windows(2) {
            assert_eq!(pair[1].prev, pair[0].next);
        }
    }
}
