//! What a plugin may not register (`plugins §8`, `§15`), on a real boot.

use automation_core::registry::{
    ACTIONS, Action, ActionCx, ActionDef, ActionResult, Registries, TRIGGERS, TriggerDef,
};
use plugin_api::{BoxError, RegisterEnv, config::ConfigSchema};
use serde_json::{Value, json};
use std::sync::Arc;
use test_kit::{Kit, TestDb, TestPlugin, both_engines};

struct Idle;
#[async_trait::async_trait]
impl Action for Idle {
    type Config = Value;
    async fn execute(&self, _: Value, _: &ActionCx) -> ActionResult {
        ActionResult::ok()
    }
}

/// Why a boot fails in which plugin `shop` registers this; none when it does not.
async fn refused(
    db: &TestDb,
    register: impl FnOnce(&mut RegisterEnv<'_>) -> Result<(), BoxError> + Send + 'static,
) -> Option<String> {
    let engine = TestPlugin::new("automation").register(|env| {
        let registries = Arc::new(Registries::default());
        env.implement(&TRIGGERS, Arc::new(registries.clone()))?;
        Ok(env.implement(&ACTIONS, Arc::new(registries))?)
    });
    let kit = Kit::new(db).await.plugin(engine);
    let shop = TestPlugin::new("shop").register(register);
    match kit.plugin(shop).try_boot().await {
        Ok(node) => {
            node.shutdown().await;
            None
        }
        Err(error) => Some(error.to_string()),
    }
}

async fn refused_action(db: &TestDb, config: ConfigSchema) -> Option<String> {
    let sell = ActionDef::new("sell", Idle).config(config);
    refused(db, |env| env.extension(&ACTIONS).register(sell)).await
}

/// A config with one field.
fn with(field: Value) -> ConfigSchema {
    ConfigSchema {
        version: 1,
        schema: Arc::new(json!({"type": "object", "properties": {"pin": field}})),
        migrations: Vec::new(),
    }
}

both_engines! {
    async fn plugins_19_23_a_broken_migration_chain_of_a_registered_action_is_a_boot_error(db: TestDb) {
        let chain = with(json!({})).migrated("a", Ok).migrated("b", Ok);
        assert_eq!(refused_action(&db, chain.clone()).await, None);
        let mut gap = chain.clone();
        gap.migrations.remove(0);
        let error = refused_action(&db, gap).await.expect("no boot");
        assert!(error.contains("action shop.sell: migration chain has a gap"), "{error}");
        let mut short = chain;
        short.version = 4;
        let error = refused_action(&db, short).await.expect("no boot");
        assert!(error.contains("action shop.sell: migration chain ends at version 3"), "{error}");
    }

    async fn plugins_19_25_a_wrong_annotation_of_a_registered_config_is_a_boot_error(db: TestDb) {
        assert_eq!(refused_action(&db, with(json!({"type": "string", "x-secret": true}))).await, None);
        let cases = [
            (json!({"type": "number", "x-secret": true}), "schema annotation at pin: x-secret: only a string can be a secret"),
            (json!({"type": "string", "x-sercet": true}), "schema annotation at pin: x-sercet: unknown annotation"),
        ];
        for (field, expected) in cases {
            let error = refused_action(&db, with(field.clone())).await.expect("no boot");
            assert!(error.contains(&format!("action shop.sell: {expected}")), "{error}");
            let ring = TriggerDef::entity_driven::<Value>("ring").config(with(field), None);
            let error = refused(&db, |env| env.extension(&TRIGGERS).register(ring)).await.expect("no boot");
            assert!(error.contains(&format!("trigger shop.ring: {expected}")), "{error}");
        }
    }
}
