//! What a provider action is, what it is given, what it answers.

use crate::ids::{AutomationId, RunId};
use plugin_api::{BoxError, Services, config::ConfigSchema};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::watch;

/// What an action answers. Expected domain errors are results, not panics (`domains §1.7`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ActionResult {
    /// False fails the step.
    pub success: bool,
    /// Data of the produced artifact; beside `success: false` it is recorded closed.
    pub artifact: Option<Value>,
    /// Id of the thing made or touched, for the step record.
    pub external_id: Option<String>,
    /// Why not.
    pub error: Option<String>,
    /// When another attempt may help, in milliseconds. Beside `success: false` and a step with
    /// `retry` it replaces the step's own delay, within the same limits; otherwise it has no effect.
    pub retry_after_ms: Option<u64>,
}

impl ActionResult {
    /// Success without artifact.
    pub fn ok() -> Self {
        Self {
            success: true,
            ..Self::default()
        }
    }
    /// Success with an artifact. A value that does not serialise is a failure.
    pub fn artifact<T: serde::Serialize>(data: &T) -> Self {
        match serde_json::to_value(data) {
            Ok(v) => Self {
                success: true,
                artifact: Some(v),
                ..Self::default()
            },
            Err(e) => Self::failed(format!("the artifact does not serialise: {e}")),
        }
    }
    /// With an external id.
    pub fn external_id(mut self, id: impl Into<String>) -> Self {
        self.external_id = Some(id.into());
        self
    }
    /// With a wish when to be called again, for failures.
    pub fn retry_after_ms(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }
    /// A failure.
    pub fn failed(error: impl Into<String>) -> Self {
        Self {
            success: false,
            error: Some(error.into()),
            ..Self::default()
        }
    }
}

/// Level of a run-log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Detail.
    Debug,
    /// Normal.
    Info,
    /// Should be looked at.
    Warn,
    /// Failed.
    Error,
}

/// Where an action's log lines go: masked, beside the run (`dispatch §3.11`).
pub trait RunLog: Send + Sync {
    /// Adds one line.
    fn line(&self, level: LogLevel, message: &str);
}

/// Tells an action that its run was cancelled or its node lost the lease.
#[derive(Clone, Debug)]
pub struct Cancel(watch::Receiver<bool>);

impl Cancel {
    /// A token and the sender that cancels it by `true`.
    pub fn new() -> (watch::Sender<bool>, Self) {
        let (tx, rx) = watch::channel(false);
        (tx, Self(rx))
    }
    /// Cancelled already?
    pub fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }
    /// Ends when cancelled; never when the sender is gone without cancelling.
    pub async fn cancelled(&mut self) {
        if self.0.wait_for(|c| *c).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The part of a run's scope that actions see (`dispatch §10`).
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct ActionScope {
    /// `{id, event, actor, payload}`.
    pub trigger: Value,
    /// `artifacts.<action id>.<local name>`.
    pub artifacts: Value,
    /// Variables.
    pub vars: Value,
    /// `{index, item?}` inside a loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Value>,
}

/// Everything an action is given beside its config (`plugins §15.4`).
pub struct ActionCx {
    /// Consumed artifacts by local id; absent means none was found.
    pub consumed: BTreeMap<String, Value>,
    /// Run data.
    pub scope: ActionScope,
    /// The run.
    pub run_id: RunId,
    /// Its automation.
    pub automation_id: AutomationId,
    /// Its context key.
    pub context_key: Option<String>,
    /// Path of the step (`dispatch §11`).
    pub step_path: String,
    /// `<run id>:<action path>`, the same for all attempts.
    pub idempotency_key: String,
    /// 1 on the first execution.
    pub attempt: u32,
    /// The run log.
    pub log: Arc<dyn RunLog>,
    /// Services with the action's plugin as consumer.
    pub services: Services,
    /// Cancellation.
    pub cancel: Cancel,
}

/// A provider action with a typed config.
#[async_trait::async_trait]
pub trait Action: Send + Sync + 'static {
    /// Its config; annotations on the schema say what is secret or code (`plugins §8.1`).
    type Config: DeserializeOwned + JsonSchema + Send + 'static;
    /// Does the work. Called at least once per step; the idempotency key lets it de-duplicate.
    async fn execute(&self, config: Self::Config, cx: &ActionCx) -> ActionResult;
}

/// An action with its config type forgotten.
#[async_trait::async_trait]
pub trait ErasedAction: Send + Sync {
    /// Decodes the config (unknown keys ignored) and executes; a config that does not decode is
    /// answered as `Err` with the reason.
    async fn execute(&self, config: Value, cx: &ActionCx) -> Result<ActionResult, BoxError>;
}

struct Erase<A>(A);
#[async_trait::async_trait]
impl<A: Action> ErasedAction for Erase<A> {
    async fn execute(&self, config: Value, cx: &ActionCx) -> Result<ActionResult, BoxError> {
        let config = serde_json::from_value::<A::Config>(config)?;
        Ok(self.0.execute(config, cx).await)
    }
}

/// An action registration.
#[derive(Clone)]
pub struct ActionDef {
    /// Local id, `^[a-z][a-z0-9_-]*$`.
    pub id: String,
    /// For people.
    pub display_name: String,
    /// For people.
    pub description: Option<String>,
    /// Default `Uncategorized`.
    pub category: String,
    /// Icon name.
    pub icon: Option<String>,
    /// Config type.
    pub config: ConfigSchema,
    /// Local id of the artifact type it produces.
    pub produces: Option<String>,
    /// Local ids of artifact types of its own plugin that it consumes.
    pub consumes: Vec<String>,
    /// Whose connections `config.connectionId` names.
    pub connection_provider_id: Option<String>,
    /// The code.
    pub action: Arc<dyn ErasedAction>,
}

impl ActionDef {
    /// A registration by local id.
    pub fn new<A: Action>(id: &str, action: A) -> Self {
        Self {
            id: id.into(),
            display_name: id.replace(['_', '-'], " "),
            description: None,
            category: "Uncategorized".into(),
            icon: None,
            config: ConfigSchema::of::<A::Config>(),
            produces: None,
            consumes: Vec::new(),
            connection_provider_id: None,
            action: Arc::new(Erase(action)),
        }
    }
    /// Sets display name and description.
    pub fn named(mut self, display_name: &str, description: &str) -> Self {
        self.display_name = display_name.into();
        self.description = Some(description.into());
        self
    }
    /// Sets the category.
    pub fn category(mut self, c: &str) -> Self {
        self.category = c.into();
        self
    }
    /// Sets the produced artifact type (local id).
    pub fn produces(mut self, local: &str) -> Self {
        self.produces = Some(local.into());
        self
    }
    /// Adds a consumed artifact type (local id).
    pub fn consumes(mut self, local: &str) -> Self {
        self.consumes.push(local.into());
        self
    }
    /// Replaces the config schema (versions, migrations).
    pub fn config(mut self, schema: ConfigSchema) -> Self {
        self.config = schema;
        self
    }
}
