//! From the spec of a document to the bodies of API calls.

use super::document::Document;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

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

/// The row of an automation, without its definition. The description is the document's, else the
/// definition's (`definition §1.3`).
pub fn automation_row(d: &Document) -> Value {
    let group = d
        .labels
        .get("group")
        .map(|g| g.trim())
        .filter(|g| !g.is_empty());
    let description = match &d.description {
        Some(text) => json!(text),
        None => d.spec()["description"].clone(),
    };
    let mut row = json!({"name": d.display_name(), "description": description, "group": group});
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

/// The id under which the check of a document is stored: always the same for one name, so that a
/// document may change everything else about its check.
pub fn check_id(name: &str) -> String {
    let hash = Sha256::digest(format!("signalbox.dev/v1 Healthcheck {name}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_custom_bytes(bytes)
        .into_uuid()
        .to_string()
}

/// The body of a check. Ids of collector entries default to the collector's id, then `-2`, `-3`, …
/// (`healthcheck §16.2`). What has the wrong type stays as it is, for the API to refuse.
pub fn check_body(d: &Document) -> Value {
    let spec = d.spec();
    let mut body = json!({
        "name": d.display_name(),
        "strategy": spec["strategy"],
        "interval_seconds": spec["intervalSeconds"],
        "config": spec.get("config").cloned().unwrap_or_else(|| json!({})),
    });
    match &spec["collectors"] {
        Value::Null => {}
        Value::Array(entries) => body["collectors"] = with_ids(entries).into(),
        other => body["collectors"] = other.clone(),
    }
    body
}

fn with_ids(entries: &[Value]) -> Vec<Value> {
    let mut taken: Vec<String> = Vec::new();
    let mut with_ids = Vec::with_capacity(entries.len());
    for entry in entries {
        let mut entry = entry.clone();
        if entry["id"].is_null()
            && let Value::Object(m) = &mut entry
        {
            let base = m.get("collectorId").and_then(Value::as_str).unwrap_or("");
            let id = std::iter::once(base.to_owned())
                .chain((2..).map(|n: u32| format!("{base}-{n}")))
                .find(|id| !taken.contains(id))
                .unwrap_or_default();
            m.insert("id".into(), id.into());
        }
        if let Some(id) = entry["id"].as_str() {
            taken.push(id.to_owned());
        }
        with_ids.push(entry);
    }
    with_ids
}

/// The field of a check document that a field of the API's body came from.
pub fn check_path(path: &[Value]) -> Vec<Value> {
    let mut path = path.to_vec();
    if path.first() == Some(&json!("interval_seconds")) {
        path[0] = json!("intervalSeconds");
    }
    path
}

#[cfg(test)]
mod tests {
    use super::check_id;

    #[test]
    fn a_check_keeps_its_id_for_ever() {
        assert_eq!(
            check_id("payments-http"),
            "c3b057d3-d3fb-82de-98fa-ee27846bf5eb"
        );
        assert_ne!(check_id("a"), check_id("b"));
    }
}
