//! The transition log and what it answers (`entity §8`).

use crate::kit::*;
use automation_entity::*;
use plugin_api::{Ts, Tx};
use serde_json::json;
use std::time::Duration;
use test_kit::{TestDb, both_engines};

plugin_api::statements! {
    FORGE = "insert into signalbox.entity_transitions (change_id, kind, entity_id, field, to_value, transitioned_at) values ($1, 'thing', $2, 'status', $3, $4)";
    FORGET = "delete from signalbox.entity_transitions where id in (select max(id) from signalbox.entity_transitions)";
}

async fn forge(node: &Node, id: &str, status: &str, at: Ts) {
    use plugin_api::Clock;
    let query = node
        .db
        .sql(FORGE)
        .bind(plugin_api::Id(node.clock.new_uuid()));
    query
        .bind(id.to_owned())
        .bind(status.to_owned())
        .bind(at)
        .execute()
        .await
        .unwrap();
}

both_engines! {
    async fn entity_23_13_in_state_since(db: TestDb) {
        use plugin_api::Clock;
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        assert_eq!(handle.in_state_since("a", "status").await.unwrap(), None);
        set(&handle, "a", thing("online")).await.unwrap();
        node.clock.advance(Duration::from_secs(60));
        let second = node.clock.now();
        set(&handle, "a", thing("offline")).await.unwrap();
        node.clock.advance(Duration::from_millis(1500));
        assert_eq!(handle.in_state_since("a", "status").await.unwrap(), Some(second));
        assert_eq!(handle.in_state_for_ms("a", "status").await.unwrap(), 1500);
        // A change that never reached the log: nobody knows since when.
        put_alone(&node.db, "a", &thing("online")).await.unwrap();
        assert_eq!(handle.in_state_since("a", "status").await.unwrap(), None);
        assert_eq!(handle.in_state_for_ms("a", "status").await.unwrap(), 0);
        put_alone(&node.db, "a", &thing("offline")).await.unwrap();
        assert_eq!(handle.in_state_since("a", "status").await.unwrap(), Some(second));
        node.db.sql(FORGET).execute().await.unwrap();
        assert_eq!(handle.in_state_since("a", "status").await.unwrap(), None);
    }

    async fn entity_23_13_a_new_life_has_its_own_age(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        set(&handle, "a", thing("online")).await.unwrap();
        unset(&handle, "a").await.unwrap();
        put_alone(&node.db, "a", &thing("online")).await.unwrap();
        assert_eq!(handle.in_state_since("a", "status").await.unwrap(), None, "a tombstone is newer");
        set(&handle, "a", thing("offline")).await.unwrap();
        assert!(handle.in_state_since("a", "status").await.unwrap().is_some());
    }

    async fn entity_23_13_objects_match_in_any_key_order(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        let with = |extra| Thing { extra: Some(extra), ..thing("open") };
        set(&handle, "a", with(json!({"x": 1, "y": 2}))).await.unwrap();
        put_alone(&node.db, "a", &with(json!({"y": 2.0, "x": 1}))).await.unwrap();
        assert!(handle.in_state_since("a", "extra").await.unwrap().is_some());
    }

    async fn entity_23_13_transition_count(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        for status in ["a", "b", "a"] {
            set(&handle, "a", thing(status)).await.unwrap();
            node.clock.advance(Duration::from_secs(60));
        }
        assert_eq!(handle.transition_count("a", "status", 600_000).await.unwrap(), 3);
        // The window's start is inside.
        assert_eq!(handle.transition_count("a", "status", 120_000).await.unwrap(), 2);
        assert_eq!(handle.transition_count("a", "status", 119_999).await.unwrap(), 1);
        unset(&handle, "a").await.unwrap();
        assert_eq!(handle.transition_count("a", "status", 600_000).await.unwrap(), 3);
        let unknown = handle.transition_count("a", "stauts", 1).await;
        assert!(matches!(unknown, Err(ReadError::UnknownField { .. })));
        assert!(matches!(handle.in_state_since("a", "@@tombstone").await, Err(ReadError::UnknownField { .. })));
    }

    async fn entity_8_7_old_rows_go_but_never_the_newest_of_a_field(db: TestDb) {
        use plugin_api::Clock;
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        let now = node.clock.now();
        let day = |n: i64| now.plus_millis(-n * 86_400_000);
        // More than one window of the pruner.
        for n in 0..2_100 {
            forge(&node, "busy", "x", day(100).plus_millis(n)).await;
        }
        forge(&node, "quiet", "x", day(200)).await;
        forge(&node, "recent", "x", day(91)).await;
        forge(&node, "recent", "y", day(89)).await;
        assert_eq!(prune(db.db(), day(90)).await.unwrap(), 2_100);
        assert_eq!(node.transitions().await, ["busy.status: - > x", "quiet.status: - > x", "recent.status: - > y"]);
        assert_eq!(prune(db.db(), day(90)).await.unwrap(), 0);
        put_alone(&node.db, "quiet", &thing("x")).await.unwrap();
        assert_eq!(handle.in_state_since("quiet", "status").await.unwrap(), Some(day(200)));
    }

    async fn the_log_is_listed_newest_first_in_pages(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        for status in ["a", "b", "c"] {
            set(&handle, "a", thing(status)).await.unwrap();
        }
        set(&handle, "other", thing("x")).await.unwrap();
        let any = TransitionFilter::default();
        let page = transitions((&node.db).into(), "thing", "a", &any, None, 2).await.unwrap();
        assert_eq!(page.iter().map(|t| &*t.to_value).collect::<Vec<_>>(), ["c", "b"]);
        let rest = transitions((&node.db).into(), "thing", "a", &any, Some(page[1].id), 2).await.unwrap();
        assert_eq!(rest.iter().map(|t| &*t.to_value).collect::<Vec<_>>(), ["a"]);
        let by = |field: &str, from: Option<&str>, to: Option<&str>| TransitionFilter {
            field: Some(field.into()),
            from: from.map(Into::into),
            to: to.map(Into::into),
        };
        for (filter, expected) in [(by("status", Some("a"), None), vec!["b"]), (by("status", None, Some("c")), vec!["c"]), (by("status", Some("a"), Some("c")), vec![]), (by("region", None, None), vec![])] {
            let found = transitions((&node.db).into(), "thing", "a", &filter, None, 9).await.unwrap();
            assert_eq!(found.iter().map(|t| &*t.to_value).collect::<Vec<_>>(), expected, "{filter:?}");
        }
    }

    async fn text_with_nul_is_stored(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        let odd = Thing { status: "a\0b".into(), ..thing("") };
        handle.mutate_in("a", MutateOpts::default(), async |tx: &mut Tx| {
            put(tx, "a", &odd).await?;
            Ok(odd)
        }).await.unwrap();
        assert_eq!(node.outbox().await[0].next_field("status"), Some(&json!("a\0b")));
        assert!(handle.in_state_since("a", "status").await.unwrap().is_some());
    }
}
