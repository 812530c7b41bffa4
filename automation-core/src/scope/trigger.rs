//! The root `trigger` (`definition §14.1`, `§14.6`).

use super::Entry;
use super::narrow::{Subscribed, TriggerSet};
use crate::registry::Registries;
use serde_json::Value;

/// The root `trigger` of a run that one of these triggers started; or, in the filter of a wait, of
/// the awaited event.
pub(super) fn trigger_entry(
    registries: &Registries,
    subscribed: &Subscribed,
    triggers: TriggerSet,
    awaited: Option<&str>,
) -> Entry {
    let sources: Vec<(String, String)> = match awaited {
        Some(event) => vec![("wait".to_owned(), event.to_owned())],
        None => triggers
            .iter()
            .filter_map(|i| subscribed.get(i))
            .map(|(id, event)| (id.to_owned(), event.to_owned()))
            .collect(),
    };
    let mut trigger = Entry::root("trigger", "object");
    let union = |texts: Vec<&String>| -> String {
        let mut labels: Vec<String> = Vec::new();
        for text in texts {
            let label = Value::from(text.as_str()).to_string();
            if !labels.contains(&label) {
                labels.push(label);
            }
        }
        labels.join(" | ")
    };
    let id = union(sources.iter().map(|(id, _)| id).collect());
    let event = union(sources.iter().map(|(_, event)| event).collect());
    let mut actor = Entry::below(&trigger, "actor", "object");
    let kinds = "\"system\" | \"user\" | \"application\" | \"service\"";
    let fields = [("type", kinds), ("id", "string"), ("name", "string")];
    actor.children = fields
        .iter()
        .map(|(name, kind)| Entry::below(&actor, name, kind))
        .collect();
    if let Some(name) = actor.children.last_mut() {
        name.optional = true;
    }
    let payload = payload(
        Entry::below(&trigger, "payload", "object"),
        registries,
        &sources,
    );
    trigger.children = vec![
        Entry::below(&trigger, "id", &id),
        Entry::below(&trigger, "event", &event),
        actor,
        payload,
    ];
    trigger
}

/// The fields of all payloads: plain where all have them alike, else with who has them.
fn payload(mut root: Entry, registries: &Registries, sources: &[(String, String)]) -> Entry {
    let mut fields: Vec<(Entry, Vec<String>)> = Vec::new();
    for (id, event) in sources {
        let Some(registered) = registries.trigger(event) else {
            continue;
        };
        let schema = &registered.payload_schema;
        for field in root.clone().shaped(schema, schema).children {
            match fields
                .iter_mut()
                .find(|(known, _)| known.path == field.path)
            {
                Some((known, who)) => {
                    who.push(id.clone());
                    if known.kind != field.kind {
                        known.kind = format!("{} | {}", known.kind, field.kind);
                        known.children.clear();
                    }
                }
                None => fields.push((field, vec![id.clone()])),
            }
        }
    }
    root.children = fields
        .into_iter()
        .map(|(mut field, who)| {
            if who.len() < sources.len() {
                field.only_when = who;
            }
            field
        })
        .collect();
    root
}
