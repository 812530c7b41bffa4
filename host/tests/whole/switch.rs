//! A check strategy whose targets are up, down or slow as the test says.

use async_trait::async_trait;
use healthcheck_plugin::strategies::{CollectCx, Collected, CollectorDef, Session, Strategy};
use plugin_api::{Clock, config::ConfigSchema};
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

/// What a target does when it is checked.
#[derive(Clone, Copy, Default)]
pub struct Target {
    pub down: bool,
    /// How long it takes to answer, in milliseconds of the test's clock.
    pub slow_ms: i64,
}

/// What the targets do; one that was not set is up and fast.
#[derive(Clone, Default)]
pub struct Switch(Arc<Mutex<HashMap<String, Target>>>);

impl Switch {
    pub fn set(&self, target: &str, does: Target) {
        self.0.lock().expect("targets").insert(target.into(), does);
    }
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
struct Config {
    timeout: u64,
    target: String,
}

#[async_trait]
impl Strategy for Switch {
    fn id(&self) -> &'static str {
        "healthcheck-switch.switch"
    }
    fn display_name(&self) -> &'static str {
        "Switch"
    }
    fn description(&self) -> &'static str {
        "Says what the test says."
    }
    fn config(&self) -> ConfigSchema {
        ConfigSchema::of::<Config>()
    }
    fn collectors(&self) -> Vec<CollectorDef> {
        Vec::new()
    }
    async fn connect(
        &self,
        config: &Value,
        clock: &Arc<dyn Clock>,
    ) -> Result<Arc<dyn Session>, String> {
        let target = config["target"].as_str().unwrap_or("");
        let does = self.0.lock().expect("targets").get(target).copied();
        let does = does.unwrap_or_default();
        if does.slow_ms > 0 {
            clock
                .sleep_until(clock.now().plus_millis(does.slow_ms))
                .await;
        }
        match does.down {
            true => Err("refused".into()),
            false => Ok(Arc::new(Connected)),
        }
    }
}

struct Connected;
#[async_trait]
impl Session for Connected {
    async fn collect(&self, _: &str, _: &Value, _: &CollectCx) -> Collected {
        Collected::default()
    }
}
