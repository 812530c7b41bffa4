//! Reads do not depend on the node that serves them (`entity §15`).

use crate::kit::*;
use automation_entity::*;
use plugin_api::Tx;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};
use test_kit::{
    TestDb, both_engines,
    entity::{NodeLocal, reads_agree},
};

/// The negative control: state in the memory of a process.
async fn in_memory(
    db: &TestDb,
) -> (
    Node,
    EntityHandle<Thing>,
    Arc<Mutex<HashMap<String, Thing>>>,
) {
    let memory: Arc<Mutex<HashMap<String, Thing>>> = Arc::default();
    let node = Node::registered(&db.reopen().await);
    let own = memory.clone();
    let read = reader(move |_, ids| {
        let memory = own.lock().unwrap();
        let found = ids
            .into_iter()
            .filter_map(|id| memory.get(&id).cloned().map(|t| (id, t)));
        let found = Ok(found.collect());
        Box::pin(std::future::ready(found))
    });
    let handle = node
        .point(&OWNER)
        .define(KindOptions::default(), read)
        .unwrap();
    node.bind();
    (node, handle, memory)
}

both_engines! {
    async fn entity_23_29_a_write_on_one_node_is_read_on_the_other(db: TestDb) {
        let (_here, a) = Node::of_things(&db, KindOptions::default()).await;
        let (_there, b) = Node::of_things_on(&db.reopen().await, KindOptions::default()).await;
        for (from, to) in [(&a, &b), (&b, &a)] {
            for status in ["one", "two"] {
                let agree = reads_agree(from, to, "x", async |handle: &EntityHandle<Thing>| Ok(set(handle, "x", thing(status)).await?));
                agree.await.unwrap();
            }
        }
    }

    async fn entity_23_29_a_kind_in_memory_fails_the_check(db: TestDb) {
        let (_here, a, memory) = in_memory(&db).await;
        let (_there, b, _) = in_memory(&db).await;
        let agree = reads_agree(&a, &b, "x", async |handle: &EntityHandle<Thing>| {
            let write = handle.mutate_in("x", MutateOpts::default(), async |_: &mut Tx| {
                memory.lock().unwrap().insert("x".into(), thing("one"));
                Ok(thing("one"))
            });
            Ok(write.await?)
        });
        let error = agree.await.unwrap_err();
        assert!(error.is::<NodeLocal>(), "{error}");
    }

    async fn reads_are_split_deduplicated_and_filtered(db: TestDb) {
        let node = Node::registered(db.db());
        let calls: Arc<Mutex<Vec<usize>>> = Arc::default();
        let seen = calls.clone();
        let read = reader(move |_, ids| {
            seen.lock().unwrap().push(ids.len());
            let mut found: HashMap<String, Thing> = ids.into_iter().map(|id| (id, thing("x"))).collect();
            found.insert("uninvited".into(), thing("x"));
            Box::pin(std::future::ready(Ok(found)))
        });
        let handle = node.point(&OWNER).define(KindOptions::default(), read).unwrap();
        node.bind();
        let ids: Vec<String> = (0..1_100).map(|n| (n % 1_050).to_string()).collect();
        let found = handle.get_many(&ids).await.unwrap();
        assert_eq!((found.len(), calls.lock().unwrap().clone()), (1_050, vec![500, 500, 50]));
        assert!(handle.get_many(&[]).await.unwrap().is_empty());
        assert_eq!(calls.lock().unwrap().len(), 3, "never asked for nothing");
    }
}
