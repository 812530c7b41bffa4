//! What a bucket keeps of collectors' results: averages of numbers, rates of booleans, counters of
//! errors (`healthcheck §15.2`). Pure.

use serde_json::{Map, Value, json};

/// The bucket's document with one run's results added. Shape:
/// `{collectors: {<entry id>: {_collectorId, _runs, _errors, <field>: {avg, count} | {rate, count}}}}`.
pub fn add(so_far: Option<Value>, collectors: &Map<String, Value>) -> Value {
    let mut all = match so_far {
        Some(Value::Object(mut document)) => match document.remove("collectors") {
            Some(Value::Object(entries)) => entries,
            _ => Map::new(),
        },
        _ => Map::new(),
    };
    for (entry_id, result) in collectors {
        let Some(result) = result.as_object() else {
            continue;
        };
        let mut entry = match all.remove(entry_id) {
            Some(Value::Object(entry)) => entry,
            _ => Map::new(),
        };
        if let Some(id) = result.get("_collectorId") {
            entry.insert("_collectorId".into(), id.clone());
        }
        let failed = result.contains_key("error") || result.contains_key("_assertionFailed");
        count(&mut entry, "_runs", 1);
        count(&mut entry, "_errors", u64::from(failed));
        for (field, value) in result.iter().filter(|(f, _)| !f.starts_with('_')) {
            let (name, sample) = match value {
                Value::Bool(b) => ("rate", f64::from(u8::from(*b))),
                Value::Number(n) => match n.as_f64() {
                    Some(n) => ("avg", n),
                    None => continue,
                },
                _ => continue,
            };
            let old = entry.get(field);
            let part = |key: &str| old.and_then(|v| v.get(key)).and_then(Value::as_f64);
            let n = part("count").unwrap_or(0.0) + 1.0;
            let mean = part(name).unwrap_or(0.0);
            let mean = mean + (sample - mean) / n;
            entry.insert(field.clone(), json!({ name: mean, "count": n as u64 }));
        }
        all.insert(entry_id.clone(), Value::Object(entry));
    }
    json!({ "collectors": all })
}

fn count(entry: &mut Map<String, Value>, key: &str, by: u64) {
    let n = entry.get(key).and_then(Value::as_u64).unwrap_or(0) + by;
    entry.insert(key.into(), n.into());
}
