//! Subscriptions (`entity §12`), on a real boot with real queues.

use crate::{
    define::{EnginePlugin, Made, own_table},
    kit::{Thing, Things, set, thing},
};
use automation_entity::*;
use plugin_api::{
    Cause, RequestContext,
    queue::{JobError, Retries},
};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use test_kit::{Kit, Node, TestDb, advance_until, both_engines, eventually, stays};
use tracing::Level;

type Kept = Arc<Mutex<Option<EntityHandle<Thing>>>>;

fn owner(kept: &Kept) -> Made {
    let kept = kept.clone();
    Made::new("things", move |env| {
        *kept.lock().unwrap() = Some(
            env.extension(&ENTITY)
                .define(KindOptions::default(), Things)?,
        );
        Ok(())
    })
}

fn counting(
    id: &'static str,
    delivery: Delivery,
    failures: usize,
    calls: &Arc<AtomicUsize>,
) -> Made {
    let calls = calls.clone();
    Made::new(id, move |env| {
        let handler = move |_: EntityChanged, _| {
            let call = calls.fetch_add(1, Ordering::SeqCst);
            async move {
                if call < failures {
                    return Err(JobError::retry("not today"));
                }
                Ok(())
            }
        };
        env.extension(&ENTITY)
            .on_entity_changed("thing", delivery, handler)
            .map(drop)
    })
}

async fn write(node: &Node, kept: &Kept, status: &str) {
    let handle = kept.lock().unwrap().clone().unwrap();
    node.run(set(&handle, "a", thing(status))).await.unwrap();
}

both_engines! {
    async fn a_change_in_a_newer_form_is_kept_from_subscribers_and_not_dropped(db: TestDb) {
        let (kept, calls) = (Kept::default(), Arc::new(AtomicUsize::new(0)));
        let node = Kit::new(&db).await.plugin(EnginePlugin::new()).plugin(owner(&kept))
            .plugin(counting("other", Delivery::work_queue("sync"), 0, &calls)).boot().await;
        own_table(&db).await;
        let queues = node.service("test", &plugin_api::core::QUEUES).unwrap();
        let queue = "hook:automation.entity.changed.thing";
        let newer = plugin_api::queue::NewJob::new(serde_json::json!({"v": 2, "subject": "thing:a"}));
        queues.enqueue(queue, vec![newer]).await.unwrap();
        write(&node, &kept, "open").await;
        eventually(async || calls.load(Ordering::SeqCst) == 1, "the change this node can read").await;
        eventually(async || !node.logs().find(Level::WARN, "newer version").is_empty(), "the warning").await;
        eventually(async || queues.stats(queue).await.unwrap().pending == 1, "it waits").await;
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        node.shutdown().await;
    }

    async fn entity_23_14_a_work_queue_retries_up_to_its_limit(db: TestDb) {
        let (kept, calls) = (Kept::default(), Arc::new(AtomicUsize::new(0)));
        let group = Delivery::WorkQueue { worker_group: "sync".into(), retries: Retries::Limited(2) };
        let node = Kit::new(&db).await.plugin(EnginePlugin::new()).plugin(owner(&kept))
            .plugin(counting("other", group, usize::MAX, &calls)).boot().await;
        own_table(&db).await;
        write(&node, &kept, "open").await;
        advance_until(&node.clock(), Duration::from_secs(5), async || calls.load(Ordering::SeqCst) == 3, "three executions").await;
        advance_until(&node.clock(), Duration::from_secs(5), async || !node.logs().find(Level::ERROR, "").is_empty(), "a dead letter in the log").await;
        assert!(stays(async || calls.load(Ordering::SeqCst) == 3).await);
        node.shutdown().await;
    }

    async fn a_subscriber_goes_on_with_the_chain_that_led_to_the_change(db: TestDb) {
        let (kept, heard) = (Kept::default(), Arc::<Mutex<Vec<Option<Cause>>>>::default());
        let hearing = heard.clone();
        let subscriber = Made::new("other", move |env| {
            let handler = move |_: EntityChanged, _| {
                // What the handler writes would be stamped with this.
                let cause = RequestContext::current().cause;
                hearing.lock().unwrap().push(cause.as_deref().cloned());
                async { Ok(()) }
            };
            let group = Delivery::WorkQueue { worker_group: "sync".into(), retries: Retries::Limited(2) };
            env.extension(&ENTITY).on_entity_changed("thing", group, handler).map(drop)
        });
        let node = Kit::new(&db).await.plugin(EnginePlugin::new()).plugin(owner(&kept)).plugin(subscriber).boot().await;
        own_table(&db).await;
        let cause = Cause { root: "an event".into(), chain: vec![uuid::Uuid::from_u128(7)] };
        let context = RequestContext { cause: Some(Arc::new(cause.clone())), ..RequestContext::system() };
        context.scope(write(&node, &kept, "open")).await;
        write(&node, &kept, "closed").await;
        eventually(async || heard.lock().unwrap().len() == 2, "both changes are heard of").await;
        assert_eq!(*heard.lock().unwrap(), [Some(cause), None]);
        node.shutdown().await;
    }

    async fn entity_23_14_a_failing_broadcast_disturbs_nobody(db: TestDb) {
        let (kept, bad, good) = (Kept::default(), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let node = Kit::new(&db).await.plugin(EnginePlugin::new()).plugin(owner(&kept))
            .plugin(counting("bad", Delivery::Broadcast, usize::MAX, &bad))
            .plugin(counting("good", Delivery::Broadcast, 0, &good)).boot().await;
        own_table(&db).await;
        write(&node, &kept, "open").await;
        eventually(async || good.load(Ordering::SeqCst) == 1, "the other subscriber").await;
        eventually(async || !node.logs().find(Level::WARN, "broadcasts are not retried").is_empty(), "a warning").await;
        node.clock().advance(Duration::from_secs(600));
        assert!(stays(async || bad.load(Ordering::SeqCst) == 1).await, "not retried");
        node.shutdown().await;
    }

    async fn entity_23_14_one_group_name_in_two_plugins(db: TestDb) {
        let kept = Kept::default();
        let calls = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
        let node = Kit::new(&db).await.plugin(EnginePlugin::new()).plugin(owner(&kept))
            .plugin(counting("one", Delivery::work_queue("sync"), 0, &calls[0]))
            .plugin(counting("two", Delivery::work_queue("sync"), 0, &calls[1])).boot().await;
        own_table(&db).await;
        write(&node, &kept, "open").await;
        eventually(async || calls.iter().all(|c| c.load(Ordering::SeqCst) == 1), "both plugins").await;
        node.shutdown().await;
    }

    async fn a_group_used_twice_in_one_plugin_fails_the_boot(db: TestDb) {
        let twice = Made::new("twice", |env| {
            for _ in 0..2 {
                env.extension(&ENTITY).on_entity_changed("thing", Delivery::work_queue("sync"), |_, _| async { Ok(()) })?;
            }
            Ok(())
        });
        let boot = Kit::new(&db).await.plugin(EnginePlugin::new()).plugin(twice).try_boot().await;
        let error = boot.err().expect("the boot fails").to_string();
        assert!(error.contains("twice") && error.contains("sync"), "{error}");
        let blank = Made::new("blank", |env| {
            env.extension(&ENTITY).on_entity_changed("thing", Delivery::work_queue(" "), |_, _| async { Ok(()) }).map(drop)
        });
        let boot = Kit::new(&db).await.plugin(EnginePlugin::new()).plugin(blank).try_boot().await;
        assert!(boot.err().expect("the boot fails").to_string().contains("worker group"));
    }

    async fn unsubscribing_ends_it_before_and_after_the_boot(db: TestDb) {
        let (kept, calls) = (Kept::default(), Arc::new(AtomicUsize::new(0)));
        let subscriptions: Arc<Mutex<Vec<ChangeSubscription>>> = Arc::default();
        let plugin = Made::new("other", {
            let (calls, subscriptions) = (calls.clone(), subscriptions.clone());
            move |env| {
                for group in ["never", "for-a-while"] {
                    let calls = calls.clone();
                    let handler = move |_: EntityChanged, _| {
                        calls.fetch_add(1, Ordering::SeqCst);
                        async { Ok(()) }
                    };
                    let subscription = env.extension(&ENTITY).on_entity_changed("thing", Delivery::work_queue(group), handler)?;
                    subscriptions.lock().unwrap().push(subscription);
                }
                Ok(())
            }
        });
        let mut cancels = Made::new("cancels", |_| Ok(()));
        cancels.init = Some(Box::new({
            let subscriptions = subscriptions.clone();
            move |_| {
                let never = subscriptions.lock().unwrap()[0].clone();
                Box::pin(async move {
                    never.unsubscribe().await;
                    Ok(())
                })
            }
        }));
        let node = Kit::new(&db).await.plugin(EnginePlugin::new()).plugin(owner(&kept)).plugin(plugin).plugin(cancels).boot().await;
        own_table(&db).await;
        write(&node, &kept, "open").await;
        eventually(async || calls.load(Ordering::SeqCst) == 1, "the one that is left").await;
        let left = subscriptions.lock().unwrap().clone();
        for subscription in left.iter().chain(&left) {
            subscription.unsubscribe().await;
        }
        write(&node, &kept, "done").await;
        assert!(stays(async || calls.load(Ordering::SeqCst) == 1).await);
        node.shutdown().await;
    }

    async fn a_kind_that_nobody_defines_is_worth_a_warning(db: TestDb) {
        let calls = Arc::new(AtomicUsize::new(0));
        let node = Kit::new(&db).await.plugin(EnginePlugin::new())
            .plugin(counting("other", Delivery::Broadcast, 0, &calls)).boot().await;
        eventually(async || !node.logs().find(Level::WARN, "nobody defines").is_empty(), "the warning").await;
        node.shutdown().await;
    }
}
