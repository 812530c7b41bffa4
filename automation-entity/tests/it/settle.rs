//! One write that changes any number of computed entities.

use crate::kit::*;
use automation_entity::*;
use plugin_api::Tx;
use test_kit::{TestDb, both_engines};

fn ids(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

both_engines! {
    async fn every_difference_is_one_change(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        for id in ["changed", "gone", "same"] {
            put_alone(db.db(), id, &thing("open")).await.unwrap();
        }
        let mut tx = db.db().begin().await.unwrap();
        let named = ids(&["same", "new", "gone", "changed", "new", "nobody"]);
        let settled = handle
            .settle_with(&mut tx, &named, MutateOpts::default(), async |tx: &mut Tx| {
                put(tx, "changed", &thing("closed")).await?;
                put(tx, "same", &thing("open")).await?;
                put(tx, "new", &thing("open")).await?;
                delete(tx, "gone").await?;
                Ok(7)
            })
            .await
            .unwrap();
        tx.commit().await.unwrap();
        assert_eq!(settled.value, 7);
        let seen: Vec<(&str, bool, bool)> = settled
            .entities
            .iter()
            .map(|e| (e.id.as_str(), e.prev.is_some(), e.next.is_some()))
            .collect();
        assert_eq!(
            seen,
            [
                ("changed", true, true),
                ("gone", true, false),
                ("new", false, true),
                ("nobody", false, false),
                ("same", true, true),
            ]
        );
        assert_eq!(node.outbox().await.len(), 3, "what stayed the same emits nothing");
    }

    async fn a_failing_write_leaves_nothing(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        let mut tx = db.db().begin().await.unwrap();
        let failed = handle
            .settle_with(&mut tx, &ids(&["a"]), MutateOpts::default(), async |tx: &mut Tx| {
                put(tx, "a", &thing("open")).await?;
                Err::<(), _>("no".into())
            })
            .await;
        assert!(matches!(failed, Err(MutateError::Apply(e)) if e.to_string() == "no"));
        tx.rollback().await.unwrap();
        assert_eq!(handle.get("a").await.unwrap(), None);
        assert_eq!(node.outbox().await.len(), 0);
    }

    async fn none_of_its_entities_can_be_written_inside(db: TestDb) {
        let (_node, handle) = Node::of_things(&db, KindOptions::default()).await;
        let mut tx = db.db().begin().await.unwrap();
        let inner = handle.clone();
        let settled = handle
            .settle_with(&mut tx, &ids(&["a", "b"]), MutateOpts::default(), async |tx: &mut Tx| {
                for id in ["a", "b"] {
                    let again = inner
                        .mutate_with(tx, id, MutateOpts::default(), async |_: &mut Tx| Ok(thing("x")))
                        .await;
                    assert!(matches!(again, Err(MutateError::Reentrant { .. })), "{again:?}");
                }
                let other = inner
                    .mutate_with(tx, "c", MutateOpts::default(), async |tx: &mut Tx| {
                        put(tx, "c", &thing("open")).await?;
                        Ok(thing("open"))
                    })
                    .await;
                assert!(other.is_ok(), "{other:?}");
                Ok(())
            })
            .await;
        assert!(settled.is_ok());
        tx.commit().await.unwrap();
    }
}
