//! `retry`, `cooldown` and `allow_reentry`: how they are read, written and compiled.

use crate::support::{check, codes, read, registries, with};
use automation_core::compiled::{CompiledDefinition, CompiledDuration};
use automation_core::definition::{Backoff, Definition, Duration, Retry};
use automation_core::yaml;
use proptest::prelude::*;
use serde_json::{Value, json};

fn action(rest: &str) -> String {
    with(&format!(
        "actions: [{{ action: automation.log, config: {{ message: m }}, {rest} }}]"
    ))
}

fn normal(text: &str) -> Value {
    let (definition, found) = read(text);
    definition.unwrap_or_else(|| panic!("{found:?}")).to_value()
}

#[test]
fn retry_says_how_often_and_how_long_after() {
    check(
        &action("retry: { max_attempts: 3, delay: { seconds: 5 } }"),
        &[],
    );
    let value = normal(&action("retry: { max_attempts: 3, delay: { seconds: 5 } }"));
    assert_eq!(
        value["actions"][0]["retry"],
        json!({"max_attempts": 3, "delay": {"seconds": 5}, "backoff": "fixed"})
    );
    check(
        &action("retry: {}"),
        &[
            "missing_field actions.0.retry.delay",
            "missing_field actions.0.retry.max_attempts",
        ],
    );
    check(
        &action(
            "retry: { max_attempts: 11, delay: { seconds: 0 }, backoff: linear, max_delay: 5, jitter: 1 }",
        ),
        &[
            "out_of_range actions.0.retry.max_attempts",
            "out_of_range actions.0.retry.delay.seconds",
            "bad_enum actions.0.retry.backoff",
            "wrong_type actions.0.retry.max_delay",
            "unknown_field actions.0.retry.jitter",
        ],
    );
    check(
        &action("retry: { max_attempts: 0, delay: { seconds: 1, minutes: 1 } }"),
        &[
            "out_of_range actions.0.retry.max_attempts",
            "ambiguous_duration actions.0.retry.delay",
        ],
    );
}

#[test]
fn retry_belongs_on_provider_actions() {
    let text = with("actions: [{ stop: {}, retry: { max_attempts: 3, delay: { seconds: 5 } } }]");
    let (_, found) = read(&text);
    assert_eq!(codes(&found), ["unknown_field actions.0.retry"]);
    let help = found.iter().next().unwrap().help.clone().unwrap();
    assert_eq!(help, "it belongs on provider actions, those with `action`");
    // A stored row is read nevertheless.
    let stored = json!({
        "name": "A", "triggers": [{"event": "a.b"}],
        "actions": [{"stop": {}, "retry": {"max_attempts": 3}}],
    });
    let read = Definition::read_stored(&stored).unwrap();
    assert_eq!(read.ignored.len(), 1);
    assert_eq!(read.definition.actions[0].retry, None);
}

#[test]
fn cooldown_and_allow_reentry_have_their_places_too() {
    let (_, found) = read(&with("cooldown: { minutes: 5 }"));
    assert_eq!(codes(&found), ["unknown_field cooldown"]);
    let help = found.iter().next().unwrap().help.clone().unwrap();
    assert_eq!(help, "it belongs on a trigger");
    let (_, found) = read("name: A\ntriggers: [{ event: a.b, allow_reentry: true }]\n");
    assert_eq!(codes(&found), ["unknown_field triggers.0.allow_reentry"]);
    let (_, found) = read(&with("allow_reentry: 1"));
    assert_eq!(codes(&found), ["wrong_type allow_reentry"]);
}

#[test]
fn the_expressions_in_them_are_checked_where_they_stand() {
    check(
        "name: A\ntriggers: [{ event: incident.created, cooldown: { template: \"trigger.payload.a | nope\" } }]\n",
        &["unknown_filter triggers.0.cooldown.template"],
    );
    check(
        "name: A\ntriggers: [{ event: incident.created, cooldown: { minutes: 43201 } }]\n",
        &["out_of_range triggers.0.cooldown.minutes"],
    );
    check(
        &action(
            "retry: { max_attempts: 2, delay: { template: \"{{ variabels.x }}\" }, max_delay: { template: \"a b\" } }",
        ),
        &[
            "expression_braces actions.0.retry.delay.template",
            "unknown_root actions.0.retry.delay.template",
            "expression_syntax actions.0.retry.max_delay.template",
        ],
    );
}

#[test]
fn they_are_compiled_and_the_cooldown_is_no_part_of_what_a_dwell_is_armed_under() {
    let compile = |cooldown: &str, minutes: u32| {
        let text = format!(
            "name: A\nallow_reentry: true\ntriggers: [{{ event: incident.created, for: {{ minutes: {minutes} }}, {cooldown} }}]\nactions: [{{ action: automation.log, config: {{ message: m }}, retry: {{ max_attempts: 4, delay: {{ minutes: 1 }}, backoff: exponential }} }}]\n"
        );
        let (definition, found) = read(&text);
        let definition = definition.unwrap_or_else(|| panic!("{found:?}"));
        CompiledDefinition::compile(&definition, &registries()).unwrap()
    };
    let with_cooldown = compile("cooldown: { hours: 1 }", 5);
    let trigger = &with_cooldown.triggers[0];
    assert!(matches!(
        trigger.cooldown,
        Some(CompiledDuration::Millis(3_600_000))
    ));
    assert_eq!(trigger.hash, compile("", 5).triggers[0].hash);
    assert_ne!(trigger.hash, compile("", 6).triggers[0].hash);
    assert!(with_cooldown.definition.allow_reentry);
    let retry = with_cooldown.actions[0].retry.as_ref().unwrap();
    assert_eq!(
        (retry.max_attempts, retry.backoff),
        (4, Backoff::Exponential)
    );
}

#[test]
fn the_pages_for_operators_hold_definitions_that_validate() {
    let page = include_str!("../../../docs/retries-cooldowns-loops.md");
    let blocks: Vec<&str> = page
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split_once("```").map(|(block, _)| block))
        .collect();
    assert!(blocks.len() >= 3);
    for block in blocks {
        check(block, &[]);
    }
}

fn durations() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (1u32..=2_592_000).prop_map(Duration::Seconds),
        (1u32..=43_200).prop_map(Duration::Minutes),
        (1u32..=720).prop_map(Duration::Hours),
    ]
}

proptest! {
    #[test]
    fn whatever_they_say_reads_back(
        max_attempts in 1u32..=10,
        delay in durations(),
        exponential in any::<bool>(),
        max_delay in prop::option::of(durations()),
        cooldown in prop::option::of(durations()),
        allow_reentry in any::<bool>(),
    ) {
        let (definition, _) = read(&action("continue_on_error: true"));
        let mut definition = definition.unwrap();
        definition.allow_reentry = allow_reentry;
        definition.triggers[0].cooldown = cooldown;
        definition.actions[0].retry = Some(Retry {
            max_attempts,
            delay,
            backoff: if exponential { Backoff::Exponential } else { Backoff::Fixed },
            max_delay,
        });
        for value in [definition.to_value(), definition.to_minimal()] {
            let text = yaml::emit(&value);
            let (again, found) = read(&text);
            prop_assert!(found.is_empty(), "{found:?}");
            prop_assert_eq!(again.as_ref(), Some(&definition), "{}", text);
        }
    }
}
