//! `automation.numeric_state`: fires on every check result whose measured value lies within bounds
//! (`definition §10.7`, `§10.9`).

use crate::registry::{ConfigGate, ConfigIssue, TriggerDef};
use plugin_api::{BoxError, config::ConfigSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};
use std::sync::Arc;
use template_engine::{
    Fact, Value::Undefined, compare::finite_number, condition::within, explain::bounds,
};

/// The event id of the trigger.
pub const NUMERIC_STATE_EVENT: &str = "automation.numeric_state";
/// The hook whose emissions are looked at.
const HOOK: &str = "healthcheck.check.completed";

/// Config of `automation.numeric_state`; at least one bound is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NumericStateConfig {
    /// `latencyMs`, or `<entry id>.<field>` of the check's collectors (`collectors.` may stand in
    /// front). An entry without an id of its own has its collector's: `healthcheck-http.request.statusCode`.
    #[schemars(length(min = 1))]
    pub field: String,
    /// The value must be greater.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64")]
    pub above: Option<f64>,
    /// The value must be less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64")]
    pub below: Option<f64>,
}

/// Payload handed to runs; `latencyMs` and `result` of the event stay beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NumericStatePayload {
    /// The system.
    pub system_id: String,
    /// The check's configuration.
    pub configuration_id: String,
    /// The same id.
    pub check_id: String,
    /// Outcome of the check.
    pub status: String,
    /// The field that matched.
    pub field: String,
    /// Its value.
    pub value: f64,
    /// When the check ran, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
}

/// The trigger `numeric_state`.
pub fn numeric_state() -> TriggerDef {
    TriggerDef::on_hook_id::<NumericStatePayload>("numeric_state", HOOK)
        .named(
            "Measured value",
            "Fires on every check result whose value is above or below a bound",
        )
        .category("Health")
        .context_field("systemId", "system")
        .config(
            ConfigSchema::of::<NumericStateConfig>(),
            Some(Arc::new(gate)),
        )
        .check_config(check)
}

/// Passes when the field is a number within the bounds; the payload then says which field and value
/// it was.
fn gate(payload: &Value, config: &Value) -> Result<ConfigGate, BoxError> {
    let config: NumericStateConfig = serde_json::from_value(config.clone())?;
    let Some(found) = measured(payload, &config.field) else {
        return Ok(ConfigGate::No);
    };
    let Some(value) = finite_number(&template_engine::Value::of(found)) else {
        return Ok(ConfigGate::No);
    };
    if !within(value, config.above, config.below) {
        return Ok(ConfigGate::No);
    }
    // A number keeps its own text; numeric text becomes a number.
    let number = match found {
        Value::Number(n) => Some(n.clone()),
        _ => Number::from_f64(value),
    };
    let mut keys = Map::new();
    keys.insert("field".into(), config.field.into());
    keys.insert("value".into(), number.map_or(Value::Null, Value::Number));
    Ok(ConfigGate::With(keys))
}

/// How the measured value stands to the bounds, for people who ask why the trigger did not fire:
/// `result.cpu was 40, not above 90`.
pub fn numeric_state_fact(payload: &Value, config: &Value) -> Fact {
    let field = config["field"].as_str().unwrap_or_default();
    let found = measured(payload, field).map_or(Undefined, template_engine::Value::of);
    Fact {
        source: field.to_owned(),
        value: bounds(&found, config["above"].as_f64(), config["below"].as_f64()),
    }
}

/// The value a field names in a payload.
fn measured<'p>(payload: &'p Value, field: &str) -> Option<&'p Value> {
    if field == "latencyMs" {
        return payload.get("latencyMs");
    }
    let path = field.strip_prefix("collectors.").unwrap_or(field);
    let entries = payload.get("result")?.as_object()?;
    // Ids of entries have dots in them, as those of collectors do; the longest that fits is meant.
    let of_entry = entries.iter().filter_map(|(id, entry)| {
        let rest = path.strip_prefix(id.as_str())?.strip_prefix('.')?;
        Some((id.len(), entry, rest))
    });
    let (_, entry, rest) = of_entry.max_by_key(|(length, ..)| *length)?;
    rest.split('.').try_fold(entry, |v, key| v.get(key))
}

fn check(config: &Value) -> Vec<ConfigIssue> {
    let mut issues = Vec::new();
    if config["field"] == "p95LatencyMs" {
        issues.push(ConfigIssue {
            code: "unsupported_field",
            path: vec!["field".into()],
            message: "`p95LatencyMs` is not part of a single check result".into(),
            help: Some("use a `numeric_state` condition on `health.system.p95_latency_ms`".into()),
        });
    }
    if config.get("above").is_none() && config.get("below").is_none() {
        issues.push(ConfigIssue {
            code: "invalid_trigger_config",
            path: Vec::new(),
            message: "at least one of `above` and `below` is needed".into(),
            help: None,
        });
    }
    issues
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn fires(payload: Value, config: Value, expect: Option<Value>) {
        let expect = match expect {
            Some(Value::Object(keys)) => ConfigGate::With(keys),
            _ => ConfigGate::No,
        };
        assert_eq!(
            gate(&payload, &config).unwrap(),
            expect,
            "{payload} {config}"
        );
    }

    #[test]
    fn definition_18_28_bounds_are_strict_and_the_payload_says_what_matched() {
        let above = json!({"field": "latencyMs", "above": 500});
        fires(
            json!({"latencyMs": 500.1}),
            above.clone(),
            Some(json!({"field": "latencyMs", "value": 500.1})),
        );
        fires(json!({"latencyMs": 500}), above.clone(), None);
        fires(json!({}), above.clone(), None);
        fires(json!({"latencyMs": true}), above.clone(), None);
        fires(
            json!({"latencyMs": " 501 "}),
            above,
            Some(json!({"field": "latencyMs", "value": 501.0})),
        );
        let band = json!({"field": "latencyMs", "above": 1, "below": 3});
        fires(
            json!({"latencyMs": 2}),
            band.clone(),
            Some(json!({"field": "latencyMs", "value": 2})),
        );
        fires(json!({"latencyMs": 3}), band, None);
    }

    #[test]
    fn definition_10_7_what_is_no_number_never_matches() {
        for no in [
            json!(null),
            json!(true),
            json!([501]),
            json!({"ms": 501}),
            json!(""),
            json!("  "),
            json!("fast"),
            json!("NaN"),
            json!("1e999"),
        ] {
            fires(
                json!({"latencyMs": no}),
                json!({"field": "latencyMs", "above": -1}),
                None,
            );
        }
        // Whatever the config asks for, the event has it at its top or below `result` only.
        fires(
            json!({"status": 5, "p": {"x": 5}}),
            json!({"field": "status", "above": 1}),
            None,
        );
    }

    #[test]
    fn definition_10_9_the_payload_is_what_the_trigger_declares_and_keeps_the_rest() {
        let mut event = json!({
            "systemId": "s", "configurationId": "c", "checkId": "c", "status": "healthy",
            "latencyMs": 600, "result": {"cpu": {"load": " 7 "}}, "timestamp": "2026-01-15T12:00:00Z",
        });
        let config = json!({"field": "cpu.load", "above": 1});
        let ConfigGate::With(keys) = gate(&event, &config).unwrap() else {
            panic!("it fires");
        };
        event.as_object_mut().unwrap().extend(keys);
        let trigger = numeric_state();
        let check = crate::schema::ConfigCheck::new(trigger.payload_schema.clone()).unwrap();
        assert_eq!(check.lenient(&mut event.clone()), Ok(()));
        let payload: NumericStatePayload = serde_json::from_value(event.clone()).unwrap();
        assert_eq!((payload.field.as_str(), payload.value), ("cpu.load", 7.0));
        assert_eq!(event["latencyMs"], 600);
        let key = trigger.context_key.unwrap()(&event);
        assert_eq!(key.as_deref(), Some("s"));
        assert_eq!(trigger.context_key_label.as_deref(), Some("system"));
    }

    #[test]
    fn definition_10_7_a_bound_is_needed_and_p95_is_pointed_elsewhere() {
        let codes = |config: Value| -> Vec<&'static str> {
            check(&config).iter().map(|i| i.code).collect()
        };
        assert_eq!(
            codes(json!({"field": "latencyMs"})),
            ["invalid_trigger_config"]
        );
        assert_eq!(
            codes(json!({"field": "p95LatencyMs", "above": 1})),
            ["unsupported_field"]
        );
        assert!(codes(json!({"field": "latencyMs", "below": 0})).is_empty());
    }

    #[test]
    fn definition_10_7_fields_reach_into_collector_results() {
        let payload = json!({"result": {"cpu": {"load": {"one": 7}}}});
        for field in ["cpu.load.one", "collectors.cpu.load.one"] {
            fires(
                payload.clone(),
                json!({"field": field, "below": 8}),
                Some(json!({"field": field, "value": 7})),
            );
        }
        fires(
            payload.clone(),
            json!({"field": "cpu.load", "below": 8}),
            None,
        );
        fires(payload, json!({"field": "gpu.load", "below": 8}), None);
    }

    #[test]
    fn healthcheck_16_2_the_id_of_an_entry_may_have_dots() {
        let payload = json!({"result": {
            "http": {"request": {"statusCode": 1}},
            "http.request": {"statusCode": 200},
            "http.request.slow": {"ms": 9},
        }});
        for (field, value) in [
            ("http.request.statusCode", 200),
            ("collectors.http.request.statusCode", 200),
            ("http.request.slow.ms", 9),
        ] {
            fires(
                payload.clone(),
                json!({"field": field, "above": 0}),
                Some(json!({"field": field, "value": value})),
            );
        }
        for nothing in ["http.request", "http.requeststatusCode", "http.request.ms"] {
            fires(payload.clone(), json!({"field": nothing, "above": 0}), None);
        }
    }
}
