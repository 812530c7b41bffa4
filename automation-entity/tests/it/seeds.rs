//! The seeds' own examples of diffs and field texts, and properties of the diff.

use automation_core::yaml;
use automation_entity::{canonical, diff, field_text, same};
use proptest::prelude::*;
use serde_json::{Value, json};

const SEEDS: &str = include_str!("../../../test-kit/cases/seeds.yaml");

fn section(name: &str) -> Vec<Value> {
    let seeds = yaml::read(SEEDS, &yaml::Limits::default())
        .unwrap()
        .to_json();
    let Value::Array(cases) = seeds[name].clone() else {
        panic!("seeds.yaml has no list {name}");
    };
    assert!(!cases.is_empty());
    cases
}

#[test]
fn seeds_diff() {
    for case in section("diff") {
        let found = diff(case["prev"].as_object(), case["next"].as_object());
        assert_eq!(json!(found.changed_fields), case["changed"], "{case}");
        if let Some(delta) = case.get("delta") {
            assert_eq!(Value::Object(found.delta), *delta, "{case}");
        }
    }
}

#[test]
fn seeds_field_text() {
    for case in section("field_text") {
        assert_eq!(
            field_text(case.get("value")),
            case["text"].as_str().unwrap(),
            "{case}"
        );
    }
}

#[test]
fn the_pure_diff_of_a_removal_yields_a_null_per_field() {
    let prev = json!({"a": 1, "b": null});
    let found = diff(prev.as_object(), None);
    assert_eq!(
        (found.changed_fields, Value::Object(found.delta)),
        (vec!["a".to_owned()], json!({"a": null}))
    );
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a-c]{1,2}", inner, 0..4)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

/// The same value with every object's keys the other way round.
fn reversed(value: &Value) -> Value {
    match value {
        Value::Object(m) => m
            .iter()
            .rev()
            .map(|(k, v)| (k.clone(), reversed(v)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(reversed).collect(),
        other => other.clone(),
    }
}

proptest! {
    #[test]
    fn sameness_is_equality_of_canonical_forms(a in json_value(), b in json_value()) {
        prop_assert_eq!(same(&a, &b), canonical(&a) == canonical(&b));
        prop_assert!(same(&a, &reversed(&a)));
    }

    #[test]
    fn a_diff_applied_to_the_state_before_gives_the_state_after(
        prev in prop::collection::hash_map("[a-d]", json_value(), 0..4),
        next in prop::collection::hash_map("[a-d]", json_value(), 0..4),
    ) {
        let (prev, next): (serde_json::Map<_, _>, serde_json::Map<_, _>) = (prev.into_iter().collect(), next.into_iter().collect());
        let found = diff(Some(&prev), Some(&next));
        let mut patched = prev.clone();
        patched.extend(found.delta);
        prop_assert!(diff(Some(&patched), Some(&next)).changed_fields.is_empty());
        prop_assert!(diff(Some(&next), Some(&next)).changed_fields.is_empty());
    }
}
