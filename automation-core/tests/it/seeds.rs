//! The seeds' own examples: every definition parses, compiles and keeps its meaning.

use crate::support::registries;
use automation_core::Severity;
use automation_core::compiled::CompiledDefinition;
use automation_core::definition::Definition;
use automation_core::validate::{Capabilities, Validator};
use automation_core::yaml::{self, Kind, Node};

pub const SEEDS: &str = include_str!("../../../test-kit/cases/seeds.yaml");

pub fn definitions() -> Vec<(String, Node)> {
    let root = yaml::read(SEEDS, &yaml::Limits::default()).unwrap();
    let Some(Kind::List(items)) = root.get("definitions").map(|n| n.kind.clone()) else {
        panic!("seeds.yaml has no definitions");
    };
    items
        .iter()
        .map(|item| {
            let name = item.get("name").and_then(Node::as_str).unwrap().to_owned();
            (name, item.get("definition").unwrap().clone())
        })
        .collect()
}

#[test]
fn every_seed_definition_parses_compiles_and_round_trips() {
    let all = definitions();
    assert!(all.len() >= 10);
    for (name, node) in all {
        let (definition, issues) = Definition::read(&node);
        assert!(issues.is_empty(), "{name}: {issues:?}");
        let definition = definition.unwrap();
        let compiled = CompiledDefinition::compile(&definition, &registries());
        assert!(compiled.is_ok(), "{name}: {compiled:?}");
        for value in [definition.to_value(), definition.to_minimal()] {
            let text = yaml::emit(&value);
            let again = yaml::read(&text, &yaml::Limits::default()).unwrap();
            assert_eq!(again.to_json(), value, "{name}\n{text}");
            assert_eq!(
                Definition::read(&again).0,
                Some(definition.clone()),
                "{name}"
            );
        }
    }
}

#[test]
fn every_seed_definition_validates_without_errors_or_warnings_but_for_its_missing_ids() {
    let registries = registries();
    let validator = Validator {
        registries: &registries,
        capabilities: &Capabilities::all(),
    };
    for (name, node) in definitions() {
        let found = validator.node(&node, Some(SEEDS));
        let serious: Vec<_> = found
            .issues
            .iter()
            .filter(|d| d.severity != Severity::Info && d.code != "missing_producer_id")
            .collect();
        assert!(serious.is_empty(), "{name}: {serious:?}");
    }
}
