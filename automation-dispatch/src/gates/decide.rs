//! `evaluate_config → filter → window → for → conditions`, first "no" ends it. The window counts rows,
//! so it stands between two parts: [`before_window`] and [`after_window`].

use automation_core::{
    compiled::{CompiledDefinition, CompiledTrigger},
    registry::{ConfigGate, EvaluateConfig},
};
use serde_json::Value;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};
use template_engine::{Env, Scope};

/// What the gates say of one occurrence, and which gate said it.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The trigger's own gate says no.
    ConfigGate,
    /// The trigger's own gate failed.
    ConfigError(String),
    /// The filter is false.
    FilterFalse,
    /// The filter failed.
    FilterError(String),
    /// `for` gives no valid duration.
    InvalidFor(String),
    /// Passes up to the window, which counts it in this partition; none is one of its own.
    Count {
        /// The partition key.
        partition: Option<String>,
    },
    /// The window holds it back.
    WindowHeld {
        /// Occurrences counted.
        n: u32,
        /// The partition they were counted in.
        partition: Option<String>,
    },
    /// It was decided before.
    Duplicate,
    /// Passes up to `for`: arm a dwell of this many milliseconds.
    Arm {
        /// Length.
        millis: i64,
    },
    /// A condition is false.
    ConditionFalse {
        /// Position in `conditions`.
        index: usize,
    },
    /// A condition failed, which counts as false.
    ConditionError {
        /// Position in `conditions`.
        index: usize,
        /// Why.
        message: String,
    },
    /// Everything up to concurrency passes.
    Pass,
}

impl Verdict {
    /// True when the trigger's own gates (config or filter) looked and said no: what a dwell with an
    /// `evaluate_config` hangs on (`dispatch §6.3`). An error is not a no.
    pub fn is_own_no(&self) -> bool {
        matches!(self, Verdict::ConfigGate | Verdict::FilterFalse)
    }

    /// Errors are logged as warnings, plain noes for debugging only.
    pub fn error(&self) -> Option<(&'static str, &str)> {
        match self {
            Verdict::ConfigError(m) => Some(("evaluate_config", m)),
            Verdict::FilterError(m) => Some(("filter", m)),
            Verdict::InvalidFor(m) => Some(("for", m)),
            Verdict::ConditionError { message, .. } => Some(("conditions", message)),
            _ => None,
        }
    }
}

/// Gate 1. `Ok` carries the payload that later gates and the run see.
pub fn config_gate(
    gate: Option<&EvaluateConfig>,
    trigger: &CompiledTrigger,
    payload: &Arc<Value>,
) -> Result<Arc<Value>, Verdict> {
    let Some(gate) = gate else {
        return Ok(payload.clone());
    };
    // A plugin's code: its panic is its own.
    let said = catch_unwind(AssertUnwindSafe(|| gate(payload, &trigger.config)))
        .unwrap_or_else(|_| Err("the gate panicked".into()));
    match said {
        Ok(ConfigGate::Yes) => Ok(payload.clone()),
        Ok(ConfigGate::No) => Err(Verdict::ConfigGate),
        Ok(ConfigGate::With(keys)) => {
            let mut payload = Value::clone(payload);
            if let Value::Object(fields) = &mut payload {
                fields.extend(keys);
            }
            Ok(Arc::new(payload))
        }
        Err(e) => Err(Verdict::ConfigError(e.to_string())),
    }
}

/// Gate 2, and the partition for gate 3; without a window on through all gates.
pub fn before_window(
    program: &CompiledDefinition,
    trigger: &CompiledTrigger,
    context_key: Option<&str>,
    scope: &dyn Scope,
    env: &Env<'_>,
) -> Verdict {
    if let Some(filter) = &trigger.filter {
        match filter.test(scope, env) {
            Ok(true) => {}
            Ok(false) => return Verdict::FilterFalse,
            Err(e) => return Verdict::FilterError(e.to_string()),
        }
    }
    let Some(window) = &trigger.window else {
        return after_window(program, trigger, scope, env);
    };
    let partition = match window.partition_key(scope, env) {
        Ok(Some(key)) => Some(key),
        Ok(None) => context_key.map(str::to_owned),
        Err(error) => {
            tracing::warn!(trigger = trigger.id, %error, "partitionBy failed; the context key is counted instead.");
            context_key.map(str::to_owned)
        }
    };
    Verdict::Count { partition }
}

/// Gate 4, then 5 unless a dwell is to be armed.
pub fn after_window(
    program: &CompiledDefinition,
    trigger: &CompiledTrigger,
    scope: &dyn Scope,
    env: &Env<'_>,
) -> Verdict {
    match &trigger.dwell {
        None => conditions(program, scope, env),
        Some(dwell) => match dwell.millis(scope, env) {
            Ok(Some(millis)) => Verdict::Arm { millis },
            Ok(None) => Verdict::InvalidFor(
                "for gives no number of seconds from 1 to 2592000 (30 days)".into(),
            ),
            Err(e) => Verdict::InvalidFor(format!("for.template: {e}")),
        },
    }
}

/// Gate 5: a conjunction in order; an error counts as false.
pub fn conditions(program: &CompiledDefinition, scope: &dyn Scope, env: &Env<'_>) -> Verdict {
    for (index, condition) in program.conditions.iter().enumerate() {
        match condition.test(scope, env) {
            Ok(true) => {}
            Ok(false) => return Verdict::ConditionFalse { index },
            Err(e) => {
                return Verdict::ConditionError {
                    index,
                    message: e.to_string(),
                };
            }
        }
    }
    Verdict::Pass
}
