//! Properties: no text makes the crate panic, and what is written reads back.

use crate::support::{registries, validate};
use automation_core::compiled::CompiledDefinition;
use automation_core::yaml::{Limits, emit, read, read_all};
use proptest::prelude::*;
use serde_json::{Map, Value};

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("finite", |f| f.is_finite())
            .prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[a-z:#{}\\[\\],&*!|>'\"%@` \n\t.0-9~-]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec(("[a-z<: ]{0,6}|.{0,4}", inner), 0..5)
                .prop_map(|e| Value::Object(e.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Pieces of definitions, valid ones and others, put together at random.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "name: A\n",
        "triggers:\n",
        "  - event: incident.created\n",
        "  - event: x\n",
        "    filter: \"{{ a }}\"\n",
        "    for: { minutes: 5 }\n",
        "    window: { count: 1 }\n",
        "conditions: [a, { not: b }, { time: {} }]\n",
        "actions:\n",
        "  - action: automation.log\n",
        "    config: { message: \"{{ x }\" }\n",
        "  - wait_until: { condition: a }\n",
        "  - choose: []\n",
        "  - *a\n",
        "  - &a { stop: {} }\n",
        "mode: single\n",
        "max_runs: 0x10\n",
        "allow_reentry: true\n",
        "    cooldown: { template: a }\n",
        "    retry: { max_attempts: 3, delay: { seconds: 5 } }\n",
        "? \n",
        "---\n",
        "\t",
        "}",
        "[",
        "- ",
        ": ",
        "'",
    ]);
    prop::collection::vec(piece, 0..14).prop_map(|p| p.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_value_survives_being_written_as_yaml(value in values()) {
        let text = emit(&value);
        let again = read(&text, &Limits::default());
        prop_assert!(again.is_ok(), "{text}\n{again:?}");
        prop_assert_eq!(again.unwrap().to_json().to_string(), value.to_string(), "{}", text);
    }

    #[test]
    fn no_text_makes_reading_or_validating_panic(text in ".{0,200}") {
        let _ = read_all(&text, &Limits::default());
        let found = validate(&text);
        let _ = found.issues.render("t", Some(&text), false);
        prop_assert!(found.definition.is_none() || found.is_valid() || !found.issues.is_empty());
    }

    #[test]
    fn definitions_put_together_at_random_are_judged_and_round_trip(text in pieces()) {
        let found = validate(&text);
        let _ = found.issues.render("t", Some(&text), true);
        if let Some(definition) = found.definition {
            let emitted = emit(&definition.to_value());
            let again = validate(&emitted);
            prop_assert_eq!(again.definition.as_ref(), Some(&definition), "{}", emitted);
            if found.issues.iter().all(|d| d.severity != automation_core::Severity::Error) {
                prop_assert!(CompiledDefinition::compile(&definition, &registries()).is_ok());
            }
        } else {
            prop_assert!(found.issues.has_errors());
        }
    }
}
