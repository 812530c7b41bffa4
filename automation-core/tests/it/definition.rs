//! Structural reading, normal form and round trip (`definition §18`).

use crate::support::{codes, read, with};
use automation_core::definition::Definition;
use automation_core::yaml;
use serde_json::{Value, json};

#[track_caller]
fn issues(yaml: &str, expect: &[&str]) {
    let (definition, found) = read(yaml);
    assert_eq!(codes(&found), expect, "{yaml}");
    assert_eq!(definition.is_none(), found.has_errors(), "{yaml}");
}

#[track_caller]
fn normal(yaml: &str) -> Value {
    let (definition, found) = read(yaml);
    assert!(!found.has_errors(), "{found:?}");
    definition.unwrap().to_value()
}

#[test]
fn definition_18_1_triggers_are_needed_and_actions_are_not() {
    issues("name: A\ntriggers: []\n", &["missing_field triggers"]);
    issues("name: A\n", &["missing_field triggers"]);
    assert_eq!(normal(&with(""))["actions"], json!([]));
}

#[test]
fn definition_18_2_the_effective_id_is_derived_from_the_event() {
    let (definition, _) = read("name: A\ntriggers: [{ event: Foo--Bar.baz }]\n");
    assert_eq!(
        definition.unwrap().triggers[0].effective_id(),
        "foo_bar_baz"
    );
}

#[test]
fn definition_18_4_ids_have_their_forms() {
    issues(
        "name: A\ntriggers: [{ id: 1x, event: a.b }, { id: bad-id, event: a.b }]\nactions: [{ id: bad-id, delay: { seconds: 1 } }]\n",
        &["bad_format triggers.0.id", "bad_format actions.0.id"],
    );
}

#[test]
fn definition_18_5_a_misspelt_field_is_named_with_its_neighbour() {
    let (_, found) = read(&with(
        "actions: [{ delay: { seconds: 1 }, continue_on_eror: true }]",
    ));
    assert_eq!(codes(&found), ["unknown_field actions.0.continue_on_eror"]);
    let help = found.iter().next().unwrap().help.clone().unwrap();
    assert!(help.contains("`continue_on_error`"), "{help}");
}

#[test]
fn definition_18_6_an_action_has_exactly_one_kind() {
    let (_, found) = read(&with("actions: [{ delay: { seconds: 1 }, stop: {} }]"));
    assert_eq!(codes(&found), ["ambiguous_action actions.0"]);
    let message = &found.iter().next().unwrap().message;
    assert!(
        message.contains("`delay`") && message.contains("`stop`"),
        "{message}"
    );
    let (_, found) = read(&with("actions: [{ wait_untill: {} }]"));
    assert_eq!(codes(&found), ["ambiguous_action actions.0"]);
    let help = found.iter().next().unwrap().help.clone();
    assert_eq!(help.as_deref(), Some("did you mean `wait_until`?"));
}

#[test]
fn definition_18_7_braces_are_stripped_in_the_normal_form() {
    let value =
        normal("name: A\ntriggers: [{ event: a.b, filter: \"{{ trigger.payload.x }}\" }]\n");
    assert_eq!(value["triggers"][0]["filter"], "trigger.payload.x");
    let value = normal("name: A\ntriggers: [{ event: a.b, filter: \"  \" }]\n");
    assert_eq!(value["triggers"][0].get("filter"), None);
}

#[test]
fn definition_18_10_limits_of_numbers() {
    issues(
        "name: A\ntriggers: [{ event: a.b, for: { minutes: 43201 }, window: { count: 0, minutes: 1441 } }]\n",
        &[
            "out_of_range triggers.0.for.minutes",
            "out_of_range triggers.0.window.count",
            "out_of_range triggers.0.window.minutes",
        ],
    );
    issues(
        &with("max_runs: 1001\nstate_window_minutes: 0"),
        &["out_of_range max_runs", "out_of_range state_window_minutes"],
    );
    issues(&with("max_runs: 1.5"), &["wrong_type max_runs"]);
}

#[test]
fn definition_18_14_a_numeric_condition_needs_a_bound_and_a_time_one_a_bound_or_day() {
    issues(
        &with("conditions: [{ numeric_state: { value: 1 } }, { time: { timezone: UTC } }]"),
        &[
            "missing_bound conditions.0.numeric_state",
            "missing_bound conditions.1.time",
        ],
    );
}

#[test]
fn definition_18_22_loops_have_limits() {
    issues(
        &with("actions: [{ repeat: { count: 0, sequence: [{ stop: {} }] } }]"),
        &["out_of_range actions.0.repeat.count"],
    );
    issues(
        &with("actions: [{ repeat: { count: 2, while: x, sequence: [{ stop: {} }] } }]"),
        &["ambiguous_repeat actions.0.repeat"],
    );
    issues(
        &with("actions: [{ repeat: { count: 2, max_iterations: 3, sequence: [{ stop: {} }] } }]"),
        &["unknown_field actions.0.repeat.max_iterations"],
    );
}

#[test]
fn definition_18_23_poll_seconds_is_warned_about_and_dropped() {
    let yaml =
        with("actions: [{ wait_until: { condition: health.system.status, poll_seconds: 30 } }]");
    issues(
        &yaml,
        &["deprecated_field actions.0.wait_until.poll_seconds"],
    );
    assert_eq!(
        normal(&yaml)["actions"][0]["wait_until"],
        json!({"condition": "health.system.status", "continue_on_timeout": true})
    );
}

/// Every kind of trigger, condition and action with every optional key.
const EVERYTHING: &str = r#"
name: Everything
description: "no: it is text"
triggers:
  - { id: T-1, event: a.b.c, config: { z: 1, a: 1.0, text: "1.0", deep: [{ on: yes, nothing: null }] }, filter: "a == 'b'", for: { hours: 1 } }
  - { event: a.b, for: { template: trigger.payload.cool }, window: { count: 3, minutes: 60, refire: once, partitionBy: " a.b " }, cooldown: { minutes: 10 } }
conditions:
  - "{{ !health.system.in_maintenance }}"
  - and: [a, { or: [b, { not: c }] }]
  - numeric_state: { value: health.system.p95_latency_ms, above: 1, below: 2.50 }
  - numeric_state: { value: 3.0, below: 4 }
  - time: { after: "22:00", before: "06:00", weekday: [1, 2], timezone: Europe/Berlin }
  - time: { after: "08:00" }
  - state: { entity: "{{ trigger.payload.systemId }}", status: unhealthy, for: { minutes: 5 } }
actions:
  - { id: open, description: d, enabled: false, continue_on_error: true, action: p.act, config: { title: "{{ x }}", n: 1e3 }, retry: { max_attempts: 5, delay: { seconds: 10 }, backoff: exponential, max_delay: { template: "{{ a }}" } } }
  - { action: p.bare, retry: { max_attempts: 1, delay: { hours: 1 } } }
  - choose: [{ when: a, sequence: [{ stop: { reason: r, error: true } }] }]
    else: []
  - parallel: [{ sequence: [{ delay: { seconds: 0 } }] }, { delay: { template: "{{ a }}" } }]
  - repeat: { for_each: a.list, sequence: [{ variables: { x: "{{ repeat.item }}", y: [1, { z: null }] } }] }
  - repeat: { while: a, max_iterations: 5, sequence: [{ condition: a }] }
  - repeat: { until: a, sequence: [{ stop: {} }] }
  - repeat: { count: 2, sequence: [{ stop: {} }] }
  - wait_for_trigger: { event: a.b.c, filter: x, timeout_seconds: 5, context_key: "{{ a }}" }
  - wait_until: { condition: { state: { entity: s, status: healthy } }, timeout_seconds: 9, continue_on_timeout: false }
mode: queued
concurrency_scope: context_key
max_runs: 3
allow_reentry: true
uses_state: [payments, "8"]
state_window_minutes: 15
"#;

#[test]
fn definition_18_29_the_normal_form_survives_every_round_trip() {
    let (definition, found) = read(EVERYTHING);
    assert!(found.is_empty(), "{found:?}");
    let definition = definition.unwrap();
    let value = definition.to_value();
    insta::assert_snapshot!("normal_form", yaml::emit(&value));
    insta::assert_snapshot!("minimal_form", yaml::emit(&definition.to_minimal()));
    let mut text = yaml::emit(&value);
    for _ in 0..2 {
        let again = yaml::read(&text, &yaml::Limits::default()).unwrap();
        // Text comparison sees key order and the identity of integers and floats.
        assert_eq!(again.to_json().to_string(), value.to_string());
        let json = again.to_json().to_string();
        let from_json = yaml::read(&json, &yaml::Limits::default()).unwrap();
        let (read_again, _) = Definition::read(&from_json);
        assert_eq!(read_again.as_ref(), Some(&definition));
        text = yaml::emit(&read_again.unwrap().to_value());
    }
    let minimal = yaml::emit(&definition.to_minimal());
    let (from_minimal, _) = read(&minimal);
    assert_eq!(
        from_minimal.unwrap().to_value().to_string(),
        value.to_string()
    );
}

#[test]
fn definition_18_29_group_is_refused_inside_a_definition() {
    issues(&with("group: Ops"), &["unknown_field group"]);
}

#[test]
fn definition_2_2_limits_bound_lists_nesting_and_text() {
    let many = |n: usize, item: &str| vec![item; n].join(", ");
    issues(
        &format!("name: A\ntriggers: [{}]\n", many(51, "{ event: a.b }")),
        &["limit_exceeded triggers"],
    );
    issues(
        &with(&format!("conditions: [{}]", many(101, "x"))),
        &["limit_exceeded conditions"],
    );
    issues(
        &with(&format!("uses_state: [{}]", many(51, "x"))),
        &["limit_exceeded uses_state"],
    );
    issues(
        &with(&format!("actions: [{}]", many(1001, "{ stop: {} }"))),
        &["limit_exceeded actions.1000"],
    );
    issues(
        &with(&format!(
            "actions: [{{ parallel: [{}] }}]",
            many(201, "{ stop: {} }")
        )),
        &["limit_exceeded actions.0.parallel"],
    );
    let nested = |n: usize| {
        let mut text = "{ stop: {} }".to_owned();
        for _ in 1..n {
            text = format!("{{ sequence: [{text}] }}");
        }
        with(&format!("actions: [{text}]"))
    };
    issues(&nested(24), &[]);
    let (_, found) = read(&nested(25));
    assert_eq!(found.first_error().unwrap().code, "limit_exceeded");
    let not = |n: usize| {
        with(&format!(
            "conditions: [{}x{}]",
            "{ not: ".repeat(n - 1),
            " }".repeat(n - 1)
        ))
    };
    issues(&not(16), &[]);
    let (_, found) = read(&not(17));
    assert_eq!(found.first_error().unwrap().code, "limit_exceeded");
}

#[test]
fn definition_2_2_long_text_is_refused_from_json_too() {
    let long =
        json!({"name": "A", "description": "x".repeat(65_537), "triggers": [{"event": "a.b"}]});
    let (_, found) = Definition::read(&yaml::Node::from_json(&long));
    assert_eq!(codes(&found), ["limit_exceeded description"]);
}

#[test]
fn definition_4_a_duration_has_exactly_one_unit() {
    issues(
        "name: A\ntriggers: [{ event: a.b, for: {} }, { event: a.c, for: { hours: 1, minutes: 1 } }]\n",
        &[
            "ambiguous_duration triggers.0.for",
            "ambiguous_duration triggers.1.for",
        ],
    );
}

#[test]
fn definition_6_a_condition_has_exactly_one_key() {
    issues(
        &with(
            "conditions: [{}, { and: [a], or: [b] }, { und: [a] }, { and: [] }, 5, \"\", { and: [a], note: x }]",
        ),
        &[
            "ambiguous_condition conditions.0",
            "ambiguous_condition conditions.1",
            "ambiguous_condition conditions.2",
            "bad_length conditions.3.and",
            "wrong_type conditions.4",
            "bad_length conditions.5",
            "unknown_field conditions.6.note",
        ],
    );
}

#[test]
fn definition_8_a_stored_row_keeps_unknown_keys_harmless() {
    let stored = json!({
        "name": "A", "colour": "red",
        "triggers": [{"event": "a.b", "future": 1}],
        "actions": [{"delay": {"seconds": 1}, "note": "x"}],
    });
    let read = Definition::read_stored(&stored).unwrap();
    let ignored: Vec<String> = read
        .ignored
        .iter()
        .map(|p| automation_core::path_text(p))
        .collect();
    assert_eq!(ignored, ["colour", "triggers.0.future", "actions.0.note"]);
    assert!(Definition::read_stored(&json!({"name": "A"})).is_err());
}

#[test]
fn decision_6_event_ids_get_one_dot() {
    let value = normal(
        "name: A\ntriggers: [{ event: healthcheck.system.degraded }]\nactions: [{ wait_for_trigger: { event: a.b.c.d } }]\n",
    );
    assert_eq!(value["triggers"][0]["event"], "healthcheck.system_degraded");
    assert_eq!(value["actions"][0]["wait_for_trigger"]["event"], "a.b_c_d");
    issues(
        "name: A\ntriggers: [{ event: nodot }, { event: a. }]\n",
        &["bad_format triggers.0.event", "bad_format triggers.1.event"],
    );
}
