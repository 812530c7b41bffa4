//! From a change to trigger events and their payloads (`entity §13`).

use crate::{
    change::EntityChanged,
    point::{Derive, MapPayload},
};
use plugin_api::{BoxError, PluginId};
use serde_json::{Map, Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A registered deriver.
pub(crate) struct Deriver {
    pub plugin: PluginId,
    pub kind: String,
    pub name: &'static str,
    pub events: &'static [&'static str],
    pub derive: Derive,
}

impl Deriver {
    /// What it answers; nothing when it panics.
    fn run(&self, change: &EntityChanged) -> Vec<&'static str> {
        let derived = catch_unwind(AssertUnwindSafe(|| (self.derive)(change)));
        derived.unwrap_or_else(|_| {
            tracing::error!(kind = %self.kind, plugin = %self.plugin, deriver = self.name, change_id = %change.change_id,
                "A change deriver panicked and was skipped.");
            Vec::new()
        })
    }
}

/// The events of all derivers of the kind: in registration order, the first of a name wins.
pub(crate) fn derive(derivers: &[Deriver], change: &EntityChanged) -> Vec<&'static str> {
    let mut events = Vec::new();
    for deriver in derivers.iter().filter(|d| d.kind == change.kind) {
        for event in deriver.run(change) {
            if !event.is_empty() && !events.contains(&event) {
                events.push(event);
            }
        }
    }
    events
}

/// The payload of one event: the mapper's, else the change with the fields of `next` on top. A
/// failing mapper is an error; it does not fall back to the generic shape.
pub(crate) fn payload(
    mapper: Option<&MapPayload>,
    change: &EntityChanged,
    event: &str,
) -> Result<Value, BoxError> {
    let Some(map) = mapper else {
        return Ok(generic(change));
    };
    match catch_unwind(AssertUnwindSafe(|| map(change, event))) {
        Ok(mapped) => mapped,
        Err(_) => Err(format!("the payload mapper of kind {} panicked", change.kind).into()),
    }
}

fn generic(change: &EntityChanged) -> Value {
    let mut payload = match json!({
        "kind": change.kind,
        "id": change.id,
        "prev": change.prev,
        "next": change.next,
        "delta": change.delta,
        "changedFields": change.changed_fields,
    }) {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    if let Some(Value::Object(next)) = &change.next {
        payload.extend(next.clone());
    }
    Value::Object(payload)
}
