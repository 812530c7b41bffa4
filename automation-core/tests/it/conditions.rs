//! Compiled conditions, durations and configs (`definition §4`, `§6`, `§18`).

use crate::support::{read, registries, with};
use automation_core::compiled::{CompiledDefinition, CompiledKind, Condition};
use automation_core::registry::Registries;
use serde_json::{Value, json};
use template_engine::Env;

fn compile(yaml: &str, registries: &Registries) -> CompiledDefinition {
    let (definition, found) = read(yaml);
    let definition = definition.unwrap_or_else(|| panic!("{found:?}"));
    CompiledDefinition::compile(&definition, registries).unwrap()
}

#[track_caller]
fn holds(condition: &str, scope: Value, now: &str, expect: bool) {
    let registries = registries();
    let compiled = compile(&with(&format!("conditions: [{condition}]")), &registries);
    let env = Env::new(registries.filters(), now.parse().unwrap());
    let found = compiled.conditions[0].test(&scope, &env);
    assert_eq!(found, Ok(expect), "{condition} at {now}");
}

const NOW: &str = "2026-01-15T12:00:00Z";

#[test]
fn definition_18_14_numeric_conditions_coerce_and_exclude_their_bounds() {
    let numeric =
        |value: &str, bounds: &str| format!("{{ numeric_state: {{ value: {value}, {bounds} }} }}");
    holds(&numeric("\"'12'\"", "above: 11"), json!({}), NOW, true);
    holds(
        &numeric("variables.x", "above: 11"),
        json!({"variables": {"x": "12"}}),
        NOW,
        true,
    );
    holds(&numeric("\"true\"", "above: 0"), json!({}), NOW, false);
    holds(&numeric("11", "above: 11"), json!({}), NOW, false);
    holds(&numeric("nothing", "below: 11"), json!({}), NOW, false);
    holds(&numeric("5", "above: 1, below: 5.5"), json!({}), NOW, true);
}

#[test]
fn definition_18_15_overnight_windows_wrap() {
    let night = "{ time: { after: \"22:00\", before: \"06:00\" } }";
    for (at, expect) in [
        ("23:30", true),
        ("03:30", true),
        ("12:00", false),
        ("22:00", true),
        ("06:00", false),
    ] {
        holds(night, json!({}), &format!("2026-01-15T{at}:00Z"), expect);
    }
    let never = "{ time: { after: \"08:00\", before: \"08:00\" } }";
    holds(never, json!({}), "2026-01-15T08:00:00Z", false);
}

#[test]
fn definition_18_16_the_day_is_that_of_the_instant_in_its_zone() {
    let sunday = |zone: &str| format!("{{ time: {{ weekday: [0], timezone: {zone} }} }}");
    holds(
        &sunday("Asia/Tokyo"),
        json!({}),
        "2026-05-30T23:30:00Z",
        true,
    );
    holds(&sunday("UTC"), json!({}), "2026-05-30T23:30:00Z", false);
}

#[test]
fn definition_6_3_state_conditions_read_resolved_health() {
    let scope = json!({
        "trigger": {"payload": {"systemId": "s1", "seconds": "300"}},
        "health": {"systems": {"s1": {"status": "unhealthy", "in_status_for_ms": 300_000}}},
    });
    let state = |rest: &str| {
        format!("{{ state: {{ entity: \"{{{{ trigger.payload.systemId }}}}\", {rest} }} }}")
    };
    holds(&state("status: unhealthy"), scope.clone(), NOW, true);
    holds(&state("status: healthy"), scope.clone(), NOW, false);
    holds(
        &state("status: unhealthy, for: { minutes: 5 }"),
        scope.clone(),
        NOW,
        true,
    );
    holds(
        &state("status: unhealthy, for: { minutes: 6 }"),
        scope.clone(),
        NOW,
        false,
    );
    holds(
        &state("status: unhealthy, for: { template: trigger.payload.seconds }"),
        scope.clone(),
        NOW,
        true,
    );
    holds(
        &state("status: unhealthy, for: { template: trigger.payload.nope }"),
        scope,
        NOW,
        false,
    );
    holds(
        "{ state: { entity: other, status: healthy } }",
        json!({}),
        NOW,
        false,
    );
}

#[test]
fn definition_6_an_error_in_a_nested_expression_is_not_false() {
    let registries = registries();
    let compiled = compile(
        &with("conditions: [{ not: \"now | nofilter\" }]"),
        &registries,
    );
    let env = Env::new(registries.filters(), NOW.parse().unwrap());
    assert!(compiled.conditions[0].test(&json!({}), &env).is_err());
}

#[test]
fn the_next_time_boundary_of_a_condition_is_known() {
    let compiled = compile(
        &with(
            "conditions: [{ time: { after: \"22:00\", before: \"06:00\", timezone: Europe/Berlin } }]",
        ),
        &registries(),
    );
    let Condition::Time(window) = &compiled.conditions[0] else {
        panic!("not a time condition");
    };
    let next = window
        .next_boundary("2026-01-15T12:00:00Z".parse().unwrap())
        .unwrap();
    assert_eq!(next.to_string(), "2026-01-15T21:00:00Z");
}

#[test]
fn definition_18_9_durations_may_be_computed() {
    let registries = registries();
    let compiled = compile(
        "name: A\ntriggers: [{ event: a.b, for: { template: trigger.payload.cool } }, { event: a.c, for: { hours: 2 } }]\n",
        &registries,
    );
    let env = Env::new(registries.filters(), NOW.parse().unwrap());
    let millis = |i: usize, cool: Value| {
        let scope = json!({"trigger": {"payload": {"cool": cool}}});
        compiled.triggers[i]
            .dwell
            .as_ref()
            .unwrap()
            .millis(&scope, &env)
            .unwrap()
    };
    assert_eq!(millis(0, json!(90)), Some(90_000));
    assert_eq!(millis(0, json!("90.9")), Some(90_000));
    for bad in [
        json!(0),
        json!(0.5),
        json!(-1),
        json!("x"),
        json!(null),
        json!(2_592_001),
        json!([90]),
    ] {
        assert_eq!(millis(0, bad.clone()), None, "{bad}");
    }
    assert_eq!(millis(1, json!(0)), Some(7_200_000));
}

#[test]
fn definition_7_delays_are_floored_and_bounded() {
    let registries = registries();
    let compiled = compile(
        &with("actions: [{ delay: { template: trigger.payload.s } }]"),
        &registries,
    );
    let CompiledKind::Delay(delay) = &compiled.actions[0].kind else {
        panic!("not a delay");
    };
    let env = Env::new(registries.filters(), NOW.parse().unwrap());
    let seconds = |s: Value| {
        delay
            .seconds(&json!({"trigger": {"payload": {"s": s}}}), &env)
            .unwrap()
    };
    assert_eq!(seconds(json!(1.9)), Some(1));
    assert_eq!(seconds(json!(0)), Some(0));
    assert_eq!(seconds(json!("2592000")), Some(2_592_000));
    for bad in [json!(-1), json!(2_592_001), json!("x"), json!(null)] {
        assert_eq!(seconds(bad.clone()), None, "{bad}");
    }
}

#[test]
fn definition_5_6_a_partition_key_falls_back_when_it_is_missing() {
    let registries = registries();
    let compiled = compile(
        "name: A\ntriggers: [{ event: a.b, window: { count: 1, minutes: 1, partitionBy: trigger.payload.k } }]\n",
        &registries,
    );
    let env = Env::new(registries.filters(), NOW.parse().unwrap());
    let key = |k: Value| {
        let scope = json!({"trigger": {"payload": {"k": k}}});
        compiled.triggers[0]
            .window
            .as_ref()
            .unwrap()
            .partition_key(&scope, &env)
            .unwrap()
    };
    assert_eq!(key(json!(" a ")).as_deref(), Some("a"));
    assert_eq!(key(json!(5)).as_deref(), Some("5"));
    assert_eq!(key(json!(null)), None);
    assert_eq!(key(json!("  ")), None);
}

#[test]
fn template_14_secrets_and_code_are_never_rendered_at_any_depth() {
    let registries = registries();
    let compiled = compile(
        &with(
            "actions: [{ action: integration-script.run_shell, config: { script: 'echo \"{{ now }}\"', secretEnv: { T: \"${{ secrets.t }}\" }, other: [\"{{ now }}\", 5] } }, { variables: { a: { b: [\"x{{ now }}\"] } } }]",
        ),
        &registries,
    );
    let env = Env::new(registries.filters(), NOW.parse().unwrap());
    let scope = json!({"now": "N"});
    let CompiledKind::Provider(provider) = &compiled.actions[0].kind else {
        panic!("not a provider action");
    };
    let mut config = provider
        .config
        .as_ref()
        .unwrap()
        .render(&scope, &env)
        .unwrap();
    assert_eq!(
        config,
        json!({"script": "echo \"{{ now }}\"", "secretEnv": {"T": "${{ secrets.t }}"}, "other": ["N", 5]})
    );
    // At run time unknown keys are dropped, not refused.
    provider
        .check
        .as_ref()
        .unwrap()
        .lenient(&mut config)
        .unwrap();
    assert_eq!(config.get("other"), None);
    let CompiledKind::Variables(variables) = &compiled.actions[1].kind else {
        panic!("not variables");
    };
    assert_eq!(
        variables.render(&scope, &env).unwrap(),
        json!({"a": {"b": ["xN"]}})
    );
}

#[test]
fn dispatch_3_8_the_hash_of_a_trigger_changes_with_what_it_asks() {
    let hash = |t: &str| {
        compile(&format!("name: A\ntriggers: [{t}]\n"), &registries()).triggers[0]
            .hash
            .clone()
    };
    let one = hash("{ event: a.b, for: { minutes: 5 } }");
    assert_eq!(one, hash("{ id: x, event: a.b, for: { minutes: 5 } }"));
    assert_ne!(one, hash("{ event: a.b, for: { minutes: 6 } }"));
    assert_ne!(one, hash("{ event: a.b, filter: x, for: { minutes: 5 } }"));
}
