//! `automation.state`: fires when a field of an entity of any kind changes to a value
//! (`definition §10.8`).
//!
//! Changes come from the entity engine, not from a hook: the engine looks them up in a
//! [`StateIndex`](super::StateIndex) while it routes, so that a change nobody asked for costs
//! nothing, and makes the payload with [`state_payload`]. The gate then looks at the values, and the
//! hold predicate of `for:` asks whether the field still has the one it changed to.

use crate::registry::{ConfigGate, ConfigIssue, Hold, TriggerDef};
use crate::{diagnostic::nearest, schema::ConfigCheck};
use plugin_api::{BoxError, config::ConfigSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use template_engine::compare::finite_number;

/// Qualified id of the trigger.
pub const STATE_EVENT: &str = "automation.state";

/// Config of `automation.state`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StateConfig {
    /// Entity kind, such as `incident`.
    #[schemars(length(min = 1))]
    pub kind: String,
    /// Only this entity; none: every one of the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1))]
    pub entity: Option<String>,
    /// Which field.
    #[serde(default = "status")]
    #[schemars(length(min = 1))]
    pub field: String,
    /// The value before, or a list of values any of which it may have been; null is "did not
    /// exist".
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Value")]
    pub from: Option<Value>,
    /// The value after, or a list; null is "exists no longer".
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Value")]
    pub to: Option<Value>,
}

fn status() -> String {
    "status".to_owned()
}

/// A key that is there, null included.
fn given<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(d).map(Some)
}

/// Payload handed to runs; `prev` and `next`, the states before and after, stay beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StatePayload {
    /// Entity kind.
    pub kind: String,
    /// Entity id.
    pub id: String,
    /// The field that changed.
    pub field: String,
    /// Its value before; null when there was none.
    pub from: Value,
    /// Its value after; null when there is none.
    pub to: Value,
    /// All fields that changed with it.
    pub changed_fields: Vec<String>,
}

/// What is known of entity kinds when a definition is validated.
pub trait StateKinds: Send + Sync + 'static {
    /// Names of all kinds.
    fn kinds(&self) -> Vec<String>;
    /// JSON Schema of a kind's state.
    fn schema(&self, kind: &str) -> Option<Arc<Value>>;
}

impl StateConfig {
    /// The config of a trigger; none for another event, or one that does not decode.
    pub fn of(event: &str, config: &Value) -> Option<Self> {
        (event == STATE_EVENT)
            .then(|| serde_json::from_value(config.clone()).ok())
            .flatten()
    }

    /// Whether a trigger with this config looks at changes of an entity at all.
    pub fn concerns(&self, kind: &str, id: &str) -> bool {
        self.kind == kind && self.entity.as_deref().is_none_or(|e| e == id)
    }
}

/// The payload of a change, before a trigger's config says which field it is about.
pub fn state_payload(
    kind: &str,
    id: &str,
    prev: Option<&Value>,
    next: Option<&Value>,
    changed_fields: &[String],
) -> Value {
    json!({"kind": kind, "id": id, "changed_fields": changed_fields, "prev": prev, "next": next})
}

/// The trigger `state`.
pub fn state(kinds: Arc<dyn StateKinds>, hold: Arc<dyn Hold>) -> TriggerDef {
    TriggerDef::entity_driven::<StatePayload>("state")
        .named("State", "Fires when a field of an entity changes")
        .category("State")
        .context_field("id", "entity")
        .config(ConfigSchema::of::<StateConfig>(), Some(Arc::new(gate)))
        .check_config(move |config| check(&*kinds, config))
        .holds(hold)
}

fn gate(payload: &Value, config: &Value) -> Result<ConfigGate, BoxError> {
    let config: StateConfig = serde_json::from_value(config.clone())?;
    let text = |key: &str| payload[key].as_str().unwrap_or_default();
    let changed = payload["changed_fields"]
        .as_array()
        .is_some_and(|fields| fields.iter().any(|f| *f == config.field));
    if !changed || !config.concerns(text("kind"), text("id")) {
        return Ok(ConfigGate::No);
    }
    let value = |state: &str| {
        let value = payload[state].get(&config.field);
        value.cloned().unwrap_or(Value::Null)
    };
    let (from, to) = (value("prev"), value("next"));
    if !matches(config.from.as_ref(), &from) || !matches(config.to.as_ref(), &to) {
        return Ok(ConfigGate::No);
    }
    let mut keys = Map::new();
    keys.insert("field".into(), config.field.into());
    keys.insert("from".into(), from);
    keys.insert("to".into(), to);
    Ok(ConfigGate::With(keys))
}

fn matches(wanted: Option<&Value>, found: &Value) -> bool {
    match wanted {
        None => true,
        Some(Value::Array(any)) => any.iter().any(|one| same(one, found)),
        Some(one) => same(one, found),
    }
}

/// Numbers are the same whichever way they are written: an author's `1` is a state's `1.0`.
fn same(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::Number(_), Value::Number(_)) => {
            let number = |v: &Value| finite_number(&template_engine::Value::of(v));
            wanted == found || number(wanted) == number(found)
        }
        _ => wanted == found,
    }
}

fn check(kinds: &dyn StateKinds, config: &Value) -> Vec<ConfigIssue> {
    let issue = |key: &str, message: String, help: Option<String>| ConfigIssue {
        code: "invalid_trigger_config",
        path: vec![key.into()],
        message,
        help,
    };
    let did_you_mean = |near: Option<&str>| near.map(|n| format!("did you mean `{n}`?"));
    let Ok(given) = serde_json::from_value::<StateConfig>(config.clone()) else {
        return Vec::new();
    };
    let Some(schema) = kinds.schema(&given.kind) else {
        let names = kinds.kinds();
        let help = did_you_mean(nearest(&given.kind, names.iter().map(String::as_str)))
            .or_else(|| Some(format!("known kinds: {}", names.join(", "))));
        let message = format!("there is no entity kind `{}`", given.kind);
        return vec![issue("kind", message, help)];
    };
    let Some(fields) = schema.get("properties").and_then(Value::as_object) else {
        return Vec::new();
    };
    if !fields.contains_key(&given.field) {
        let help =
            did_you_mean(nearest(&given.field, fields.keys().map(String::as_str))).or_else(|| {
                let names: Vec<&str> = fields.keys().map(String::as_str).collect();
                Some(format!("its fields: {}", names.join(", ")))
            });
        let message = format!("`{}` has no field `{}`", given.kind, given.field);
        return vec![issue("field", message, help)];
    }
    let values = [("from", &given.from), ("to", &given.to)];
    let Ok(check) = ConfigCheck::new(Arc::new(field_schema(&schema, &given.field))) else {
        return Vec::new();
    };
    let mut issues = Vec::new();
    for (key, wanted) in values {
        let Some(wanted) = wanted else { continue };
        let each = match wanted {
            Value::Array(any) => any.as_slice(),
            one => std::slice::from_ref(one),
        };
        // Null stands for "did not exist", whatever the field's type.
        for value in each.iter().filter(|v| !v.is_null()) {
            if let Some(problem) = check.strict(value, false).into_iter().next() {
                let message = format!("`{}` is never {value}: {}", given.field, problem.message);
                issues.push(issue(key, message, problem.help));
            }
        }
    }
    issues
}

/// The schema of one field, with the definitions it may refer to.
fn field_schema(schema: &Value, field: &str) -> Value {
    let mut own = schema["properties"][field].clone();
    if let (Value::Object(own), Some(definitions)) = (&mut own, schema.get("$defs")) {
        own.insert("$defs".into(), definitions.clone());
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Kinds;
    impl StateKinds for Kinds {
        fn kinds(&self) -> Vec<String> {
            vec!["incident".into(), "health".into()]
        }
        fn schema(&self, kind: &str) -> Option<Arc<Value>> {
            (kind == "incident").then(|| {
                Arc::new(json!({
                    "type": "object",
                    "properties": {"status": {"$ref": "#/$defs/Status"}, "count": {"type": "integer"}},
                    "$defs": {"Status": {"enum": ["open", "resolved"]}},
                }))
            })
        }
    }

    #[test]
    fn definition_10_8_unknown_kinds_fields_and_values_are_refused() {
        let paths = |config: Value| -> Vec<String> {
            check(&Kinds, &config)
                .iter()
                .map(|i| crate::path_text(&i.path))
                .collect()
        };
        assert_eq!(paths(json!({"kind": "incidnt"})), ["kind"]);
        assert_eq!(
            paths(json!({"kind": "incident", "field": "stat"})),
            ["field"]
        );
        assert_eq!(paths(json!({"kind": "incident", "to": "closed"})), ["to"]);
        assert_eq!(
            paths(json!({"kind": "incident", "field": "count", "from": [1, "x"], "to": null})),
            ["from"]
        );
        assert!(
            paths(json!({"kind": "incident", "from": "open", "to": ["resolved", null]})).is_empty()
        );
    }

    #[test]
    fn definition_10_8_fires_when_the_field_changes_to_the_value() {
        let changed = |prev: Option<Value>, next: Option<Value>, fields: &[&str]| {
            let fields: Vec<String> = fields.iter().map(|f| (*f).to_owned()).collect();
            state_payload("incident", "i1", prev.as_ref(), next.as_ref(), &fields)
        };
        let resolved = changed(
            Some(json!({"status": "open", "n": 1})),
            Some(json!({"status": "resolved", "n": 1})),
            &["status"],
        );
        let fires = |payload: &Value, config: Value| match gate(payload, &config).unwrap() {
            ConfigGate::With(keys) => Some(Value::Object(keys)),
            _ => None,
        };
        assert_eq!(
            fires(&resolved, json!({"kind": "incident", "to": ["resolved"]})),
            Some(json!({"field": "status", "from": "open", "to": "resolved"}))
        );
        for no in [
            json!({"kind": "health"}),
            json!({"kind": "incident", "entity": "i2"}),
            json!({"kind": "incident", "field": "n"}),
            json!({"kind": "incident", "from": "resolved"}),
            json!({"kind": "incident", "to": null}),
        ] {
            assert_eq!(fires(&resolved, no.clone()), None, "{no}");
        }
        let created = changed(None, Some(json!({"status": "open"})), &["status"]);
        assert!(
            fires(
                &created,
                json!({"kind": "incident", "from": null, "to": "open"})
            )
            .is_some()
        );
        let counted = changed(
            Some(json!({"status": "open", "n": 1})),
            Some(json!({"status": "open", "n": 2.0})),
            &["n"],
        );
        assert!(fires(&counted, json!({"kind": "incident", "field": "n", "to": 2})).is_some());
        let removed = changed(Some(json!({"status": "open"})), None, &["status"]);
        assert!(fires(&removed, json!({"kind": "incident", "to": null})).is_some());
    }
}
