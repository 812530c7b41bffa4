//! Services between plugins.

use plugin_api::{PluginId, ServiceRef, core, service::ServiceError};
use plugin_runtime::BootError;
use std::sync::{Arc, Mutex};
use test_kit::{Kit, TestDb, TestPlugin, both_engines};

trait Greeter: Send + Sync {
    fn greet(&self) -> String;
}
struct Hello(&'static str);
impl Greeter for Hello {
    fn greet(&self) -> String {
        format!("hello from {}", self.0)
    }
}

const GREETER: ServiceRef<dyn Greeter> = ServiceRef::new("a.greeter");
const SAME_ID: ServiceRef<String> = ServiceRef::new("a.greeter");
const NOBODYS: ServiceRef<u8> = ServiceRef::new("nobody.service");

fn provider() -> TestPlugin {
    TestPlugin::new("a")
        .register(|env| Ok(env.provides(&GREETER)?))
        .init(|ctx| {
            Box::pin(
                async move { Ok(ctx.provide(&GREETER, Arc::new(Hello("a")) as Arc<dyn Greeter>)?) },
            )
        })
}

#[tokio::test]
async fn plugins_19_4_a_dependency_nobody_provides_fails_with_both_ids() {
    let db = TestDb::sqlite().await;
    let consumer = TestPlugin::new("lonely")
        .register(|env| {
            env.requires(&NOBODYS);
            Ok(())
        })
        .init(|ctx| Box::pin(async move { Ok(ctx.get_service(&NOBODYS).map(drop)?) }));
    let error = Kit::new(&db)
        .await
        .plugin(consumer)
        .try_boot()
        .await
        .err()
        .expect("no boot");
    let text = error.to_string();
    assert!(
        text.contains("nobody.service") && text.contains("lonely"),
        "{text}"
    );
}

both_engines! {
    async fn plugins_19_5_a_declared_service_is_there_for_its_consumers_init(db: TestDb) {
        let heard = Arc::new(Mutex::new(String::new()));
        let hears = heard.clone();
        let consumer = TestPlugin::new("consumer")
            .register(|env| { env.requires(&GREETER); Ok(()) })
            .init(move |ctx| {
                let hears = hears.clone();
                Box::pin(async move {
                    *hears.lock().unwrap() = ctx.get_service(&GREETER)?.greet();
                    Ok(())
                })
            });
        let node = Kit::new(&db).await.plugin(consumer).plugin(provider()).boot().await;
        assert_eq!(*heard.lock().unwrap(), "hello from a");
        node.shutdown().await;

        let forgetful = TestPlugin::new("a").register(|env| Ok(env.provides(&GREETER)?));
        let error = Kit::new(&db).await.plugin(forgetful).try_boot().await.err().expect("no boot");
        assert!(matches!(&error, BootError::NotProvided { service: "a.greeter", .. }), "{error}");
    }
}

#[tokio::test]
async fn plugins_19_6_own_other_unknown_and_mistyped_services() {
    let db = TestDb::sqlite().await;
    let results = Arc::new(Mutex::new(Vec::new()));
    let asks = results.clone();
    let early = TestPlugin::new("early").init(move |ctx| {
        // Its provider comes later and no dependency was declared.
        asks.lock().unwrap().push(ctx.get_service(&GREETER).err());
        Box::pin(async { Ok(()) })
    });
    let node = Kit::new(&db)
        .await
        .plugin(early)
        .plugin(provider())
        .boot()
        .await;
    let greeter = |consumer| node.service(consumer, &GREETER).map(|g| g.greet());
    assert_eq!(greeter("other").as_deref(), Ok("hello from a"));
    assert_eq!(greeter("a").as_deref(), Ok("hello from a"));
    let consumer = PluginId::new("other");
    assert_eq!(
        node.service("other", &NOBODYS),
        Err(ServiceError::Unknown {
            service: "nobody.service",
            consumer: consumer.clone()
        })
    );
    assert_eq!(
        node.service("other", &SAME_ID),
        Err(ServiceError::TypeMismatch {
            service: "a.greeter",
            consumer
        })
    );
    assert!(node.services("other").optional(&NOBODYS).unwrap().is_none());
    assert_eq!(
        *results.lock().unwrap(),
        [Some(ServiceError::NotReady {
            service: "a.greeter",
            provider: PluginId::new("a"),
            consumer: PluginId::new("early"),
        })]
    );
    node.shutdown().await;
}

#[tokio::test]
async fn a_service_id_is_registered_once_and_only_by_who_declared_it() {
    let db = TestDb::sqlite().await;
    let thief = |declares: bool| {
        TestPlugin::new("thief")
            .register(move |env| {
                if declares {
                    Ok(env.provides(&GREETER)?)
                } else {
                    Ok(())
                }
            })
            .init(|ctx| {
                Box::pin(async move {
                    Ok(ctx.provide(&GREETER, Arc::new(Hello("thief")) as Arc<dyn Greeter>)?)
                })
            })
    };
    for declares in [true, false] {
        let kit = Kit::new(&db)
            .await
            .plugin(provider())
            .plugin(thief(declares));
        let error = kit.try_boot().await.err().expect("no boot").to_string();
        assert!(
            error.contains("a.greeter") && error.contains("thief"),
            "{error}"
        );
    }
    let undeclared = Kit::new(&db).await.plugin(thief(false));
    let error = undeclared
        .try_boot()
        .await
        .err()
        .expect("no boot")
        .to_string();
    assert!(error.contains("without declaring"), "{error}");
}

#[tokio::test]
async fn a_factory_knows_its_consumer_and_wins_over_an_instance() {
    const NAME: ServiceRef<String> = ServiceRef::new("a.name");
    let db = TestDb::sqlite().await;
    let plugin = TestPlugin::new("a")
        .register(|env| Ok(env.provide(&NAME, Arc::new("instance".to_owned()))?))
        .init(|ctx| {
            Box::pin(async move {
                Ok(ctx.provide_factory(&NAME, |consumer| Arc::new(format!("for {consumer}")))?)
            })
        });
    let node = Kit::new(&db).await.plugin(plugin).boot().await;
    assert_eq!(*node.service("b", &NAME).unwrap(), "for b");
    // The host's own services are scoped the same way.
    let configs = node.service("b", &core::CONFIG).unwrap();
    assert_eq!(configs.list().await.unwrap(), Vec::<String>::new());
    assert!(node.service("b", &core::QUEUES).is_ok());
    node.shutdown().await;
}
