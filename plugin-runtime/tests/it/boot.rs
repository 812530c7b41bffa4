//! Ids, order, observers, failures, shutdown.

use plugin_api::{
    BootEvent, BoxError, ServiceRef,
    core::{self, PLATFORM_SHUTDOWN, PLUGIN_DEREGISTERING, PlatformShutdown, PluginDeregistering},
    hook::{Hook, HookMode},
    http::Routes,
};
use plugin_runtime::BootError;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use test_kit::{Kit, TestDb, TestPlugin, both_engines, eventually};
use tracing::Level;

/// What happened, in order.
#[derive(Clone, Default)]
pub struct Story(Arc<Mutex<Vec<String>>>);

impl Story {
    pub fn add(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

const NUMBER: ServiceRef<u32> = ServiceRef::new("a.number");
const WORD: ServiceRef<u32> = ServiceRef::new("b.word");

/// A plugin that tells of each of its phases.
fn telling(id: &'static str, story: &Story) -> TestPlugin {
    let (init, ready, cleanup) = (story.clone(), story.clone(), story.clone());
    TestPlugin::new(id)
        .init(move |_| {
            init.add(format!("{id}.init"));
            Box::pin(async { Ok(()) })
        })
        .ready(move |_| {
            ready.add(format!("{id}.ready"));
            Box::pin(async { Ok(()) })
        })
        .cleanup(move || {
            cleanup.add(format!("{id}.cleanup"));
            Box::pin(async { Ok(()) })
        })
}

#[tokio::test]
async fn plugins_19_1_duplicate_reserved_and_malformed_ids_fail_the_boot() {
    let db = TestDb::sqlite().await;
    let kit = Kit::new(&db).await;
    let twice = kit
        .plugin(TestPlugin::new("twin"))
        .plugin(TestPlugin::new("twin"));
    let error = twice.try_boot().await.err().expect("no boot");
    assert!(matches!(&error, BootError::DuplicateId { plugin } if plugin.as_str() == "twin"));
    let long = "x".repeat(65);
    for id in ["core", "A_b", "", "1a", "a_b", &long] {
        let kit = Kit::new(&db).await.plugin(TestPlugin::new(id));
        let error = kit.try_boot().await.err().expect("no boot");
        assert!(
            matches!(&error, BootError::MalformedId { .. }),
            "{id}: {error}"
        );
        assert_eq!(error.plugin().unwrap().as_str(), id);
    }
    let edge = "x".repeat(64);
    let kit = Kit::new(&db).await.plugin(TestPlugin::new(edge));
    kit.boot().await.shutdown().await;
}

both_engines! {
    async fn plugins_19_2_providers_come_first_in_every_phase(db: TestDb) {
        let story = Story::default();
        let consumer = telling("consumer", &story).register(|env| {
            env.requires(&NUMBER);
            Ok(())
        });
        let provider_story = story.clone();
        let provider = telling("a", &story)
            .register(|env| Ok(env.provides(&NUMBER)?))
            .init(move |ctx| {
                provider_story.add("a.init");
                Box::pin(async move { Ok(ctx.provide(&NUMBER, Arc::new(7))?) })
            });
        let kit = Kit::new(&db).await.plugin(telling("first", &story)).plugin(consumer).plugin(provider);
        let node = kit.boot().await;
        let plugins: Vec<String> = node.runtime().plugins().iter().map(ToString::to_string).collect();
        assert_eq!(plugins, ["first", "a", "consumer"]);
        node.shutdown().await;
        assert_eq!(story.lines(), [
            "first.init", "a.init", "consumer.init",
            "first.ready", "a.ready", "consumer.ready",
            "consumer.cleanup", "a.cleanup", "first.cleanup",
        ]);
    }
}

const ANNOUNCED: Hook<String> = Hook::new("first.announced");

both_engines! {
    async fn plugins_19_8_an_event_of_the_first_plugin_reaches_a_subscriber_of_the_last(db: TestDb) {
        let story = Story::default();
        let first = TestPlugin::new("first").ready(|ctx| Box::pin(async move {
            Ok(ctx.hooks().emit(&ANNOUNCED, &"early".to_owned()).await?)
        }));
        let hears = story.clone();
        let last = TestPlugin::new("last").ready(move |ctx| {
            let hears = hears.clone();
            Box::pin(async move {
                let heard = move |text: String, _| {
                    hears.add(text);
                    async { Ok(()) }
                };
                ctx.hooks().on(&ANNOUNCED, HookMode::work_queue("last"), heard).await?;
                Ok(())
            })
        });
        let node = Kit::new(&db).await.plugin(first).plugin(last).boot().await;
        eventually(async || story.lines() == ["early"], "the event of the boot").await;
        node.shutdown().await;
    }
}

#[tokio::test]
async fn local_subscribers_hear_of_the_shutdown_before_any_plugin_goes() {
    let db = TestDb::sqlite().await;
    let story = Story::default();
    let hears = story.clone();
    let plugin = telling("a", &story).ready(move |ctx| {
        let (first, second) = (hears.clone(), hears.clone());
        Box::pin(async move {
            let hooks = ctx.hooks();
            let stop = move |event: PlatformShutdown, _| {
                first.add(format!("shutdown: {:?}", event.reason));
                async { Ok(()) }
            };
            hooks
                .on(&PLATFORM_SHUTDOWN, HookMode::InstanceLocal, stop)
                .await?;
            let leave = move |event: PluginDeregistering, _| {
                second.add(format!("{} goes: {:?}", event.plugin_id, event.reason));
                async { Ok(()) }
            };
            hooks
                .on(&PLUGIN_DEREGISTERING, HookMode::InstanceLocal, leave)
                .await?;
            Ok(())
        })
    });
    let node = Kit::new(&db).await.plugin(plugin).boot().await;
    node.shutdown().await;
    assert_eq!(
        story.lines(),
        [
            "a.init",
            "shutdown: Manual",
            "a goes: Shutdown",
            "a.cleanup"
        ]
    );
}

#[tokio::test]
async fn a_local_subscriber_that_hangs_does_not_hold_up_the_shutdown() {
    let db = TestDb::sqlite().await;
    let story = Story::default();
    let plugin = telling("a", &story).ready(|ctx| {
        Box::pin(async move {
            let hang = |_: PlatformShutdown, _| std::future::pending();
            let hooks = ctx.hooks();
            hooks
                .on(&PLATFORM_SHUTDOWN, HookMode::InstanceLocal, hang)
                .await?;
            Ok(())
        })
    });
    let node = Kit::new(&db).await.plugin(plugin).boot().await;
    let (clock, logs) = (node.clock(), node.logs().clone());
    let stop = plugin_api::spawn(node.shutdown());
    eventually(async || clock.next_wake().is_some(), "the time limit").await;
    clock.advance(Duration::from_secs(10));
    test_kit::within(stop, "the shutdown").await.unwrap();
    assert_eq!(story.lines(), ["a.init", "a.cleanup"]);
    let left = "longer than 10 s and was left. hook=core.platform.shutdown";
    assert_eq!(logs.find(Level::ERROR, left).len(), 1);
}

#[tokio::test]
async fn plugins_19_3_a_cycle_names_its_plugins() {
    let db = TestDb::sqlite().await;
    let plugin = |id, mine, other| {
        TestPlugin::new(id).register(move |env| {
            env.provides(mine)?;
            env.requires(other);
            Ok(())
        })
    };
    let kit = Kit::new(&db)
        .await
        .plugin(TestPlugin::new("bystander"))
        .plugin(plugin("a", &NUMBER, &WORD))
        .plugin(plugin("b", &WORD, &NUMBER));
    let error = kit.try_boot().await.err().expect("no boot");
    let BootError::Cycle { plugins } = &error else {
        panic!("{error}");
    };
    let names: Vec<&str> = plugins.iter().map(|p| p.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert!(error.to_string().contains("a → b → a"), "{error}");
}

#[tokio::test]
async fn plugins_19_9_observers_of_initialized_halt_and_of_access_rules_continue() {
    let db = TestDb::sqlite().await;
    let fails_on = |initialized: bool| {
        TestPlugin::new("watcher").register(move |env| {
            env.access_rules(&[plugin_api::AccessRule::new("watcher.read", "Watch")])?;
            env.observe_boot(move |event| match event {
                BootEvent::PluginInitialized { plugin } if initialized => {
                    Err(BoxError::from(format!("no {plugin}")))
                }
                BootEvent::AccessRulesRegistered { rules, .. } => {
                    Err(BoxError::from(format!("no {}", rules[0].id)))
                }
                BootEvent::PluginInitialized { .. } => Ok(()),
            });
            Ok(())
        })
    };
    let story = Story::default();
    let kit = Kit::new(&db)
        .await
        .plugin(telling("one", &story))
        .plugin(telling("two", &story))
        .plugin(fails_on(true));
    let error = kit.try_boot().await.err().expect("no boot");
    assert!(
        matches!(&error, BootError::Observer { plugin, observer, .. } if plugin.as_str() == "one" && observer.as_str() == "watcher"),
        "{error}"
    );
    // What had been initialised is cleaned up, and nothing else was started.
    assert_eq!(story.lines(), ["one.init", "one.cleanup"]);

    let kit = Kit::new(&db).await.plugin(fails_on(false));
    let node = kit.boot().await;
    let errors = node
        .logs()
        .find(Level::ERROR, "core.accessRules.registered");
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].to_string().contains("no watcher.read"));
    assert_eq!(errors[1].fields["failed"], "1");
    let rules = node.runtime().access_rules();
    assert!(rules.iter().any(|(_, r)| r.id == "watcher.read"));
    node.shutdown().await;
}

#[tokio::test]
async fn errors_of_each_phase_name_plugin_and_phase() {
    let db = TestDb::sqlite().await;
    let broken = |phase: &'static str| {
        let fails = move |at: &'static str| {
            if phase == at {
                Err("oh".into())
            } else {
                Ok(())
            }
        };
        TestPlugin::new("broken")
            .register(move |_| fails("register"))
            .init(move |_| Box::pin(async move { fails("init") }))
            .ready(move |ctx| {
                ctx.on_started(move || async move { fails("on_started") });
                Box::pin(async move { fails("after_plugins_ready") })
            })
    };
    for phase in ["register", "init", "after_plugins_ready", "on_started"] {
        let kit = Kit::new(&db).await.plugin(broken(phase));
        let error = kit.try_boot().await.err().expect("no boot");
        assert_eq!(error.phase(), phase);
        assert_eq!(error.plugin().unwrap().as_str(), "broken");
        let text = error.to_string();
        assert!(text.contains("broken") && text.contains(phase), "{text}");
    }
    Kit::new(&db)
        .await
        .plugin(broken("none"))
        .boot()
        .await
        .shutdown()
        .await;
}

both_engines! {
    async fn a_panic_in_a_phase_is_the_boot_error_of_that_plugin_and_phase(db: TestDb) {
        let story = Story::default();
        let broken = |phase: &'static str| {
            let fails = move |at: &'static str| {
                assert_ne!(phase, at, "oh");
                Ok(())
            };
            TestPlugin::new("broken")
                .register(move |env| {
                    env.observe_boot(move |event| match event {
                        BootEvent::PluginInitialized { .. } => fails("observer"),
                        BootEvent::AccessRulesRegistered { .. } => Ok(()),
                    });
                    fails("register")
                })
                .init(move |_| Box::pin(async move { fails("init") }))
                .ready(move |ctx| {
                    ctx.on_started(move || async move { fails("on_started") });
                    // Before there is a future.
                    fails("after_plugins_ready").ok();
                    Box::pin(async { Ok(()) })
                })
        };
        for phase in ["register", "init", "observer", "after_plugins_ready", "on_started"] {
            let kit = Kit::new(&db).await.plugin(telling("one", &story)).plugin(broken(phase));
            let error = kit.try_boot().await.err().expect("no boot");
            assert_eq!(error.phase(), if phase == "observer" { "init" } else { phase });
            assert_eq!(error.plugin().unwrap().as_str(), "broken");
            assert!(error.to_string().contains("panicked"), "{error}");
            assert_eq!(story.lines().last().map(String::as_str), (phase != "register").then_some("one.cleanup"));
        }
    }

    async fn routes_that_cannot_be_told_apart_fail_the_boot_and_others_are_cleaned_up(db: TestDb) {
        let story = Story::default();
        let both = TestPlugin::new("both").init(|ctx| {
            // The router refuses the second by a panic, while the runtime writes the declarations.
            let first = ctx.routes(Routes::new().get("/things/{id}", &core::READ, async || ""));
            let second = ctx.routes(Routes::new().get("/things/{name}", &core::READ, async || ""));
            Box::pin(async move { first.and(second) })
        });
        let kit = Kit::new(&db).await.plugin(telling("one", &story)).plugin(both);
        let error = kit.try_boot().await.err().expect("no boot");
        assert_eq!((error.phase(), error.plugin().unwrap().as_str()), ("init", "both"));
        assert_eq!(story.lines(), ["one.init", "one.cleanup"]);
    }
}

#[tokio::test]
async fn a_clean_up_that_panics_disturbs_no_other() {
    let db = TestDb::sqlite().await;
    let story = Story::default();
    let tell = story.clone();
    let plugin = TestPlugin::new("a")
        .init(move |ctx| {
            let tell = tell.clone();
            ctx.on_cleanup(move || async move {
                tell.add("handler 1");
                Ok(())
            });
            ctx.on_cleanup(|| async { panic!("a handler that panics") });
            Box::pin(async { Ok(()) })
        })
        .cleanup(|| panic!("a plugin that panics"));
    let kit = Kit::new(&db)
        .await
        .plugin(telling("first", &story))
        .plugin(plugin);
    let node = kit.boot().await;
    let logs = node.logs().clone();
    node.shutdown().await;
    assert_eq!(
        story.lines(),
        ["first.init", "first.ready", "handler 1", "first.cleanup"]
    );
    for panic in ["a handler that panics", "a plugin that panics"] {
        assert_eq!(logs.find(Level::ERROR, panic).len(), 1, "{panic}");
    }
    assert_eq!(logs.find(Level::INFO, "Stopped.").len(), 1);
}

#[tokio::test]
async fn started_callbacks_run_after_every_plugin_is_ready() {
    let db = TestDb::sqlite().await;
    let story = Story::default();
    let early = story.clone();
    let first = TestPlugin::new("first").ready(move |ctx| {
        let early = early.clone();
        ctx.on_started(move || async move {
            early.add("first.started");
            Ok(())
        });
        Box::pin(async { Ok(()) })
    });
    let kit = Kit::new(&db)
        .await
        .plugin(first)
        .plugin(telling("last", &story));
    let node = kit.boot().await;
    assert_eq!(story.lines(), ["last.init", "last.ready", "first.started"]);
    node.shutdown().await;
}

#[tokio::test]
async fn cleanups_run_last_in_first_out_and_none_disturbs_another() {
    let db = TestDb::sqlite().await;
    let story = Story::default();
    let tell = story.clone();
    let plugin = telling("a", &story).init(move |ctx| {
        for n in 1..=3 {
            let tell = tell.clone();
            ctx.on_cleanup(move || async move {
                tell.add(format!("handler {n}"));
                if n == 2 {
                    Err("a handler that fails".into())
                } else {
                    Ok(())
                }
            });
        }
        Box::pin(async { Ok(()) })
    });
    let hanging = TestPlugin::new("hanging").cleanup(|| Box::pin(std::future::pending()));
    let kit = Kit::new(&db).await.plugin(plugin).plugin(hanging);
    let node = kit.boot().await;
    let (clock, logs) = (node.clock(), node.logs().clone());
    let stop = plugin_api::spawn(node.shutdown());
    // The hanging one, cleaned up first, is left after its 10 s.
    eventually(async || clock.next_wake().is_some(), "the time limit").await;
    clock.advance(Duration::from_secs(10));
    test_kit::within(stop, "the shutdown").await.unwrap();
    assert_eq!(
        story.lines(),
        [
            "a.ready",
            "handler 3",
            "handler 2",
            "handler 1",
            "a.cleanup"
        ]
    );
    assert_eq!(logs.find(Level::ERROR, "a handler that fails").len(), 1);
    assert_eq!(
        logs.find(
            Level::ERROR,
            "longer than 10 s and was left. plugin=hanging"
        )
        .len(),
        1
    );
}
