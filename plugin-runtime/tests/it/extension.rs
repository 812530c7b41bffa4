//! Extension points, in any order.

use crate::boot::Story;
use plugin_api::{
    BoxError, PluginId,
    extension::{Calls, ExtensionPoint, Implements, Point},
};
use plugin_runtime::BootError;
use std::sync::Arc;
use test_kit::{Kit, TestDb, TestPlugin};

struct Names;
struct NamesFront<'a>(Calls<'a, Names>);
impl Point for Names {
    const ID: &'static str = "owner.names";
    type Call = String;
    type Front<'a> = NamesFront<'a>;
    fn front(calls: Calls<'_, Self>) -> Self::Front<'_> {
        NamesFront(calls)
    }
}
impl NamesFront<'_> {
    fn add(&self, name: &str) -> Result<(), BoxError> {
        self.0.send(name.to_owned())
    }
}
const NAMES: ExtensionPoint<Names> = ExtensionPoint::new();

struct Registry(Story);
impl Implements<Names> for Registry {
    fn apply(&self, caller: &PluginId, name: String) -> Result<(), BoxError> {
        if name == "bad" {
            return Err("a bad name".into());
        }
        self.0.add(format!("{caller}:{name}"));
        Ok(())
    }
}

fn owner(story: &Story) -> TestPlugin {
    let registry = Arc::new(Registry(story.clone()));
    TestPlugin::new("owner").register(move |env| Ok(env.implement(&NAMES, registry)?))
}

fn caller(id: &'static str, names: &'static [&'static str]) -> TestPlugin {
    TestPlugin::new(id)
        .register(move |env| names.iter().try_for_each(|n| env.extension(&NAMES).add(n)))
}

#[tokio::test]
async fn plugins_19_7_calls_before_the_implementation_are_replayed_in_order() {
    let db = TestDb::sqlite().await;
    let story = Story::default();
    let kit = Kit::new(&db)
        .await
        .plugin(caller("x", &["1", "2"]))
        .plugin(caller("y", &["3"]))
        .plugin(owner(&story))
        .plugin(caller("z", &["4"]));
    kit.boot().await.shutdown().await;
    assert_eq!(story.lines(), ["x:1", "x:2", "y:3", "z:4"]);

    for kit in [
        Kit::new(&db)
            .await
            .plugin(caller("x", &["bad"]))
            .plugin(owner(&story)),
        Kit::new(&db)
            .await
            .plugin(owner(&story))
            .plugin(caller("x", &["bad"])),
    ] {
        let error = kit.try_boot().await.err().expect("no boot").to_string();
        assert!(
            error.contains("plugin x") && error.contains("a bad name"),
            "{error}"
        );
    }

    let kit = Kit::new(&db)
        .await
        .plugin(caller("x", &["1"]))
        .plugin(caller("y", &["2"]));
    let error = kit.try_boot().await.err().expect("no boot");
    assert!(matches!(&error, BootError::Extension(_)), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("owner.names") && text.contains("\"x\"") && text.contains("\"y\""),
        "{text}"
    );

    let second = TestPlugin::new("second").register({
        let registry = Arc::new(Registry(story.clone()));
        move |env| Ok(env.implement(&NAMES, registry)?)
    });
    let kit = Kit::new(&db).await.plugin(owner(&story)).plugin(second);
    let error = kit.try_boot().await.err().expect("no boot").to_string();
    assert!(
        error.contains("owner.names") && error.contains("second"),
        "{error}"
    );
}

#[tokio::test]
async fn optional_calls_without_implementation_are_dropped() {
    let db = TestDb::sqlite().await;
    let optional = TestPlugin::new("x").register(|env| env.extension_optional(&NAMES).add("1"));
    Kit::new(&db)
        .await
        .plugin(optional)
        .boot()
        .await
        .shutdown()
        .await;
}
