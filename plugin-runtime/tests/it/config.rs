//! The config store: versions, nested secrets, annotations.

use crate::boot::Story;
use plugin_api::{
    Doc, PluginId,
    config::{ConfigError, ConfigSchema, Configs, Redacted, StoredConfig, annotations},
    core::{CONFIG, CONFIG_UPDATED},
    db::Sql,
    hook::{Hook, HookMode},
};
use plugin_runtime::{
    ConfigKey,
    config::claim::{self, ClaimError},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{collections::BTreeMap, error::Error, sync::Arc};
use test_kit::{Kit, Node, TestDb, TestPlugin, both_engines, eventually};

const RAW: Sql = Sql {
    sqlite: "select data from core_configs where plugin_id = $1 and config_id = $2",
    postgres: "select data from signalbox.core_configs where plugin_id = $1 and config_id = $2",
};
const REPLACE: Sql = Sql {
    sqlite: "update core_configs set data = $1, version = $2",
    postgres: "update signalbox.core_configs set data = $1, version = $2",
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Login {
    id: String,
    #[schemars(extend("x-secret" = true))]
    password: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Settings {
    url: String,
    #[schemars(extend("x-secret" = true))]
    token: Option<String>,
    logins: Vec<Login>,
    #[serde(default)]
    by_name: BTreeMap<String, Login>,
}

fn settings() -> Settings {
    let login = |id: &str, password: &str| Login {
        id: id.into(),
        password: password.into(),
    };
    Settings {
        url: "https://x".into(),
        token: Some("hunter2".into()),
        logins: vec![login("a", "pass-a"), login("b", "pass-b")],
        by_name: BTreeMap::from([("n".into(), login("c", "pass-c"))]),
    }
}

async fn configs(node: &Node) -> Arc<Configs> {
    node.service("mine", &CONFIG).unwrap()
}

both_engines! {
    async fn plugins_19_24_nested_secrets_stay_encrypted_hidden_and_kept(db: TestDb) {
        let node = Kit::new(&db).await.boot().await;
        let configs = configs(&node).await;
        let schema = ConfigSchema::of::<Settings>();
        configs.set("main", &schema, &settings()).await.unwrap();

        let raw: Doc = db.db().sql(RAW).bind("mine".to_owned()).bind("main".to_owned()).one().await.unwrap();
        let text = raw.0.to_string();
        for secret in ["hunter2", "pass-a", "pass-b", "pass-c"] {
            assert!(!text.contains(secret), "{text}");
        }
        assert!(text.contains("https://x"));
        assert_eq!(configs.get::<Settings>("main", &schema).await.unwrap(), Some(settings()));
        assert_eq!(
            configs.get_redacted("main", &schema).await.unwrap(),
            Some(Redacted {
                data: json!({"url": "https://x", "logins": [{"id": "a"}, {"id": "b"}], "by_name": {"n": {"id": "c"}}}),
                secrets_set: ["by_name.n.password", "logins[0].password", "logins[1].password", "token"].map(String::from).to_vec(),
            })
        );

        // A write with blanks keeps what is stored, matched by id.
        let mut update = settings();
        update.token = None;
        update.logins.reverse();
        update.logins.iter_mut().for_each(|l| l.password = String::new());
        update.by_name.clear();
        update.url = "https://y".into();
        configs.set("main", &schema, &update).await.unwrap();
        let now = configs.get::<Settings>("main", &schema).await.unwrap().unwrap();
        assert_eq!(now.token.as_deref(), Some("hunter2"));
        let passwords: Vec<&str> = now.logins.iter().map(|l| l.password.as_str()).collect();
        assert_eq!(passwords, ["pass-b", "pass-a"]);
        assert_eq!((now.url.as_str(), now.by_name.len()), ("https://y", 0));

        // A plugin sees only its own; deleting twice is fine.
        let other = node.service("other", &CONFIG).unwrap();
        assert_eq!(other.get::<Settings>("main", &schema).await.unwrap(), None);
        assert_eq!(configs.list().await.unwrap(), ["main"]);
        configs.delete("main").await.unwrap();
        configs.delete("main").await.unwrap();
        assert_eq!(configs.list().await.unwrap(), Vec::<String>::new());
        node.shutdown().await;
    }

    async fn plugins_18_9_a_secret_of_a_variant_goes_with_the_variant(db: TestDb) {
        #[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(tag = "type")]
        enum Auth {
            Basic { user: String, #[schemars(extend("x-secret" = true))] password: String },
            Bearer { #[schemars(extend("x-secret" = true))] token: String },
        }
        #[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        struct Endpoint { auth: Auth }
        let node = Kit::new(&db).await.boot().await;
        let configs = configs(&node).await;
        let schema = ConfigSchema::of::<Endpoint>();
        let basic = Endpoint { auth: Auth::Basic { user: "u".into(), password: "hunter2".into() } };
        configs.set("main", &schema, &basic).await.unwrap();
        let bearer = Endpoint { auth: Auth::Bearer { token: "swordfish".into() } };
        configs.set("main", &schema, &bearer).await.unwrap();
        let raw: Doc = db.db().sql(RAW).bind("mine".to_owned()).bind("main".to_owned()).one().await.unwrap();
        let stored: Vec<&String> = raw.0["auth"].as_object().unwrap().keys().collect();
        assert_eq!(stored, ["type", "token"], "{}", raw.0);
        assert_eq!(configs.get("main", &schema).await.unwrap(), Some(bearer));
        assert_eq!(
            configs.get_redacted("main", &schema).await.unwrap(),
            Some(Redacted { data: json!({"auth": {"type": "Bearer"}}), secrets_set: vec!["auth.token".into()] })
        );
        node.shutdown().await;
    }

    async fn a_stored_config_is_announced_without_its_value(db: TestDb) {
        let heard = Story::default();
        let hears = heard.clone();
        let watcher = TestPlugin::new("watcher").ready(move |ctx| {
            let hears = hears.clone();
            Box::pin(async move {
                let updated = move |event: Value, _| {
                    hears.add(event.to_string());
                    async { Ok(()) }
                };
                let hook: Hook<Value> = Hook::new(CONFIG_UPDATED.id);
                ctx.hooks().on(&hook, HookMode::Broadcast, updated).await?;
                Ok(())
            })
        });
        let node = Kit::new(&db).await.plugin(watcher).boot().await;
        let configs = configs(&node).await;
        let schema = ConfigSchema::of::<Settings>();
        let mut broken = schema.clone();
        broken.version = 2;
        assert!(configs.set("main", &broken, &settings()).await.is_err());
        configs.set("main", &schema, &settings()).await.unwrap();
        let expected = [r#"{"pluginId":"mine","key":"main"}"#];
        eventually(async || heard.lines() == expected, "the announcement").await;
        node.shutdown().await;
    }

    async fn plugins_19_24_another_key_is_an_error_not_ciphertext(db: TestDb) {
        let schema = ConfigSchema::of::<Settings>();
        let node = Kit::new(&db).await.boot().await;
        configs(&node).await.set("main", &schema, &settings()).await.unwrap();
        node.shutdown().await;

        let other = || ConfigKey::new([8; 32]);
        let kit = async || Kit::new(&db).await.configure(|b| b.config_key(other()));
        // A node with another key does not start, unless somebody says that this is the key now.
        let refused = kit().await.try_boot().await.err().expect("no boot");
        let mismatch = refused.source().and_then(|e| e.downcast_ref()).and_then(|e| match e {
            ClaimError::Mismatch(m) => Some(m),
            ClaimError::Db(_) => None,
        });
        let own = ConfigKey::new([7; 32]);
        assert_eq!(
            mismatch.map(|m| (m.own.as_str(), m.database.as_str())),
            Some((other().fingerprint(), own.fingerprint())),
            "{refused}"
        );
        let again = Kit::new(&db).await.boot().await;
        claim::replace(db.db(), &*again.clock(), &other()).await.unwrap();
        again.shutdown().await;
        let node = kit().await.boot().await;
        let error = configs(&node).await.get::<Settings>("main", &schema).await.unwrap_err();
        assert!(matches!(&error, ConfigError::Secret { .. }), "{error}");
        assert!(!error.to_string().contains("enc:"), "{error}");
        // A blank keeps nothing that is lost: the error names the field, and the row stays for the right key.
        let configs = configs(&node).await;
        let row = async || db.db().sql(RAW).bind("mine".to_owned()).bind("main".to_owned()).one::<Doc>().await.unwrap().0;
        let before = row().await;
        let mut blank = settings();
        blank.logins.reverse();
        blank.logins[0].password.clear();
        let error = configs.set("main", &schema, &blank).await.unwrap_err().to_string();
        assert!(error.contains("logins[0].password") && error.contains("enter it again"), "{error}");
        assert!(!error.contains("enc:"), "{error}");
        assert_eq!(row().await, before);
        // With every secret entered again it goes through.
        configs.set("main", &schema, &settings()).await.unwrap();
        assert_eq!(configs.get::<Settings>("main", &schema).await.unwrap(), Some(settings()));
        node.shutdown().await;
    }

    async fn plugins_19_23_an_old_record_is_migrated_when_read(db: TestDb) {
        #[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        struct V3 { seconds: i64 }
        let steps = Story::default();
        let (first, second) = (steps.clone(), steps.clone());
        let v3 = ConfigSchema::of::<V3>()
            .migrated("minutes instead of hours", move |data| {
                first.add("1");
                Ok(json!({"minutes": data["hours"].as_i64().unwrap() * 60}))
            })
            .migrated("seconds instead of minutes", move |data| {
                second.add("2");
                Ok(json!({"seconds": data["minutes"].as_i64().unwrap() * 60}))
            });
        let node = Kit::new(&db).await.boot().await;
        let configs = configs(&node).await;
        configs.set("main", &v3, &V3 { seconds: 1 }).await.unwrap();
        let write = |version: i64| db.db().sql(REPLACE).bind(Doc(json!({"hours": 2}))).bind(version).execute();
        write(1).await.unwrap();
        assert_eq!(configs.get::<V3>("main", &v3).await.unwrap(), Some(V3 { seconds: 7200 }));
        assert_eq!(steps.lines(), ["1", "2"]);
        write(4).await.unwrap();
        let error = configs.get::<V3>("main", &v3).await.unwrap_err();
        assert!(matches!(error, ConfigError::Newer { found: 4, current: 3 }), "{error}");
        node.shutdown().await;
    }

    async fn what_does_not_fit_the_schema_is_refused_by_place_and_without_values(db: TestDb) {
        let node = Kit::new(&db).await.boot().await;
        let store = node.runtime().kernel().configs();
        let schema = ConfigSchema::of::<Settings>();
        let bad = json!({"url": 7, "logins": [{"id": "a", "password": ["hunter2"]}]});
        let error = store.set(&PluginId::new("mine"), "main", &schema, bad).await.unwrap_err().to_string();
        assert!(error.contains("logins") && !error.contains("hunter2"), "{error}");
        let bad = json!({"url": "x", "logins": [{"password": "p"}]});
        let error = store.set(&PluginId::new("mine"), "main", &schema, bad).await.unwrap_err().to_string();
        assert!(error.contains("/logins/0") && error.contains("\"id\""), "{error}");
        node.shutdown().await;
    }
}

#[test]
fn plugins_19_23_versions_are_stamped_and_the_first_one_is_remembered() {
    let now = plugin_api::Ts::parse("2026-01-15T12:00:00Z").unwrap();
    let later = now.plus_millis(1000);
    let v2 = ConfigSchema::of::<Value>().migrated("a", Ok);
    let v3 = v2.clone().migrated("b", Ok);
    let old = StoredConfig {
        version: 1,
        data: json!({}),
        migrated_at: None,
        original_version: None,
    };
    assert!(v3.needs_migration(&old));
    let at_two = v2.parse_record(old.clone(), now).unwrap();
    assert_eq!(
        (at_two.version, at_two.migrated_at, at_two.original_version),
        (2, Some(now), Some(1))
    );
    let at_three = v3.parse_record(at_two.clone(), later).unwrap();
    assert_eq!(
        (
            at_three.version,
            at_three.migrated_at,
            at_three.original_version
        ),
        (3, Some(later), Some(1))
    );
    assert_eq!(v3.parse_record(at_three.clone(), now).unwrap(), at_three);
    assert!(matches!(
        v2.parse_record(at_three, now),
        Err(ConfigError::Newer {
            found: 3,
            current: 2
        })
    ));
}

#[test]
fn plugins_19_23_gaps_wrong_steps_and_short_chains_are_found() {
    let chain = ConfigSchema::of::<Value>()
        .migrated("a", Ok)
        .migrated("b", Ok);
    chain.check().unwrap();
    let mut gap = chain.clone();
    gap.migrations.remove(0);
    assert!(matches!(
        gap.check(),
        Err(ConfigError::Gap { expected: 1, .. })
    ));
    // Nor is a step left out unseen when a record is read.
    assert!(matches!(
        gap.migrate(1, json!({})),
        Err(ConfigError::Gap { expected: 1, .. })
    ));
    let mut jump = chain.clone();
    jump.migrations[1].from = 3;
    assert!(matches!(
        jump.check(),
        Err(ConfigError::Gap { expected: 2, .. })
    ));
    let mut short = chain.clone();
    short.version = 4;
    assert!(matches!(
        short.check(),
        Err(ConfigError::Short { end: 3, current: 4 })
    ));
    let failing = ConfigSchema::of::<Value>().migrated("halves", |_| Err("odd".into()));
    let error = failing
        .migrate_assuming_v1(json!(1))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("version 1") && error.contains("halves") && error.contains("odd"),
        "{error}"
    );
}

#[test]
fn plugins_19_25_a_secret_is_found_under_every_wrapper() {
    let secret = json!({"type": ["string", "null"], "x-secret": true});
    let schema = json!({
        "$defs": {
            "Inner": {"type": "object", "properties": {"pin": secret}},
            "Wrapped": {"anyOf": [{"$ref": "#/$defs/Inner"}, {"type": "null"}]},
            "Masked": secret,
            "Node": {"properties": {"pin": secret, "next": {"$ref": "#/$defs/Node"}}},
        },
        "properties": {
            "a": {"anyOf": [{"allOf": [{"$ref": "#/$defs/Wrapped"}], "default": null}, {"type": "null"}]},
            "chain": {"$ref": "#/$defs/Node"},
            "kind": {"oneOf": [
                {"properties": {"type": {"const": "open"}, "value": {"type": "string"}}},
                {"properties": {"type": {"const": "closed"}, "value": {"type": "string", "x-secret": true}}},
            ]},
            "pair": {"prefixItems": [{"type": "string"}, {"type": "string", "x-secret": true}]},
            "env": {"type": "object", "x-secret-env": true},
            "script": {"type": "string", "x-editor-types": ["shell"]},
            "text": {"type": "string", "x-editor-types": ["markdown"]},
            "masked": {"$ref": "#/$defs/Masked", "x-editor-types": ["shell"]},
        },
    });
    annotations::check(&schema).unwrap();
    let find = |data: Value| -> Vec<String> {
        annotations::locate(&schema, &data)
            .iter()
            .map(|m| format!("{} {:?}", m.path, m.mark))
            .collect()
    };
    assert_eq!(find(json!({"a": {"pin": "1"}})), ["a.pin Secret"]);
    assert_eq!(
        find(json!({"chain": {"pin": "1", "next": {"next": {"pin": "2"}}}})),
        ["chain.next.next.pin Secret", "chain.pin Secret"]
    );
    assert_eq!(
        find(json!({"kind": {"type": "closed", "value": "x"}})),
        ["kind.value Secret"]
    );
    assert_eq!(
        find(json!({"kind": {"type": "open", "value": "x"}})),
        Vec::<String>::new()
    );
    assert_eq!(find(json!({"pair": ["x", "y"]})), ["pair[1] Secret"]);
    assert_eq!(
        find(json!({"env": {"A": "b"}, "script": "x", "text": "y"})),
        ["env SecretEnv", "script Code"]
    );
    // Of two marks the stricter counts.
    assert_eq!(find(json!({"masked": "x"})), ["masked Secret"]);
}

#[test]
fn plugins_19_25_wrong_annotations_are_refused_with_their_place() {
    let check = |field: Value| {
        let schema = json!({"properties": {"outer": {"properties": {"field": field, "other": {"type": "string"}}}}});
        annotations::check(&schema)
    };
    let cases = [
        (json!({"type": "number", "x-secret": true}), "only a string"),
        (json!({"x-secret": true}), "only a string"),
        (
            json!({"anyOf": [{"type": "string"}, {"type": "integer"}], "x-secret": true}),
            "only a string",
        ),
        (json!({"type": "string", "x-secret": "yes"}), "must be true"),
        (
            json!({"type": "string", "x-sercet": true}),
            "unknown annotation",
        ),
        (
            json!({"type": "string", "x-editor-types": ["vim"]}),
            "none of",
        ),
        (
            json!({"type": "string", "x-depends-on": ["nowhere"]}),
            "no sibling field `nowhere`",
        ),
        (
            json!({"type": "string", "x-hidden-when": {"nowhere": [1]}}),
            "no sibling field `nowhere`",
        ),
        (
            json!({"type": "string", "x-hidden-when": {"other": 1}}),
            "must be a list",
        ),
        (
            json!({"type": "string", "x-options-resolver": 1}),
            "must be a text",
        ),
    ];
    for (field, expected) in cases {
        let error = check(field.clone())
            .expect_err(&field.to_string())
            .to_string();
        assert!(
            error.contains("outer.field") && error.contains(expected),
            "{field}: {error}"
        );
    }
    check(json!({"type": ["string", "null"], "default": null, "x-secret": true, "x-depends-on": ["other"], "x-hidden-when": {"other": ["a"]}})).unwrap();
}
