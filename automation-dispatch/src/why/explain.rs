//! The detail of a decision, computed by the recorder's task, never where it was decided.

use super::{
    entry::{Entry, Subject},
    ruling::{Cancelled, Dropped, Ruling, Scene},
};
use crate::{scope, walk::view::View};
use automation_core::{
    builtin::{NUMERIC_STATE_EVENT, numeric_state_fact},
    compiled::Condition,
};
use serde_json::{Map, Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind};
use template_engine::{Env, Expression, Fact, Filters, explain::MAX_FACTS};

/// The detail document of an entry. Nothing in it is masked yet.
pub(super) fn detail(entry: &Entry, filters: &Filters) -> Value {
    let env = Env::new(filters, entry.at.timestamp());
    match &entry.ruling {
        Ruling::Started { .. } if entry.subject.is_manual() => json!({"manual": true}),
        Ruling::Queued { ahead, .. } => json!({"ahead": ahead}),
        Ruling::Started { .. } | Ruling::Disabled | Ruling::DwellKept | Ruling::Duplicate => {
            json!({})
        }
        Ruling::ConfigGate { error } => config_gate(entry, error.as_deref()),
        Ruling::FilterFalse(scene) => json!({"facts": filter(scene, &env)}),
        Ruling::FilterError { error, scene } => {
            json!({"error": error, "facts": filter(scene, &env)})
        }
        Ruling::WindowHeld {
            count,
            needed,
            minutes,
            once,
            partition,
        } => {
            json!({"count": count, "needed": needed, "minutes": minutes, "once": once, "partition": partition})
        }
        Ruling::DwellArmed { until, again } => json!({"until": until.to_text(), "again": again}),
        Ruling::DwellCancelled(by) => cancelled(by),
        Ruling::DwellDropped(why) => dropped(why),
        Ruling::ConditionFalse { index, scene } => {
            json!({"index": index, "facts": condition(scene, *index, &env)})
        }
        Ruling::ConditionError {
            index,
            error,
            scene,
        } => {
            json!({"index": index, "error": error, "facts": condition(scene, *index, &env)})
        }
        Ruling::Refused { mode, max_runs } => json!({"mode": mode.name(), "max_runs": max_runs}),
        Ruling::Loop { chain, again } => {
            json!({"chain": chain, "depth": chain.len(), "again": again})
        }
        Ruling::Cooldown { until } => json!({"until": until.to_text()}),
    }
}

fn filter(scene: &Scene, env: &Env<'_>) -> Vec<Fact> {
    let filter: Option<&Expression> = scene.program.triggers[scene.trigger].filter.as_ref();
    filter.map_or(Vec::new(), |f| facts(scene, |view| f.explain(view, env)))
}

fn condition(scene: &Scene, index: usize, env: &Env<'_>) -> Vec<Fact> {
    let condition: Option<&Condition> = scene.program.conditions.get(index);
    condition.map_or(Vec::new(), |c| facts(scene, |view| c.explain(view, env)))
}

/// Asks in the scope the gate looked at. A filter of a plugin that panics costs the explanation,
/// nothing else.
fn facts(scene: &Scene, ask: impl Fn(&View<'_>) -> Vec<Fact>) -> Vec<Fact> {
    let empty = scope::nothing();
    let view = View {
        base: &scene.base,
        live: &scene.base.live,
        variables: empty,
        artifacts: empty,
        repeat: None,
        resume: None,
    };
    catch_unwind(AssertUnwindSafe(|| ask(&view))).unwrap_or_default()
}

fn cancelled(by: &Cancelled) -> Value {
    match by {
        Cancelled::OwnGate => json!({"by": "own_gate"}),
        Cancelled::Left(status) => json!({"by": "left", "armed_status": status}),
        Cancelled::Disabled => json!({"by": "disabled"}),
    }
}

fn dropped(why: &Dropped) -> Value {
    match why {
        Dropped::Over(status) => json!({"reason": "over", "armed_status": status}),
        Dropped::Disabled => json!({"reason": "disabled"}),
        Dropped::TriggerChanged => json!({"reason": "trigger_changed"}),
        Dropped::InvalidFor(error) => json!({"reason": "invalid_for", "error": error}),
    }
}

/// A plugin's gate says only yes or no: its config, and the plain values of the payload it looked at.
fn config_gate(entry: &Entry, error: Option<&str>) -> Value {
    let mut detail = Map::new();
    if let Some(error) = error {
        detail.insert("error".into(), error.into());
    }
    if let Subject::Firing(firing) = &entry.subject {
        let trigger = &firing.automation.program.triggers[firing.trigger];
        let payload = &firing.occurrence.payload;
        let facts = match trigger.event.as_str() {
            NUMERIC_STATE_EVENT => vec![numeric_state_fact(payload, &trigger.config)],
            _ => plain_values(payload),
        };
        detail.insert("config".into(), trigger.config.clone());
        detail.insert("facts".into(), json!(facts));
    }
    Value::Object(detail)
}

fn plain_values(payload: &Value) -> Vec<Fact> {
    let fields = payload.as_object().into_iter().flatten();
    fields
        .filter(|(_, v)| !v.is_object() && !v.is_array())
        .take(MAX_FACTS)
        .map(|(key, v)| {
            let source = format!("trigger.payload.{key}");
            Fact::of(source, &template_engine::Value::of(v))
        })
        .collect()
}
