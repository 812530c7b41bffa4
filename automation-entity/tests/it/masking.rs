//! What leaves a handle of a run's write (`entity §9`).

use crate::kit::*;
use automation_entity::*;
use plugin_api::{Actor, RequestContext, Tx};
use serde_json::json;
use test_kit::{TestDb, both_engines};
use uuid::Uuid;

const RUN: Uuid = Uuid::from_u128(7);

fn in_run() -> RequestContext {
    RequestContext {
        actor: Actor::automation("auto-1"),
        run_id: Some(RUN),
        cause: None,
    }
}

both_engines! {
    async fn entity_23_10_a_runs_secrets_stay_inside(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        node.secrets.capture_all(RUN.as_u128(), ["hunter2!", "tr0ub4dor"]);
        let secret = |text: &str| Thing { extra: Some(json!({"deep": [{"password": text}]})), ..thing("open") };
        for text in ["hunter2!", "tr0ub4dor"] {
            let written = in_run().scope(set(&handle, "a", secret(text))).await.unwrap();
            assert_eq!(written, secret(text), "the caller gets it raw");
        }
        let changes = node.outbox().await;
        assert_eq!(changes.len(), 2, "one secret became another: still a change");
        assert_eq!(changes[1].changed_fields, ["extra"]);
        assert_eq!(changes[1].delta, json!({"extra": {"deep": [{"password": "****"}]}}));
        assert_eq!(changes[1].prev, changes[1].next);
        assert_eq!(changes[1].actor.id, "automation:auto-1");
        let leaked = format!("{changes:?}{:?}", node.transitions().await);
        assert!(!leaked.contains("hunter2!") && !leaked.contains("tr0ub4dor"), "{leaked}");
        assert_eq!(handle.get("a").await.unwrap().unwrap(), secret("tr0ub4dor"));
    }

    async fn without_a_run_nothing_is_masked(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        node.secrets.capture(RUN.as_u128(), "hunter2!");
        set(&handle, "a", thing("hunter2!")).await.unwrap();
        let change = node.outbox().await.remove(0);
        assert_eq!(change.next_field("status"), Some(&json!("hunter2!")));
        assert_eq!(change.actor, Actor::system());
    }

    async fn a_secret_in_an_id_is_refused_before_apply(db: TestDb) {
        let (_node, handle) = Node::of_things(&db, KindOptions::default()).await;
        _node.secrets.capture(RUN.as_u128(), "hunter2!");
        let write = handle.mutate_in("x-hunter2!", MutateOpts::default(), async |_: &mut Tx| unreachable!("apply is not called"));
        let refused = in_run().scope(write).await.unwrap_err();
        assert!(matches!(refused, MutateError::SecretInId { .. }));
        assert!(!refused.to_string().contains("hunter2!"));
    }

    async fn options_win_over_the_context(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        node.secrets.capture(RUN.as_u128(), "hunter2!");
        let opts = MutateOpts { actor: Some(Actor::service("incident")), run_id: Some(RUN) };
        let write = handle.mutate_in("a", opts, async |tx: &mut Tx| {
            put(tx, "a", &thing("hunter2!")).await?;
            Ok(thing("hunter2!"))
        });
        write.await.unwrap();
        let change = node.outbox().await.remove(0);
        assert_eq!((change.next_field("status"), &*change.actor.id), (Some(&json!("****")), "incident"));
    }

    async fn an_intent_holds_no_secret_and_still_tells(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions { durable: true, ..KindOptions::default() }).await;
        node.secrets.capture_all(RUN.as_u128(), ["hunter2!", "tr0ub4dor"]);
        put_alone(&node.db, "a", &thing("hunter2!")).await.unwrap();
        for (after, recorded) in [("hunter2!", 0), ("tr0ub4dor", 1)] {
            let task = plugin_api::spawn(in_run().scope({
                let (handle, db) = (handle.clone(), node.db.clone());
                async move {
                    handle.mutate("a", MutateOpts::default(), async || {
                        put_alone(&db, "a", &thing(after)).await?;
                        panic!("the process dies here");
                    }).await
                }
            }));
            assert!(task.await.unwrap_err().is_panic());
            let stored: Vec<String> = node.db.sql(INTENT_TEXTS).all().await.unwrap();
            assert!(stored.len() == 1 && !stored[0].contains("hunter2!"), "{stored:?}");
            let (done, left) = node.engine.recover(plugin_api::Ts::from_millis(i64::MAX)).await.unwrap();
            assert_eq!((done, left), (recorded, 0));
        }
        let change = node.outbox().await.remove(0);
        assert_eq!((change.changed_fields, change.actor.id), (vec!["status".to_owned()], "automation:auto-1".to_owned()));
        assert_eq!(change.delta, json!({"status": "****"}));
    }
}
