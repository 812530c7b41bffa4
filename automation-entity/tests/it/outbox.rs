//! The outbox loop: order, shares, bad rows.

use crate::kit::*;
use automation_entity::*;
use plugin_api::fail;
use std::time::Duration;
use test_kit::{Logs, TestDb, advance_until, both_engines, eventually, stays, within};
use tracing::Level;

plugin_api::statements! {
    HOLD = {
        sqlite: "select seq from entity_outbox where seq = $1",
        postgres: "select seq from signalbox.entity_outbox where seq = $1 for update",
    };
    PAYLOAD = "select payload from signalbox.entity_outbox limit 1";
    /// 20 000 changes, of as many entities (`$2`: 1) or of one (0).
    BACKLOG = {
        sqlite: "with recursive n(n) as (select 1 union all select n + 1 from n where n < 20000)
            insert into entity_outbox (change_id, kind, entity_id, created_at, payload)
            select printf('00000000-0000-4000-8000-%012x', n), 'thing', 'x' || n * $2, 0, $1 from n",
        postgres: "insert into signalbox.entity_outbox (change_id, kind, entity_id, created_at, payload)
            select gen_random_uuid(), 'thing', 'x' || n * $2, now(), $1 from generate_series(1, 20000) n",
    };
}

async fn seqs(node: &Node) -> Vec<i64> {
    node.db.sql(SEQS).all().await.unwrap()
}

both_engines! {
    async fn changes_reach_the_router_in_commit_order_and_leave(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        for n in 0..700 {
            set(&handle, &format!("t{}", n % 5), thing(&n.to_string())).await.unwrap();
        }
        node.start().await;
        eventually(async || node.routed.count() == 700, "all changes").await;
        let changes = node.routed.changes.lock().unwrap().clone();
        for n in 0..5 {
            let own: Vec<_> = changes.iter().filter(|c| c.id == format!("t{n}")).collect();
            assert!(own.windows(2).all(|w| w[1].prev == w[0].next));
        }
        eventually(async || node.outbox().await.is_empty(), "an empty outbox").await;
        node.engine.stop().await;
    }

    async fn a_backlog_is_routed_although_the_planner_counts_on_one_row(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        set(&handle, "first", thing("open")).await.unwrap();
        let payload: plugin_api::Doc = node.db.sql(PAYLOAD).one().await.unwrap();
        if db.is_postgres() {
            // What autovacuum does at any time: from now on the planner counts on one row.
            node.db.script("vacuum analyze signalbox.entity_outbox").await.unwrap();
        }
        node.start().await;
        eventually(async || node.outbox().await.is_empty(), "an empty outbox").await;
        let mut routed = 1;
        for spread in [1_i64, 0] {
            set(&handle, "planned", thing(&format!("{spread}"))).await.unwrap();
            routed += 1;
            eventually(async || node.routed.count() == routed, "one change").await;
            node.db.sql(BACKLOG).bind(payload.clone()).bind(spread).execute().await.unwrap();
            set(&handle, "last", thing(&format!("{spread}"))).await.unwrap();
            routed += 20_001;
            eventually(async || node.routed.count() == routed, "the backlog").await;
        }
        node.engine.stop().await;
    }

    async fn a_change_wakes_the_sleeping_loop(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        let scope = fail::Scope::default();
        scope.run(node.start()).await;
        set(&handle, "a", thing("open")).await.unwrap();
        eventually(async || node.routed.count() == 1, "the first change").await;
        let visits = scope.visits("entity.route");
        assert!(stays(async || scope.visits("entity.route") == visits).await, "idle, it does nothing");
        assert_eq!(node.clock.next_wake(), None, "and awaits no instant");
        set(&handle, "a", thing("done")).await.unwrap();
        eventually(async || node.routed.count() == 2, "the second change").await;
        node.engine.stop().await;
    }

    async fn a_malformed_row_is_dropped_with_a_warning(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        for id in ["a", "b", "c"] {
            set(&handle, id, thing("open")).await.unwrap();
        }
        node.db.sql(GARBLE).bind(seqs(&node).await[1]).execute().await.unwrap();
        let logs = Logs::new();
        logs.record(node.start()).await;
        eventually(async || seqs(&node).await.is_empty(), "an empty outbox").await;
        assert_eq!(node.routed.ids(), ["a", "c"]);
        assert_eq!(logs.find(Level::WARN, "malformed").len(), 1);
        node.engine.stop().await;
    }

    async fn a_change_in_a_newer_form_stays_for_a_newer_node(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        for id in ["a", "b", "c"] {
            set(&handle, id, thing("open")).await.unwrap();
        }
        let newer = seqs(&node).await[1];
        node.db.sql(MAKE_NEWER).bind(newer).execute().await.unwrap();
        set(&handle, "b", thing("done")).await.unwrap();
        let logs = Logs::new();
        logs.record(node.start()).await;
        eventually(async || node.routed.count() == 2, "the others").await;
        assert_eq!(node.routed.ids(), ["a", "c"]);
        eventually(async || seqs(&node).await.len() == 2, "the rows of what was routed go").await;
        assert!(stays(async || seqs(&node).await.len() == 2).await, "it stays, and what follows it waits");
        advance_until(&node.clock, Duration::from_secs(1), async || logs.find(Level::WARN, "newer version").len() == 3, "looked at again").await;
        assert_eq!(seqs(&node).await.len(), 2);
        // A newer node would take it; here it becomes readable.
        node.db.sql(MAKE_KNOWN).bind(newer).execute().await.unwrap();
        advance_until(&node.clock, Duration::from_secs(1), async || seqs(&node).await.is_empty(), "both are routed").await;
        assert_eq!(node.routed.ids(), ["a", "c", "b", "b"]);
        node.engine.stop().await;
    }

    async fn a_bad_row_costs_only_itself_and_its_successors_wait(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        for n in 0..40 {
            set(&handle, &format!("t{n}"), thing("open")).await.unwrap();
        }
        set(&handle, "t17", thing("done")).await.unwrap();
        node.routed.poisoned.lock().unwrap().push("t17".into());
        node.start().await;
        eventually(async || node.routed.count() == 39, "everything else").await;
        set(&handle, "t17", thing("later")).await.unwrap();
        set(&handle, "t18", thing("later")).await.unwrap();
        eventually(async || node.routed.count() == 40, "a later change of another entity").await;
        // The router has been called before the outbox forgets what it routed.
        eventually(async || seqs(&node).await.len() == 3, "the rows of what was routed go").await;
        assert!(stays(async || seqs(&node).await.len() == 3).await, "three changes of t17 wait");
        // It is tried again and again, at most a minute apart.
        for _ in 0..8 {
            let tried = node.attempts().await;
            advance_until(&node.clock, Duration::from_secs(5), async || node.attempts().await > tried, "another try").await;
        }
        assert_eq!(node.routed.count(), 40);
        node.routed.poisoned.lock().unwrap().clear();
        let before = plugin_api::Clock::now(&*node.clock);
        advance_until(&node.clock, Duration::from_secs(5), async || node.routed.count() == 43, "the bad row and its successors").await;
        assert!(plugin_api::Clock::now(&*node.clock).millis() - before.millis() <= 65_000);
        let own: Vec<_> = node.routed.changes.lock().unwrap().iter().filter(|c| c.id == "t17").cloned().collect();
        assert!(own.windows(2).all(|w| w[1].prev == w[0].next), "in order");
        node.engine.stop().await;
    }

    async fn a_panic_of_the_router_parks_the_row_and_ends_nothing(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        node.routed.poisoned.lock().unwrap().push("panics".into());
        for id in ["a", "panics", "b"] {
            set(&handle, id, thing("open")).await.unwrap();
        }
        node.start().await;
        eventually(async || node.routed.ids() == ["a", "b"], "the other rows").await;
        set(&handle, "c", thing("open")).await.unwrap();
        eventually(async || node.routed.count() == 3, "a later change").await;
        node.engine.stop().await;
    }

    /// Fails without the look for older siblings in `TAKE`: the row of another node is skipped, and
    /// the newer change of its entity would overtake it.
    async fn a_newer_change_never_overtakes_one_that_another_node_holds(db: TestDb) {
        if !db.is_postgres() {
            return;
        }
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        for (id, status) in [("a", "one"), ("b", "one"), ("a", "two")] {
            set(&handle, id, thing(status)).await.unwrap();
        }
        let mut other = node.db.begin().await.unwrap();
        let first = seqs(&node).await[0];
        other.sql(HOLD).bind(first).one::<i64>().await.unwrap();
        node.start().await;
        eventually(async || node.routed.ids() == ["b"], "the entity that nobody holds").await;
        assert!(stays(async || node.routed.count() == 1).await);
        other.rollback().await.unwrap();
        // While it waits for the other node it looks again shortly.
        advance_until(&node.clock, Duration::from_millis(50), async || node.routed.count() == 3, "both changes of a").await;
        assert_eq!(node.routed.ids(), ["b", "a", "a"]);
        assert_eq!(node.routed.changes.lock().unwrap()[1].next_field("status").unwrap(), "one");
        node.engine.stop().await;
    }

    async fn two_nodes_share_the_outbox(db: TestDb) {
        if !db.is_postgres() {
            return;
        }
        let (here, handle) = Node::of_things(&db, KindOptions::default()).await;
        let (there, _) = Node::of_things_on(&db.reopen().await, KindOptions::default()).await;
        here.start().await;
        there.start().await;
        let writers: Vec<_> = (0..6).map(|n| {
            let handle = handle.clone();
            let hints = there.hints.clone();
            plugin_api::spawn(async move {
                for round in 0..40 {
                    set(&handle, &format!("t{n}"), thing(&round.to_string())).await.unwrap();
                    plugin_api::hints::Hints::notify(&*hints, OUTBOX_HINT);
                }
            })
        }).collect();
        for writer in writers {
            within(writer, "a writer").await.unwrap();
        }
        let total = async || here.routed.count() + there.routed.count();
        advance_until(&here.clock, Duration::from_millis(50), async || {
            there.clock.advance(Duration::from_millis(50));
            total().await >= 240
        }, "all changes").await;
        assert_eq!(total().await, 240, "each exactly once");
        here.engine.stop().await;
        there.engine.stop().await;
    }

    async fn a_killed_pass_leaves_its_rows(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        set(&handle, "a", thing("open")).await.unwrap();
        let scope = fail::Scope::default();
        scope.arm("entity.route", fail::Action::Hang);
        scope.run(node.start()).await;
        eventually(async || scope.visits("entity.route") == 1, "the pass").await;
        scope.kill();
        let (next, _) = Node::of_things_on(&db.reopen().await, KindOptions::default()).await;
        next.start().await;
        // On Postgres the dead pass's row lock goes with its connection.
        advance_until(&next.clock, Duration::from_millis(50), async || next.routed.count() == 1, "the change").await;
        assert_eq!(node.routed.count(), 0);
        next.engine.stop().await;
    }
}
