//! Live health in scope (`definition §14.3`).

use super::Entry;
use serde_json::Value;

/// Fields of a system's health, with their types.
const FIELDS: [(&str, &str); 12] = [
    ("status", "\"healthy\" | \"degraded\" | \"unhealthy\""),
    ("in_status_since", "string"),
    ("in_status_for_ms", "integer"),
    ("latency_ms", "number"),
    ("avg_latency_ms", "number"),
    ("p95_latency_ms", "number"),
    ("success_rate", "number"),
    ("last_run_at", "string"),
    ("in_maintenance", "boolean"),
    ("transitions_in_window", "integer"),
    ("transition_window_minutes", "integer"),
    ("evaluated_at", "string"),
];

/// The root `health`: that of the context key, and of the systems in `uses_state`.
pub(super) fn health_entry(definition: &Value) -> Entry {
    let mut health = Entry::root("health", "object");
    let of = |mut entry: Entry| {
        for (name, kind) in FIELDS {
            let field = Entry::below(&entry, name, kind);
            entry.children.push(field);
        }
        entry
    };
    let system = Entry::below(&health, "system", "object");
    let system = system.describe("The system the run is about.");
    let mut systems = Entry::below(&health, "systems", "object");
    let listed = definition.get("uses_state").and_then(Value::as_array);
    for id in listed.into_iter().flatten().filter_map(Value::as_str) {
        let one = of(Entry::below(&systems, id, "object"));
        systems.children.push(one);
    }
    health.children = vec![of(system), systems];
    health
}
