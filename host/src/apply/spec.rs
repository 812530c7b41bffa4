//! From the spec of a document to the bodies of API calls.

use super::document::Document;
use serde_json::{Map, Value, json};

/// The definition of an automation document; its name is filled from the document (`definition §1.3`).
pub fn definition(d: &Document) -> Value {
    let mut spec = d.spec();
    if let Value::Object(m) = &mut spec
        && !m.contains_key("name")
    {
        let mut named = Map::new();
        named.insert("name".into(), d.display_name().into());
        named.extend(std::mem::take(m));
        *m = named;
    }
    spec
}

/// The row of an automation, without its definition.
pub fn automation_row(d: &Document) -> Value {
    let group = d
        .labels
        .get("group")
        .map(|g| g.trim())
        .filter(|g| !g.is_empty());
    let mut row = json!({"name": d.display_name(), "description": d.description, "group": group});
    if let Some(enabled) = d.labels.get("enabled") {
        row["status"] = if enabled == "false" {
            "disabled"
        } else {
            "enabled"
        }
        .into();
    }
    row
}

/// The body of a check. Ids of collector entries default to the collector's id, then `-2`, `-3`, …
/// (`healthcheck §16.2`).
pub fn check_body(d: &Document) -> Value {
    let spec = d.spec();
    let mut taken: Vec<String> = Vec::new();
    let collectors: Vec<Value> = spec["collectors"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|c| {
            let mut c = c.clone();
            if c["id"].is_null()
                && let Value::Object(m) = &mut c
            {
                let base = m
                    .get("collectorId")
                    .and_then(Value::as_str)
                    .unwrap_or("")
                    .to_owned();
                let id = (1..)
                    .map(|n| {
                        if n == 1 {
                            base.clone()
                        } else {
                            format!("{base}-{n}")
                        }
                    })
                    .find(|id| !taken.contains(id))
                    .unwrap_or(base);
                m.insert("id".into(), id.into());
            }
            if let Some(id) = c["id"].as_str() {
                taken.push(id.to_owned());
            }
            c
        })
        .collect();
    let mut body = json!({"strategy": spec["strategy"], "interval_seconds": spec["intervalSeconds"], "config": spec.get("config").cloned().unwrap_or_else(|| json!({}))});
    if !collectors.is_empty() {
        body["collectors"] = collectors.into();
    }
    body
}

/// The field of a check document that a field of the API's body came from.
pub fn check_path(path: &[Value]) -> Vec<Value> {
    let mut path = path.to_vec();
    if path.first() == Some(&json!("interval_seconds")) {
        path[0] = json!("intervalSeconds");
    }
    path
}

/// An entry of a system's list of checks.
pub struct Assignment {
    /// Name of the check.
    pub check: String,
    /// Body of the assignment.
    pub body: Value,
}

/// The list of checks of a system document; none when the key is absent, which leaves assignments
/// untouched (`healthcheck §16.4`). An entry without a proper reference is answered by its index.
pub fn assignments(d: &Document) -> Option<Result<Vec<Assignment>, usize>> {
    let spec = d.spec();
    let list = spec.get("healthcheck")?;
    let Some(list) = list.as_array() else {
        return Some(Err(0));
    };
    Some(
        list.iter()
            .enumerate()
            .map(|(i, e)| assignment(e).ok_or(i))
            .collect(),
    )
}

fn assignment(e: &Value) -> Option<Assignment> {
    if e["ref"]["kind"] != "Healthcheck" {
        return None;
    }
    let check = e["ref"]["name"].as_str()?.to_owned();
    let mut body = json!({"enabled": true});
    if !e["degradedThreshold"].is_null() || !e["unhealthyThreshold"].is_null() {
        let or = |v: &Value, default: u32| {
            if v.is_null() {
                json!(default)
            } else {
                v.clone()
            }
        };
        body["state_thresholds"] = json!({
            "mode": "consecutive",
            "healthy": {"minSuccessCount": 1},
            "degraded": {"minFailureCount": or(&e["degradedThreshold"], 2)},
            "unhealthy": {"minFailureCount": or(&e["unhealthyThreshold"], 5)},
        });
    }
    Some(Assignment { check, body })
}
