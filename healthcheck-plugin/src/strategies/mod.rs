//! Strategies open a connection, collectors take measurements over it (`healthcheck §3`).
//!
//! A [`Strategy`] validates nothing itself: it publishes the schemas of its config and of its
//! collectors' configs, and the rest of the plugin checks against them when a check is saved. At run
//! time [`Strategy::connect`] gives a [`Session`]; every collector entry of the check is one
//! [`Session::collect`], all at once on the same session; then the session is closed, whatever
//! happened before. Dropping a future of a session must stop its work: that is how time limits act.

mod http;
mod script;
mod tcp;

pub use http::Http;
pub use script::Script;
pub use tcp::Tcp;

use crate::assertions::Field;
use plugin_api::{Clock, config::ConfigSchema, masking::MaskSet};
use script_runner::Places;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use std::sync::Arc;

/// What one collector measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Collected {
    /// Its result fields; none when it failed before there were any.
    pub result: Option<Map<String, Value>>,
    /// Why it failed; makes the run unhealthy (`healthcheck §5.2.4`).
    pub error: Option<String>,
}

impl Collected {
    /// A failure without a result.
    pub fn failed(error: impl Into<String>) -> Self {
        Self {
            result: None,
            error: Some(error.into()),
        }
    }
    /// A result, and perhaps an implicit error beside it (`healthcheck §3.3`).
    pub fn of(result: &impl Serialize, error: Option<String>) -> Self {
        match serde_json::to_value(result) {
            Ok(Value::Object(result)) => Self {
                result: Some(result),
                error,
            },
            Ok(_) => Self::failed("the collector's result is not an object"),
            Err(e) => Self::failed(format!("the collector's result does not serialise: {e}")),
        }
    }
}

/// What a session is given beside an entry's config.
pub struct CollectCx {
    /// Time, for latencies and limits.
    pub clock: Arc<dyn Clock>,
    /// Secrets resolved for this run.
    pub mask: Arc<MaskSet>,
    /// Fields the entry makes assertions on; they switch implicit rules off (`healthcheck §3.3.1`).
    pub asserted: Vec<String>,
    /// What [`Strategy::admit`] has waited for.
    pub places: Option<Arc<Places>>,
}

/// An open connection of one run.
#[async_trait::async_trait]
pub trait Session: Send + Sync {
    /// Takes one measurement. `collector` is a qualified id the strategy published; the config was
    /// checked against its schema when the check was saved, and carries resolved secrets.
    async fn collect(&self, collector: &str, config: &Value, cx: &CollectCx) -> Collected;
    /// Releases the connection. Always called, also after a time limit or a panic.
    async fn close(&self) {}
}

/// A collector as its strategy publishes it.
#[derive(Clone)]
pub struct CollectorDef {
    /// `healthcheck-<strategy>.<name>`.
    pub id: &'static str,
    /// For people.
    pub display_name: &'static str,
    /// Its config.
    pub config: ConfigSchema,
    /// Its result fields.
    pub fields: &'static [Field],
    /// May a check use it more than once?
    pub allow_multiple: bool,
    /// Top-level config keys whose texts may hold `${{ secrets.NAME }}`.
    pub secret_keys: &'static [&'static str],
    /// What the schema cannot say: pairs of config key and message.
    pub check: fn(&Value) -> Vec<(String, String)>,
}

/// A way of checking.
#[async_trait::async_trait]
pub trait Strategy: Send + Sync + 'static {
    /// Qualified id, `healthcheck-<name>.<name>`.
    fn id(&self) -> &'static str;
    /// For people.
    fn display_name(&self) -> &'static str;
    /// For people.
    fn description(&self) -> &'static str;
    /// Its config, with `timeout` in milliseconds, which bounds the whole run.
    fn config(&self) -> ConfigSchema;
    /// Its collectors.
    fn collectors(&self) -> Vec<CollectorDef>;
    /// Waits until a run with so many collectors may begin; what it holds is given to them. The wait is no
    /// part of the run, neither of its limit nor of its latency (`scripts §6.7`).
    async fn admit(&self, _collectors: usize) -> Option<Arc<Places>> {
        None
    }
    /// Connects; the error is a sentence for the operator.
    async fn connect(
        &self,
        config: &Value,
        clock: &Arc<dyn Clock>,
    ) -> Result<Arc<dyn Session>, String>;
}

/// A strategy with what it published, derived once.
pub struct Known {
    /// The code.
    pub strategy: Arc<dyn Strategy>,
    /// Its config.
    pub config: ConfigSchema,
    /// Its collectors.
    pub collectors: Vec<CollectorDef>,
}

impl Known {
    /// Its qualified id.
    pub fn id(&self) -> &'static str {
        self.strategy.id()
    }
    /// A collector by qualified id.
    pub fn collector(&self, id: &str) -> Option<&CollectorDef> {
        self.collectors.iter().find(|c| c.id == id)
    }
}

/// The strategies of a host.
#[derive(Default)]
pub struct Strategies(Vec<Known>);

impl Strategies {
    /// The strategies that come with the plugin.
    pub fn built_in(clock: &Arc<dyn Clock>) -> Self {
        let mut all = Self::default();
        all.add(Arc::new(Http::new()));
        all.add(Arc::new(Tcp));
        all.add(Arc::new(Script::new(clock.clone())));
        all
    }
    /// Adds a strategy; one with the same id is replaced.
    pub fn add(&mut self, strategy: Arc<dyn Strategy>) {
        self.0.retain(|s| s.id() != strategy.id());
        self.0.push(Known {
            config: strategy.config(),
            collectors: strategy.collectors(),
            strategy,
        });
    }
    /// By qualified id, or by its short name (`healthcheck §3.1.4`).
    pub fn get(&self, id: &str) -> Option<&Known> {
        self.0.iter().find(|s| is_called(s.id(), id))
    }
    /// All, in order.
    pub fn all(&self) -> &[Known] {
        &self.0
    }
}

/// True when a text is the qualified id, or its last part.
pub fn is_called(qualified: &str, text: &str) -> bool {
    qualified == text || qualified.rsplit('.').next() == Some(text)
}

/// Decodes a config that was validated when it was saved; the error is for the operator.
fn decode<T: DeserializeOwned>(config: &Value) -> Result<T, String> {
    T::deserialize(config).map_err(|e| format!("the stored config is not valid: {e}"))
}

/// Whole milliseconds of a duration.
fn millis(d: std::time::Duration) -> i64 {
    i64::try_from(d.as_millis()).unwrap_or(i64::MAX)
}

/// The default of every strategy's `timeout`, in milliseconds.
const TIMEOUT_MS: u64 = 30_000;
const fn timeout_ms() -> u64 {
    TIMEOUT_MS
}

/// For collectors whose schema says everything.
fn nothing_more(_: &Value) -> Vec<(String, String)> {
    Vec::new()
}
