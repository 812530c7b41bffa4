//! Who listens to which changes: the routing index of `automation.state` (`definition §10.8`).
//!
//! One look-up by kind and one by kind and id answers everybody a change concerns. A change of a
//! kind, an entity or a field that nobody named finds nothing and costs two misses in a map.

use super::StateConfig;
use crate::compiled::CompiledDefinition;
use std::collections::HashMap;

/// Listeners by what they listen to; `T` is what the owner of the index finds them by.
#[derive(Clone, Debug)]
pub struct StateIndex<T> {
    /// Listeners to every entity of a kind.
    kinds: HashMap<String, Vec<Listener<T>>>,
    /// Listeners to one entity, by kind and id.
    entities: HashMap<String, HashMap<String, Vec<Listener<T>>>>,
    added: usize,
}

#[derive(Clone, Debug)]
struct Listener<T> {
    /// Position in order of addition.
    ordinal: usize,
    field: String,
    of: T,
}

impl<T> Default for StateIndex<T> {
    fn default() -> Self {
        Self {
            kinds: HashMap::new(),
            entities: HashMap::new(),
            added: 0,
        }
    }
}

impl<T: Clone> StateIndex<T> {
    /// Files every `automation.state` trigger of a definition under `of`.
    pub fn add(&mut self, definition: &CompiledDefinition, of: &T) {
        let ordinal = self.added;
        self.added += 1;
        for trigger in &definition.triggers {
            let Some(config) = StateConfig::of(&trigger.event, &trigger.config) else {
                continue;
            };
            let list = match config.entity {
                None => self.kinds.entry(config.kind).or_default(),
                Some(id) => self
                    .entities
                    .entry(config.kind)
                    .or_default()
                    .entry(id)
                    .or_default(),
            };
            list.push(Listener {
                ordinal,
                field: config.field,
                of: of.clone(),
            });
        }
    }

    /// Nobody listens to anything.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty() && self.entities.is_empty()
    }

    /// Whom a change concerns, each once, in order of addition. The values are the gate's business,
    /// so that a value that did not fit can be told from a change that never came by.
    pub fn concerned(&self, kind: &str, id: &str, changed_fields: &[String]) -> Vec<T> {
        let one = self.entities.get(kind).and_then(|ids| ids.get(id));
        let mut found: Vec<&Listener<T>> = self
            .kinds
            .get(kind)
            .into_iter()
            .chain(one)
            .flatten()
            .filter(|l| changed_fields.contains(&l.field))
            .collect();
        found.sort_by_key(|l| l.ordinal);
        found.dedup_by_key(|l| l.ordinal);
        found.into_iter().map(|l| l.of.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::Definition;
    use crate::registry::Registries;
    use serde_json::{Value, json};

    fn index(definitions: &[&[Value]]) -> StateIndex<usize> {
        let registries = Registries::default();
        let mut index = StateIndex::default();
        for (i, configs) in definitions.iter().enumerate() {
            let triggers: Vec<Value> = configs
                .iter()
                .enumerate()
                .map(
                    |(t, c)| json!({"id": format!("t{t}"), "event": "automation.state", "config": c}),
                )
                .collect();
            let stored = json!({"name": "A", "triggers": triggers});
            let definition = Definition::read_stored(&stored).unwrap().definition;
            let compiled = CompiledDefinition::compile(&definition, &registries).unwrap();
            index.add(&compiled, &i);
        }
        index
    }

    #[test]
    fn definition_10_8_a_change_finds_those_who_named_its_kind_its_entity_or_its_field() {
        let index = index(&[
            &[json!({"kind": "incident"})],
            &[json!({"kind": "incident", "entity": "i1", "field": "severity"})],
            &[json!({"kind": "health", "entity": "s1"})],
            &[
                json!({"kind": "incident", "entity": "i1"}),
                json!({"kind": "incident", "field": "severity"}),
            ],
            &[json!({"entity": "i1"})],
        ]);
        let find = |kind: &str, id: &str, fields: &[&str]| {
            let fields: Vec<String> = fields.iter().map(|f| (*f).to_owned()).collect();
            index.concerned(kind, id, &fields)
        };
        assert_eq!(find("incident", "i1", &["status"]), [0, 3]);
        assert_eq!(find("incident", "i1", &["severity", "status"]), [0, 1, 3]);
        assert_eq!(find("incident", "i2", &["severity"]), [3]);
        assert_eq!(find("incident", "i2", &["title"]), [0usize; 0]);
        assert_eq!(find("health", "s1", &["status"]), [2]);
        assert_eq!(find("health", "s2", &["status"]), [0usize; 0]);
        assert_eq!(find("maintenance", "i1", &["status"]), [0usize; 0]);
        assert!(!index.is_empty() && StateIndex::<usize>::default().is_empty());
    }
}
