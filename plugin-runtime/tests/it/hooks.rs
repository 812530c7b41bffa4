//! The hook bus (`plugins §6`, acceptance 19.8, 19.10–14).

use crate::queue_support::{Fixture, Record, SharedHints};
use plugin_api::{
    Actor, ActorType, PluginId, RequestContext, fail,
    hook::{EventMeta, Hook, HookBus, HookError, HookMode, Hooks},
    queue::{Consumer, JobError, NewJob, QueueManager, Retries, Subscription},
};
use plugin_runtime::{hook::SqlHookBus, queue::SqlQueues};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use test_kit::{Logs, TestDb, both_engines, eventually, stays};

const OWNER: PluginId = PluginId::new("owner");
const LISTENER: PluginId = PluginId::new("listener");
const DONE: Hook<String> = Hook::new("owner.thing.done");

/// A node: its bus, and hooks as two plugins see them.
struct Node {
    bus: Arc<SqlHookBus>,
    owner: Hooks,
    listener: Hooks,
}

impl Node {
    fn new(f: &Fixture, name: &str) -> Self {
        let queues = if name == "node-1" {
            f.queues.clone()
        } else {
            f.second_node()
        };
        let bus = SqlHookBus::new(f.db().db().clone(), queues, f.clock.clone(), name.into());
        let hooks = |plugin: &PluginId| Hooks::new(bus.clone() as Arc<dyn HookBus>, plugin.clone());
        Self {
            owner: hooks(&OWNER),
            listener: hooks(&LISTENER),
            bus,
        }
    }
    async fn open(f: &Fixture, name: &str) -> Self {
        let node = Self::new(f, name);
        node.bus.open_barrier().await.unwrap();
        node
    }
    async fn emit(&self, text: &str) {
        self.owner.emit(&DONE, &text.to_owned()).await.unwrap();
    }
    /// Subscribes the listener and records payloads.
    async fn record(&self, mode: HookMode, record: &Record) -> Subscription {
        let record = record.clone();
        self.listener
            .on(&DONE, mode, move |text: String, _| {
                record.add(text);
                async { Ok(()) }
            })
            .await
            .unwrap()
    }
}

both_engines! {
    async fn plugins_19_8_events_before_the_barrier_reach_the_last_subscriber_in_order(db: TestDb) {
        let f = Fixture::sql(db);
        let node = Node::new(&f, "node-1");
        node.emit("1").await;
        let mut rolled_back = f.db().db().begin().await.unwrap();
        node.owner.emit_in(&mut rolled_back, &DONE, &"never".to_owned()).await.unwrap();
        rolled_back.rollback().await.unwrap();
        let (work, every) = (Record::default(), Record::default());
        node.record(HookMode::work_queue("late"), &work).await;
        node.emit("2").await;
        node.record(HookMode::Broadcast, &every).await;
        let mut tx = f.db().db().begin().await.unwrap();
        node.owner.emit_in(&mut tx, &DONE, &"3".to_owned()).await.unwrap();
        tx.commit().await.unwrap();
        assert!(stays(async || work.len() + every.len() == 0).await, "nothing flows before the barrier");
        node.bus.open_barrier().await.unwrap();
        for record in [&work, &every] {
            assert_eq!(record.wait(3).await, ["1", "2", "3"]);
        }
        node.emit("4").await;
        for record in [&work, &every] {
            assert_eq!(record.wait(4).await[3], "4");
        }
    }

    async fn an_event_committed_while_the_barrier_opens_is_not_stranded(db: TestDb) {
        let f = Fixture::sql(db);
        let (node, record, scope) = (Node::new(&f, "node-1"), Record::default(), fail::Scope::default());
        node.record(HookMode::work_queue("w"), &record).await;
        node.emit("before").await;
        scope.arm("hook.opens", fail::Action::Hang);
        let opening = plugin_api::spawn({
            let (bus, scope) = (node.bus.clone(), scope.clone());
            async move { scope.run(bus.open_barrier()).await }
        });
        eventually(async || scope.visits("hook.opens") == 1, "the last look before the opening").await;
        let begin = async |text: &str| {
            let mut tx = f.db().db().begin().await.unwrap();
            node.owner.emit_in(&mut tx, &DONE, &text.to_owned()).await.unwrap();
            tx
        };
        begin("between the looks").await.commit().await.unwrap();
        if f.db().is_postgres() {
            // One that is open across the opening; SQLite's only writer would wait for its end.
            let late = begin("late").await;
            scope.disarm("hook.opens");
            opening.await.unwrap().unwrap();
            assert_eq!(record.wait(2).await, ["before", "between the looks"]);
            late.commit().await.unwrap();
            assert_eq!(record.wait(3).await[2], "late");
        } else {
            scope.disarm("hook.opens");
            opening.await.unwrap().unwrap();
            assert_eq!(record.wait(2).await, ["before", "between the looks"]);
        }
    }

    async fn an_event_of_a_boot_that_died_goes_with_the_next_boot(db: TestDb) {
        let (f, scope) = (Fixture::sql(db), fail::Scope::default());
        scope.run(Node::new(&f, "node-0").emit("orphan")).await;
        scope.kill();
        let (node, record, start) = (Node::new(&f, "node-1"), Record::default(), f.now());
        node.record(HookMode::work_queue("w"), &record).await;
        node.bus.open_barrier().await.unwrap();
        if f.db().is_postgres() {
            // For all that can be known it is still booting, and not all of its groups are there.
            for beat in 1..=3 {
                f.run_to(start.plus_millis(beat * 20_000)).await;
            }
            assert!(stays(async || record.len() == 0).await);
            f.run_to(start.plus_millis(80_000)).await;
        }
        assert_eq!(record.wait(1).await, ["orphan"]);
        assert!(stays(async || record.len() == 1).await, "and goes once");
    }

    async fn an_event_of_a_boot_that_failed_goes_with_the_next_boot_at_once(db: TestDb) {
        let f = Fixture::sql(db);
        let failed = Node::new(&f, "node-0");
        failed.emit("orphan").await;
        failed.bus.stop().await;
        let (node, record) = (Node::new(&f, "node-1"), Record::default());
        node.record(HookMode::work_queue("w"), &record).await;
        node.bus.open_barrier().await.unwrap();
        assert_eq!(record.wait(1).await, ["orphan"]);
    }

    async fn plugins_19_10_two_groups_get_the_event_once_each_and_two_broadcasts_too(db: TestDb) {
        let f = Fixture::sql(db);
        let node = Node::open(&f, "node-1").await;
        let records: [Record; 4] = Default::default();
        let modes = [HookMode::work_queue("a"), HookMode::work_queue("b"), HookMode::Broadcast, HookMode::Broadcast];
        for (mode, record) in modes.into_iter().zip(&records) {
            node.record(mode, record).await;
        }
        node.emit("x").await;
        for record in &records {
            record.wait(1).await;
        }
        assert!(stays(async || records.iter().all(|r| r.len() == 1)).await);
    }

    async fn plugins_19_11_a_blank_or_repeated_worker_group_is_an_error(db: TestDb) {
        let f = Fixture::sql(db);
        let node = Node::open(&f, "node-1").await;
        let on = async |group: &str| {
            node.listener.on(&DONE, HookMode::work_queue(group), |_: String, _| async { Ok(()) }).await
        };
        let blank = on(" ").await.err().unwrap();
        assert!(matches!(blank, HookError::NoGroup { .. }), "{blank}");
        let first = on("g").await.unwrap();
        let twice = on("g").await.err().unwrap();
        assert!(matches!(&twice, HookError::DuplicateGroup { hook, plugin, group }
            if hook == DONE.id && *plugin == LISTENER && group == "g"), "{twice}");
        for name in ["listener", "g", DONE.id] {
            assert!(twice.to_string().contains(name), "{twice}");
        }
        first.unsubscribe().await;
        on("g").await.unwrap();
    }

    async fn plugins_19_12_emit_local_runs_all_local_listeners_and_only_them(db: TestDb) {
        let (f, logs) = (Fixture::sql(db), Logs::new());
        let node = Node::open(&f, "node-1").await;
        let (local, work) = (Record::default(), Record::default());
        node.listener.on(&DONE, HookMode::InstanceLocal, |_: String, _| async { Err(JobError::retry("fails")) }).await.unwrap();
        node.listener.on(&DONE, HookMode::InstanceLocal, |_: String, _| async { panic!("panics") }).await.unwrap();
        node.record(HookMode::InstanceLocal, &local).await;
        node.record(HookMode::work_queue("w"), &work).await;
        logs.record(node.owner.emit_local(&DONE, &"here".to_owned())).await.unwrap();
        assert_eq!(local.all(), ["here"]);
        assert_eq!(node.bus.local_failures(), 2);
        assert_eq!(logs.find(tracing::Level::ERROR, "listener failed").len(), 2);
        node.emit("everywhere").await;
        assert_eq!(work.wait(1).await, ["everywhere"]);
        assert_eq!(local.all(), ["here"]);
    }

    async fn plugins_19_13_the_actor_travels_with_the_event(db: TestDb) {
        let f = Fixture::sql(db);
        let node = Node::open(&f, "node-1").await;
        let (record, now) = (Record::default(), f.now());
        let seen = record.clone();
        node.listener.on(&DONE, HookMode::work_queue("w"), move |text: String, meta: EventMeta| {
            let handling = RequestContext::current().actor;
            assert_eq!((&handling, meta.emitted_at), (&meta.actor, now));
            seen.add(format!("{text} {:?} {}", meta.actor.kind, meta.actor.id));
            async { Ok(()) }
        }).await.unwrap();
        let user = Actor { kind: ActorType::User, id: "ada".into(), name: None };
        RequestContext::of(user).scope(node.emit("request")).await;
        node.emit("job").await;
        f.queues.enqueue("hook:owner.thing.done", vec![NewJob::new(json!("raw"))]).await.unwrap();
        let malformed = json!({"payload": "odd", "meta": {"actor": {"type": "ghost"}, "emittedAt": now.to_text(), "deliveryId": "d"}});
        f.queues.enqueue("hook:owner.thing.done", vec![NewJob::new(malformed)]).await.unwrap();
        assert_eq!(record.wait(4).await, ["request User ada", "job System system", "raw System system", "odd System system"]);
    }

    async fn plugins_19_14_the_last_unsubscribe_leaves_emitting_alone(db: TestDb) {
        let f = Fixture::sql(db);
        let node = Node::open(&f, "node-1").await;
        let (work, every, local) = (Record::default(), Record::default(), Record::default());
        let subscriptions = [
            node.record(HookMode::work_queue("w"), &work).await,
            node.record(HookMode::Broadcast, &every).await,
            node.record(HookMode::InstanceLocal, &local).await,
        ];
        for s in &subscriptions {
            s.unsubscribe().await;
            s.unsubscribe().await;
        }
        node.emit("kept").await;
        node.owner.emit_local(&DONE, &"gone".to_owned()).await.unwrap();
        let again = Record::default();
        node.record(HookMode::work_queue("w"), &again).await;
        assert_eq!(again.wait(1).await, ["kept"], "the durable group kept the event");
        assert_eq!((work.len(), every.len(), local.len()), (0, 0, 0));
        assert_eq!(f.queues.stats("hook:owner.thing.done").await.unwrap().consumer_groups, 1);
    }

    async fn a_work_queue_group_keeps_events_while_no_node_is_up(db: TestDb) {
        let f = Fixture::sql(db);
        let (record, nobody) = (Record::default(), Record::default());
        let first = Node::open(&f, "node-1").await;
        first.record(HookMode::work_queue("w"), &nobody).await.unsubscribe().await;
        first.emit("while down").await;
        f.clock.advance(Duration::from_secs(3600));
        let second = Node::new(&f, "node-2");
        second.record(HookMode::work_queue("w"), &record).await;
        second.bus.open_barrier().await.unwrap();
        assert_eq!(record.wait(1).await, ["while down"]);
        assert_eq!(nobody.len(), 0);
    }

    async fn an_event_without_any_subscriber_is_not_kept(db: TestDb) {
        let f = Fixture::sql(db);
        let node = Node::open(&f, "node-1").await;
        node.emit("nobody").await;
        assert_eq!(f.queues.stats("hook:owner.thing.done").await.unwrap().pending, 0);
    }

    async fn only_the_owner_emits(db: TestDb) {
        let f = Fixture::sql(db);
        let node = Node::open(&f, "node-1").await;
        for plugin in ["listener", "own", "owner.thing"] {
            let hooks = Hooks::new(node.bus.clone() as Arc<dyn HookBus>, PluginId::owned(plugin));
            let emitted = [hooks.emit(&DONE, &String::new()).await, hooks.emit_local(&DONE, &String::new()).await];
            let refused = |e: &Result<(), HookError>| matches!(e, Err(HookError::NotOwner { .. }));
            assert_eq!(emitted.iter().all(refused), plugin != "owner.thing", "{plugin}");
        }
    }

    async fn a_payload_that_does_not_decode_is_dropped_for_that_group_only(db: TestDb) {
        let (f, logs) = (Fixture::sql(db), Logs::new());
        let node = logs.record(Node::open(&f, "node-1")).await;
        let (numbers, texts) = (Record::default(), Record::default());
        let seen = numbers.clone();
        let as_number: Hook<u32> = Hook::new(DONE.id);
        let numbers_only = node.listener.on(&as_number, HookMode::work_queue("n"), move |n: u32, _| {
            seen.add(n.to_string());
            async { Ok(()) }
        });
        logs.record(numbers_only).await.unwrap();
        node.record(HookMode::work_queue("t"), &texts).await;
        node.emit("seven").await;
        node.owner.emit(&as_number, &7).await.unwrap();
        assert_eq!(numbers.wait(1).await, ["7"]);
        assert_eq!(texts.wait(1).await, ["seven"]);
        assert_eq!(logs.find(tracing::Level::WARN, "does not decode").len(), 1);
        eventually(async || f.queues.stats("hook:owner.thing.done").await.unwrap().pending == 0, "both are gone").await;
        assert_eq!(f.queues.stats("hook:owner.thing.done").await.unwrap().failed, 0);
    }

    async fn an_event_in_a_newer_form_is_left_for_a_newer_node(db: TestDb) {
        let (f, logs) = (Fixture::sql(db), Logs::new());
        let node = logs.record(Node::open(&f, "node-1")).await;
        let record = Record::default();
        logs.record(node.record(HookMode::work_queue("w"), &record)).await;
        let queue = "hook:owner.thing.done";
        let meta = json!({"v": 2, "actor": {"urn": "system"}, "emittedAt": "2026-01-15T12:00:00Z", "deliveryId": "d"});
        let newer = NewJob::new(json!({"payload": "newer", "meta": meta}));
        f.queues.enqueue(queue, vec![newer]).await.unwrap();
        node.emit("known").await;
        assert_eq!(record.wait(1).await, ["known"]);
        for times in 1..=3 {
            let told = async || logs.find(tracing::Level::WARN, "newer version").len() == times;
            eventually(told, "warnings at the start and every 30 s").await;
            f.settled(queue).await;
            if times < 3 {
                f.run_for(Duration::from_secs(30)).await;
            }
        }
        assert_eq!(f.queues.stats(queue).await.unwrap().pending, 1, "it is not dropped");
        assert_eq!(f.queues.stats(queue).await.unwrap().failed, 0, "nor buried");
        assert_eq!(record.len(), 1);
    }

    async fn a_failing_handler_retries_alone_with_one_delivery_id(db: TestDb) {
        let f = Fixture::sql(db);
        let node = Node::open(&f, "node-1").await;
        let (record, other, every) = (Record::default(), Record::default(), Record::default());
        let seen = record.clone();
        let mode = HookMode::WorkQueue { worker_group: "w".into(), retries: Retries::Limited(1) };
        node.listener.on(&DONE, mode, move |_: String, meta: EventMeta| {
            seen.add(meta.delivery_id);
            async { Err(JobError::retry("no")) }
        }).await.unwrap();
        node.record(HookMode::work_queue("other"), &other).await;
        let seen = every.clone();
        node.listener.on(&DONE, HookMode::Broadcast, move |_: String, _| {
            seen.add("once");
            async { Err(JobError::retry("no")) }
        }).await.unwrap();
        node.emit("x").await;
        record.wait(1).await;
        f.run_for(Duration::from_secs(1)).await;
        let ids = record.wait(2).await;
        assert_eq!(ids[0], ids[1]);
        eventually(async || f.queues.stats("hook:owner.thing.done").await.unwrap().failed == 2, "both groups gave up").await;
        eventually(async || (other.len(), every.len()) == (1, 1), "the others hear it once").await;
    }
}

/// Two nodes share one database only on Postgres.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plugins_19_10_broadcast_reaches_both_nodes_and_a_work_queue_one() {
    let f = Fixture::sql(TestDb::postgres().await);
    let nodes = [
        Node::open(&f, "node-1").await,
        Node::open(&f, "node-2").await,
    ];
    let (every, work): ([Record; 2], Record) = Default::default();
    for (node, every) in nodes.iter().zip(&every) {
        node.record(HookMode::Broadcast, every).await;
        node.record(HookMode::work_queue("w"), &work).await;
    }
    for n in 0..20 {
        nodes[n % 2].emit(&n.to_string()).await;
    }
    let all: Vec<_> = (0..20).map(|n| n.to_string()).collect();
    for every in &every {
        assert_eq!(every.wait(20).await, all);
    }
    let mut once = work.wait(20).await;
    once.sort_by_key(|n| n.parse::<u32>().unwrap());
    assert_eq!(once, all);
    assert!(stays(async || work.len() == 20).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_silent_for_a_minute_loses_its_broadcast_group_and_backlog() {
    let f = Fixture::sql(TestDb::postgres().await);
    let scope = plugin_api::fail::Scope::default();
    let silent = scope.run(async {
        let node = Node::open(&f, "node-2").await;
        node.record(HookMode::Broadcast, &Record::default()).await;
        node
    });
    let silent = silent.await;
    let alive = Node::open(&f, "node-1").await;
    let record = Record::default();
    alive.record(HookMode::Broadcast, &record).await;
    scope.kill();
    silent.emit("x").await;
    record.wait(1).await;
    let stats = async || f.queues.stats("hook:owner.thing.done").await.unwrap();
    eventually(
        async || stats().await.pending == 1,
        "the dead node's event is kept",
    )
    .await;
    let start = f.now();
    for beat in 1..=3 {
        f.run_to(start.plus_millis(beat * 20_000)).await;
        assert_eq!(stats().await.consumer_groups, 2, "after {beat} beats");
    }
    for beat in 4..=5 {
        f.run_to(start.plus_millis(beat * 20_000)).await;
    }
    eventually(
        async || {
            let s = stats().await;
            (s.consumer_groups, s.pending) == (1, 0)
        },
        "group and backlog are gone",
    )
    .await;
    alive.bus.stop().await;
    assert_eq!(stats().await.consumer_groups, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite_a_new_process_buries_the_broadcasts_of_the_one_before() {
    let f = Fixture::sql(TestDb::sqlite().await);
    let before = Node::open(&f, "node-1").await;
    before.record(HookMode::Broadcast, &Record::default()).await;
    f.queues.stop().await;
    before.emit("for nobody").await;
    let (after, record) = (Node::new(&f, "node-2"), Record::default());
    after.record(HookMode::Broadcast, &record).await;
    after.bus.open_barrier().await.unwrap();
    after.emit("for us").await;
    assert_eq!(record.wait(1).await, ["for us"]);
    let stats = f.queues.stats("hook:owner.thing.done").await.unwrap();
    assert_eq!(stats.consumer_groups, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_boot_that_takes_long_keeps_its_events_until_its_own_barrier() {
    let f = Fixture::sql(TestDb::postgres().await);
    let (up, early) = (Node::open(&f, "node-1").await, Record::default());
    up.record(HookMode::work_queue("early"), &early).await;
    let (booting, late) = (Node::new(&f, "node-2"), Record::default());
    booting.emit("of a long boot").await;
    let start = f.now();
    for beat in 1..=5 {
        let at = start.plus_millis(beat * 20_000);
        let both = async || f.clock.sleeping_until(at) == 2;
        eventually(both, "both nodes said that they live").await;
        f.clock.set(at);
    }
    assert!(stays(async || early.len() == 0).await);
    booting.record(HookMode::work_queue("late"), &late).await;
    booting.bus.open_barrier().await.unwrap();
    for record in [&early, &late] {
        assert_eq!(record.wait(1).await, ["of a long boot"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_whose_hint_was_lost_is_found_at_the_next_beat() {
    let f = Fixture::sql(TestDb::postgres().await);
    // Hints of the fixture's queues do not reach this node.
    let hints = Arc::<SharedHints>::default();
    let (db, clock) = (f.db().db().clone(), f.clock.clone());
    let deaf = SqlQueues::new(db.clone(), clock.clone(), hints.clone(), "node-2".into());
    let bus = SqlHookBus::new(db, deaf.clone(), clock, "node-2".into());
    bus.wake_through(hints);
    bus.open_barrier().await.unwrap();
    let (ready, delayed, start) = (Record::default(), Record::default(), f.now());
    for (queue, record) in [("t.ready", &ready), ("t.delayed", &delayed)] {
        let consumer = Consumer::each("t.g", record.handler());
        deaf.consume(queue, consumer).await.unwrap();
    }
    eventually(
        async || f.clock.sleeping_until(start.plus_millis(24 * 3_600_000)) == 2,
        "the lanes wait for nothing",
    )
    .await;
    let soon = start.plus_millis(30_000);
    f.queues
        .enqueue("t.ready", vec![NewJob::new(json!("now"))])
        .await
        .unwrap();
    f.queues
        .enqueue("t.delayed", vec![NewJob::new(json!("soon")).at(soon)])
        .await
        .unwrap();
    assert!(stays(async || ready.len() == 0).await, "nobody told it");
    f.run_for(Duration::from_secs(20)).await;
    assert_eq!(ready.wait(1).await, ["now"]);
    f.run_for(Duration::from_secs(20)).await;
    assert_eq!(delayed.wait(1).await, ["soon"]);
}
