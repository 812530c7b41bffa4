//! Writes in the same database (decision 17) and what they leave behind.

use crate::kit::*;
use automation_entity::*;
use plugin_api::{BoxError, Tx};
use serde_json::{Value, json};
use test_kit::{TestDb, both_engines, prepare_all};

/// What plugins do: a service behind an async trait that borrows what it is given.
#[async_trait::async_trait]
trait Service: Send + Sync {
    async fn open(&self, id: &str, status: &str) -> Result<Thing, BoxError>;
}
struct Plain {
    handle: EntityHandle<Thing>,
    prefix: String,
}
#[async_trait::async_trait]
impl Service for Plain {
    async fn open(&self, id: &str, status: &str) -> Result<Thing, BoxError> {
        let status = format!("{}{status}", self.prefix);
        let write = self
            .handle
            .mutate_in(id, MutateOpts::default(), async |tx: &mut Tx| {
                let next = thing(&status);
                put(tx, id, &next).await?;
                Ok(next)
            });
        Ok(write.await?)
    }
}

both_engines! {
    async fn every_statement_is_accepted(db: TestDb) {
        prepare_all(db.db(), &statements()).await;
    }

    async fn handles_serve_async_traits_and_tasks(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        let service = Plain { handle: handle.clone(), prefix: "is ".into() };
        let task = plugin_api::spawn(async move { service.open("a", "open").await.map(|t| t.status) });
        assert_eq!(task.await.unwrap().unwrap(), "is open");
        assert_eq!(handle.get("a").await.unwrap().unwrap().status, "is open");
        assert_eq!(node.outbox().await.len(), 1);
    }

    async fn entity_23_3_create_emits_prev_null_and_rows_from_null(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        let first = Thing { region: Some("eu".into()), ..thing("open") };
        set(&handle, "a", first).await.unwrap();
        let change = node.outbox().await.remove(0);
        assert_eq!((change.prev, change.changed_fields), (None, vec!["region".to_owned(), "status".to_owned()]));
        assert_eq!(change.delta, json!({"region": "eu", "status": "open"}));
        assert_eq!(node.transitions().await, ["a.region: - > eu", "a.status: - > open"]);
    }

    async fn entity_23_4_update_of_one_field(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        let first = Thing { region: Some("eu".into()), ..thing("open") };
        set(&handle, "a", first.clone()).await.unwrap();
        set(&handle, "a", Thing { status: "done".into(), ..first }).await.unwrap();
        let changes = node.outbox().await;
        assert_eq!(changes[1].delta, json!({"status": "done"}));
        assert_eq!(changes[1].prev, changes[0].next);
        assert_eq!(node.transitions().await.len(), 3);
        assert_eq!(node.transitions().await[2], "a.status: open > done");
    }

    async fn entity_23_5_an_equal_state_leaves_nothing(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        let with = |extra: Value| Thing { extra: Some(extra), ..thing("open") };
        set(&handle, "a", with(json!({"x": 1, "y": [1, 2]}))).await.unwrap();
        for same in [json!({"y": [1, 2], "x": 1}), json!({"x": 1.0, "y": [1, 2.0]})] {
            set(&handle, "a", with(same)).await.unwrap();
        }
        assert_eq!((node.outbox().await.len(), node.transitions().await.len()), (1, 2));
        // Absent and null are the same at top level, and only there.
        set(&handle, "b", thing("open")).await.unwrap();
        set(&handle, "b", with(Value::Null)).await.unwrap();
        assert_eq!(node.outbox().await.len(), 2);
        set(&handle, "a", with(json!({"a": null}))).await.unwrap();
        set(&handle, "a", with(json!({}))).await.unwrap();
        assert_eq!(node.outbox().await.len(), 4);
    }

    async fn entity_23_6_a_dropped_field_becomes_null(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        let first = Thing { region: Some("eu".into()), ..thing("open") };
        set(&handle, "a", first).await.unwrap();
        set(&handle, "a", thing("open")).await.unwrap();
        assert_eq!(node.outbox().await[1].delta, json!({"region": null}));
        assert_eq!(node.transitions().await[2], "a.region: eu > null");
    }

    async fn entity_23_7_a_failing_apply_rolls_everything_back(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        #[derive(Debug, PartialEq, thiserror::Error)]
        #[error("out of paper")]
        struct OutOfPaper;
        let failed = handle.mutate_in("a", MutateOpts::default(), async |tx: &mut Tx| {
            put(tx, "a", &thing("open")).await?;
            Err(OutOfPaper.into())
        });
        let error = failed.await.unwrap_err();
        let MutateError::Apply(own) = &error else { panic!("{error}") };
        assert_eq!(own.downcast_ref(), Some(&OutOfPaper));
        assert_eq!(handle.get("a").await.unwrap(), None);
        assert!(node.outbox().await.is_empty() && node.transitions().await.is_empty());
    }

    async fn an_invalid_state_is_rolled_back_too(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        let refused = set(&handle, "a", thing("refused")).await;
        assert!(matches!(refused, Err(MutateError::InvalidState { .. })));
        assert_eq!(handle.get("a").await.unwrap(), None);
        assert!(node.outbox().await.is_empty());
    }

    async fn entity_23_9_remove(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        set(&handle, "a", thing("open")).await.unwrap();
        unset(&handle, "a").await.unwrap();
        let gone = node.outbox().await.remove(1);
        assert_eq!((gone.next, gone.delta), (None, json!({})));
        assert_eq!(gone.changed_fields, ["status"]);
        assert_eq!(node.transitions().await[1..], ["a.@@tombstone: - > removed"]);
        unset(&handle, "nobody").await.unwrap();
        assert_eq!(node.outbox().await.len(), 2, "an unknown entity cannot be removed");
    }

    async fn entity_23_9_an_all_null_entity_comes_and_goes(db: TestDb) {
        let (node, _) = Node::of_things(&db, KindOptions::default()).await;
        let handle = blanks(&node);
        for _ in 0..2 {
            let made = handle.mutate_in("b", MutateOpts::default(), async |tx: &mut Tx| {
                put(tx, "b", &thing("open")).await?;
                Ok(Blank { note: None })
            });
            made.await.unwrap();
        }
        handle.remove_in("b", MutateOpts::default(), async |tx: &mut Tx| delete(tx, "b").await).await.unwrap();
        let changes = node.outbox().await;
        assert_eq!(changes.len(), 2, "created once, removed once");
        assert!(changes[0].is_create() && changes[1].is_tombstone());
        assert!(changes.iter().all(|c| c.changed_fields.is_empty()));
    }

    async fn a_write_in_the_callers_transaction_lives_and_dies_with_it(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        for commit in [false, true] {
            let mut tx = db.db().begin().await.unwrap();
            for id in ["a", "b"] {
                let write = handle.mutate_with(&mut tx, id, MutateOpts::default(), async |tx: &mut Tx| {
                    put(tx, id, &thing("open")).await?;
                    Ok(thing("open"))
                });
                write.await.unwrap();
            }
            handle.remove_with(&mut tx, "b", MutateOpts::default(), async |tx: &mut Tx| delete(tx, "b").await).await.unwrap();
            if commit {
                tx.commit().await.unwrap();
            } else {
                tx.rollback().await.unwrap();
                assert!(node.outbox().await.is_empty() && node.transitions().await.is_empty());
            }
        }
        let ids: Vec<_> = node.outbox().await.into_iter().map(|c| (c.id, c.next.is_some())).collect();
        assert_eq!(ids, [("a".to_owned(), true), ("b".to_owned(), true), ("b".to_owned(), false)]);
    }

    async fn one_write_settles_many_computed_entities(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        for id in ["gone", "same", "moved"] {
            set(&handle, id, thing("open")).await.unwrap();
        }
        let ids = ["same", "new", "moved", "gone"].map(str::to_owned);
        let mut tx = db.db().begin().await.unwrap();
        let settled = handle.settle_with(&mut tx, &ids, MutateOpts::default(), async |tx: &mut Tx| {
            put(tx, "new", &thing("open")).await?;
            put(tx, "moved", &thing("done")).await?;
            delete(tx, "gone").await?;
            Ok("applied")
        });
        let settled = settled.await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(settled.value, "applied");
        let entities = settled.entities.iter().map(|e| (&*e.id, e.prev.is_some(), e.next.is_some()));
        assert_eq!(
            entities.collect::<Vec<_>>(),
            [("gone", true, false), ("moved", true, true), ("new", false, true), ("same", true, true)]
        );
        let changed: Vec<_> = node.outbox().await.into_iter().skip(3).map(|c| c.id).collect();
        assert_eq!(changed, ["gone", "moved", "new"]);
    }

    async fn entity_15_5_a_reader_that_lies_is_found_out(db: TestDb) {
        let (_, handle) = Node::of_things(&db, KindOptions::default()).await;
        let lie = handle.mutate_in("a", MutateOpts::default(), async |_: &mut Tx| Ok(thing("open")));
        let error = lie.await.unwrap_err();
        assert!(matches!(&error, MutateError::Inconsistent { fields, .. } if fields == &["status"]), "{error}");
    }
}

#[derive(Clone, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
struct Blank {
    note: Option<String>,
}
impl EntityState for Blank {
    const KIND: &'static str = "blank";
}

fn blanks(node: &Node) -> EntityHandle<Blank> {
    let read = reader(|mut at, ids| {
        Box::pin(async move {
            plugin_api::row! { struct Row { id: String } }
            let rows: Vec<Row> = at.sql(GET).texts(&ids).all().await?;
            Ok(rows
                .into_iter()
                .map(|r| (r.id, Blank { note: None }))
                .collect())
        })
    });
    node.point(&OWNER)
        .define(KindOptions::default(), read)
        .unwrap()
}
