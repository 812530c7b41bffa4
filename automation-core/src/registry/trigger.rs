//! What a trigger is: payload, source, context key, gate and hold predicate.

use crate::ids::AutomationId;
use plugin_api::{BoxError, Ts, config::ConfigSchema, hook::Hook};
use schemars::JsonSchema;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Extracts the context key of a payload; none when the firing is about no entity.
pub type ContextKeyFn = Arc<dyn Fn(&Value) -> Option<String> + Send + Sync>;

/// A trigger's own gate: pure and synchronous, from raw payload and trigger config (`dispatch §5.5`).
pub type EvaluateConfig = Arc<dyn Fn(&Value, &Value) -> Result<ConfigGate, BoxError> + Send + Sync>;

/// What a trigger says of a config that fits its schema: rules a schema cannot express, such as "at
/// least one bound". Pure; asked when a definition is validated.
pub type CheckConfig = Arc<dyn Fn(&Value) -> Vec<ConfigIssue> + Send + Sync>;

/// A config that fits its schema and is wrong nevertheless.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigIssue {
    /// `invalid_trigger_config`, or a code of its own such as `unsupported_field`.
    pub code: &'static str,
    /// From the config's root.
    pub path: crate::diagnostic::Path,
    /// One sentence.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// What a trigger's own gate says.
#[derive(Clone, Debug, PartialEq)]
pub enum ConfigGate {
    /// Not for this config.
    No,
    /// Passes.
    Yes,
    /// Passes, and these keys are set in the payload handed to the run (`definition §10.9`).
    With(Map<String, Value>),
}

/// Asks whether what a dwell was armed on still holds.
#[derive(Clone, Debug)]
pub struct HoldAsk {
    /// The context key of the dwell.
    pub context_key: Option<String>,
    /// The payload it was armed with.
    pub payload: Value,
}

/// The answer to one [`HoldAsk`].
#[derive(Clone, Debug, PartialEq)]
pub struct HoldAnswer {
    /// True of the current state.
    pub holds: bool,
    /// Since when without a break; none when unknown.
    pub since: Option<Ts>,
}

/// A hold predicate over current state (`healthcheck §10.6`, `dispatch §6.3`).
#[async_trait::async_trait]
pub trait Hold: Send + Sync + 'static {
    /// One answer per question, in order, from a bounded number of queries.
    async fn check(&self, asks: &[HoldAsk]) -> Result<Vec<HoldAnswer>, BoxError>;
}

/// Which trigger of which automation a set-up belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TriggerIdentity {
    /// The automation.
    pub automation_id: AutomationId,
    /// Its effective trigger id.
    pub trigger_id: String,
}

/// Fires one automation's trigger, and only that one. Arguments: payload, occurrence id, time of
/// the occurrence.
pub type Fire = Arc<dyn Fn(Value, String, Ts) -> futures_core::BoxFuture + Send + Sync>;

/// A boxed future, so that this crate needs no futures library.
pub mod futures_core {
    use plugin_api::BoxError;
    use std::{future::Future, pin::Pin};
    /// Ends when the firing is stored.
    pub type BoxFuture = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;
}

/// Takes a set-up down.
#[async_trait::async_trait]
pub trait Teardown: Send + Sync {
    /// Idempotent.
    async fn teardown(&self);
}

/// Sets a trigger up per automation: armed on create, enable, change; torn down on disable, delete,
/// change; on every node (`plugins §15.2`).
#[async_trait::async_trait]
pub trait TriggerSetup: Send + Sync + 'static {
    /// Arms the trigger. Called on every node; firing once per occurrence is the set-up's duty.
    async fn setup(
        &self,
        config: Value,
        identity: TriggerIdentity,
        fire: Fire,
    ) -> Result<Box<dyn Teardown>, BoxError>;
}

/// Where firings come from: exactly one (`plugins §15.1`).
#[derive(Clone)]
pub enum TriggerSource {
    /// Every emission of a hook, taken by one node (group `automation-trigger-<qualified id>`).
    Hook {
        /// The hook's id.
        hook: &'static str,
    },
    /// Code that fires for one automation at a time.
    Setup(Arc<dyn TriggerSetup>),
    /// Only from change derivers (`entity §13.7`); registered for catalogue, schema and editor.
    EntityDriven,
}

/// A trigger registration.
#[derive(Clone)]
pub struct TriggerDef {
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
    /// JSON Schema of `trigger.payload`.
    pub payload_schema: Arc<Value>,
    /// The trigger's config, if it takes one.
    pub config: Option<ConfigSchema>,
    /// Rules for the config that its schema cannot express.
    pub check_config: Option<CheckConfig>,
    /// None: firings have no context key. Entity-driven firings always use the changed id.
    pub context_key: Option<ContextKeyFn>,
    /// Editor hint.
    pub context_key_label: Option<String>,
    /// Where firings come from.
    pub source: TriggerSource,
    /// The trigger's own gate.
    pub evaluate_config: Option<EvaluateConfig>,
    /// What `for:` re-confirms with.
    pub holds: Option<Arc<dyn Hold>>,
}

impl TriggerDef {
    fn new<P: JsonSchema>(id: &str, source: TriggerSource) -> Self {
        Self {
            id: id.into(),
            display_name: id.replace(['_', '-'], " "),
            description: None,
            category: "Uncategorized".into(),
            icon: None,
            payload_schema: Arc::new(schemars::schema_for!(P).to_value()),
            config: None,
            check_config: None,
            context_key: None,
            context_key_label: None,
            source,
            evaluate_config: None,
            holds: None,
        }
    }
    /// A trigger that fires only through a change deriver.
    pub fn entity_driven<P: JsonSchema>(id: &str) -> Self {
        Self::new::<P>(id, TriggerSource::EntityDriven)
    }
    /// A trigger that fires on every emission of a hook whose payload is the trigger's.
    pub fn on_hook<P: JsonSchema>(id: &str, hook: Hook<P>) -> Self {
        Self::new::<P>(id, TriggerSource::Hook { hook: hook.id })
    }
    /// A trigger on a hook of another crate, named by its id, with a payload type of its own.
    pub fn on_hook_id<P: JsonSchema>(id: &str, hook: &'static str) -> Self {
        Self::new::<P>(id, TriggerSource::Hook { hook })
    }
    /// A trigger set up per automation.
    pub fn on_setup<P: JsonSchema>(id: &str, setup: Arc<dyn TriggerSetup>) -> Self {
        Self::new::<P>(id, TriggerSource::Setup(setup))
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
    /// Takes the context key from a payload field (text or number), with an editor hint.
    pub fn context_field(mut self, field: &'static str, label: &str) -> Self {
        self.context_key = Some(Arc::new(move |p| match p.get(field) {
            Some(Value::String(s)) if !s.is_empty() => Some(s.clone()),
            Some(Value::Number(n)) => Some(n.to_string()),
            _ => None,
        }));
        self.context_key_label = Some(label.into());
        self
    }
    /// Sets the config type and the gate that reads it.
    pub fn config(mut self, schema: ConfigSchema, gate: Option<EvaluateConfig>) -> Self {
        self.config = Some(schema);
        self.evaluate_config = gate;
        self
    }
    /// Sets the rules for the config that its schema cannot express.
    pub fn check_config(
        mut self,
        check: impl Fn(&Value) -> Vec<ConfigIssue> + Send + Sync + 'static,
    ) -> Self {
        self.check_config = Some(Arc::new(check));
        self
    }
    /// Sets the hold predicate.
    pub fn holds(mut self, hold: Arc<dyn Hold>) -> Self {
        self.holds = Some(hold);
        self
    }
}
