//! Explanations name what decided, never panic, and explain every false.

use proptest::prelude::*;
use serde_json::{Value as Json, json};
use template_engine::condition::Condition;
use template_engine::explain::MAX_FACTS;
use template_engine::{Expression, Filters};

use crate::support::{NOW, env_at};

fn lines(source: &str, scope: &Json) -> Vec<String> {
    let filters = Filters::default();
    let env = env_at(&filters, NOW);
    let facts = Expression::parse(source)
        .unwrap_or_else(|e| panic!("{source}: {e}"))
        .explain(scope, &env);
    facts.iter().map(ToString::to_string).collect()
}

fn condition_lines(condition: Json, scope: &Json) -> Vec<String> {
    let filters = Filters::default();
    let env = env_at(&filters, NOW);
    let condition = Condition::parse(&condition).unwrap_or_else(|e| panic!("{condition}: {e}"));
    let facts = condition.explain(scope, &env);
    facts.iter().map(ToString::to_string).collect()
}

#[test]
fn the_smallest_deciding_parts_are_named_with_their_values() {
    let scope = json!({
        "health": {"system": {"status": "degraded", "p95": 512, "in_maintenance": true}},
        "trigger": {"payload": {"n": 3, "tags": ["a", "b"], "who": null, "id": "x"}},
        "variables": {"limit": 5},
        "state": {"incident": {"x": {"status": "open"}}},
    });
    let cases: &[(&str, &[&str])] = &[
        (
            r#"health.system.status == "unhealthy""#,
            &[r#"health.system.status == "unhealthy" was "degraded""#],
        ),
        (
            r#"health.system.p95 > 100 && health.system.status == "unhealthy" && missing"#,
            &[r#"health.system.status == "unhealthy" was "degraded""#],
        ),
        (
            "health.system.p95 > 800 || health.system.status == 'down'",
            &[
                "health.system.p95 > 800 was 512",
                "health.system.status == 'down' was \"degraded\"",
            ],
        ),
        (
            "!health.system.in_maintenance",
            &["health.system.in_maintenance was true"],
        ),
        (
            "!(trigger.payload.n == 1 || trigger.payload.n == 3)",
            &["trigger.payload.n == 3 was 3"],
        ),
        (
            "trigger.payload.n > variables.limit",
            &["trigger.payload.n > variables.limit was 3 > 5"],
        ),
        (
            "trigger.payload.n == variables.other.limit",
            &[
                "trigger.payload.n == variables.other.limit was 3 == missing (there is no variables.other)",
            ],
        ),
        (
            "health.other.deep.er == 'x'",
            &["health.other.deep.er == 'x' was missing (there is no health.other)"],
        ),
        (
            "trigger.payload.who.name == 'x'",
            &["trigger.payload.who.name == 'x' was missing (trigger.payload.who is null)"],
        ),
        ("missing", &["missing was missing"]),
        (
            "state.incident[trigger.payload.id].status != 'open'",
            &[
                "state.incident[trigger.payload.id].status != 'open' was \"open\"",
                "trigger.payload.id was \"x\"",
            ],
        ),
        (
            "(trigger.payload.tags | length) > 2",
            &[
                "(trigger.payload.tags | length) > 2 was 2",
                "trigger.payload.tags was [\"a\",\"b\"]",
            ],
        ),
        (
            "trigger.payload.n + trigger.payload.nope == 'x'",
            &[
                "trigger.payload.n + trigger.payload.nope == 'x' was missing",
                "trigger.payload.n was 3",
                "trigger.payload.nope was missing",
            ],
        ),
        (
            "trigger.payload.n == 3 ? health.system.status == 'x' : true",
            &[
                "trigger.payload.n == 3 was 3",
                "health.system.status == 'x' was \"degraded\"",
            ],
        ),
        (
            "(1 == 2) || (false)",
            &["1 == 2 was 1 == 2", "false was false"],
        ),
        (
            "trigger.payload.n | nope",
            &[
                "trigger.payload.n | nope was an error: No filter is called `nope`",
                "trigger.payload.n was 3",
            ],
        ),
    ];
    for (source, expected) in cases {
        let got = lines(source, &scope);
        // Messages of errors are not part of the contract.
        let got: Vec<&str> = got
            .iter()
            .map(|l| l.find("an error").map_or(l.as_str(), |at| &l[..at]))
            .collect();
        let expected: Vec<&str> = expected
            .iter()
            .map(|l| l.find("an error").map_or(*l, |at| &l[..at]))
            .collect();
        assert_eq!(got, expected, "{source}");
    }
}

#[test]
fn structured_conditions_say_how_they_missed() {
    let scope = json!({
        "health": {
            "system": {"p95_latency_ms": 512, "label": "fast"},
            "systems": {
                "payments-api": {"status": "degraded", "in_status_for_ms": 1000},
                "search": {"status": "healthy", "in_status_for_ms": 180_000},
            },
        },
        "for_s": "soon",
    });
    // 2026-01-15T12:00Z is a Thursday.
    let cases: &[(Json, &[&str])] = &[
        (
            json!({"numeric_state": {"value": "health.system.p95_latency_ms", "above": 800}}),
            &["numeric_state: health.system.p95_latency_ms was 512, not above 800"],
        ),
        (
            json!({"numeric_state": {"value": "health.system.p95_latency_ms", "above": 600, "below": 500}}),
            &[
                "numeric_state: health.system.p95_latency_ms was 512, not above 600 and not below 500",
            ],
        ),
        (
            json!({"numeric_state": {"value": "health.system.label", "above": 800}}),
            &["numeric_state: health.system.label was \"fast\", not a number"],
        ),
        (
            json!({"numeric_state": {"value": "health.nope.p95", "below": 1}}),
            &[
                "numeric_state: health.nope.p95 was missing, not a number",
                "health.nope.p95 was missing (there is no health.nope)",
            ],
        ),
        (
            json!({"state": {"entity": "payments-api", "status": "healthy"}}),
            &["state: payments-api was degraded, not healthy"],
        ),
        (
            json!({"state": {"entity": "search", "status": "healthy", "for": {"minutes": 10}}}),
            &["state: search was healthy only for 3 min of 10 min"],
        ),
        (
            json!({"not": {"state": {"entity": "search", "status": "healthy", "for": {"minutes": 2}}}}),
            &["state: search was healthy for 3 min, at least 2 min"],
        ),
        (
            json!({"state": {"entity": "search", "status": "healthy", "for": {"template": "for_s"}}}),
            &[
                "state: search was healthy, but `for` gives no duration from 1 s to 30 d",
                "for_s was \"soon\"",
            ],
        ),
        (
            json!({"state": {"entity": "nobody", "status": "healthy"}}),
            &["state: nobody was not known, so not healthy"],
        ),
        (
            json!({"state": {"entity": "{{ nothing }}", "status": "healthy"}}),
            &["state: {{ nothing }} was blank, so it names no system"],
        ),
        (
            json!({"time": {"after": "22:00"}}),
            &["time was 12:00 Thu in UTC, not after 22:00"],
        ),
        (
            json!({"time": {"after": "22:00", "before": "06:00", "timezone": "Europe/Berlin"}}),
            &["time was 13:00 Thu in Europe/Berlin, not between 22:00 and 06:00"],
        ),
        (
            json!({"time": {"before": "06:00", "weekday": [0, 6]}}),
            &["time was 12:00 Thu in UTC, not on Sun, Sat and not before 06:00"],
        ),
        (
            json!({"not": {"time": {"after": "08:00", "weekday": [4]}}}),
            &["time was 12:00 Thu in UTC, on Thu and after 08:00"],
        ),
        (
            json!({"and": ["true", {"or": ["false", "0"]}, "1 == 2"]}),
            &["false was false", "0 was 0"],
        ),
        (json!({"not": {"and": []}}), &[]),
        (json!({"or": []}), &["or was an empty list"]),
    ];
    for (condition, expected) in cases {
        assert_eq!(
            condition_lines(condition.clone(), &scope),
            *expected,
            "{condition}"
        );
    }
}

#[test]
fn a_text_that_does_not_parse_is_explained_by_its_error() {
    let got = condition_lines(json!({"and": ["true", "a == )"]}), &json!({}));
    assert_eq!(got.len(), 1);
    assert!(got[0].starts_with(") was an error: "), "{got:?}");
}

#[test]
fn an_explanation_is_bounded() {
    let source: Vec<String> = (0..500).map(|i| format!("a{i} == 'x'")).collect();
    let got = lines(&source.join(" || "), &json!({}));
    assert_eq!(got.len(), MAX_FACTS);
    assert_eq!(got[MAX_FACTS - 1], "(more) was left out");
    let long = json!({"a": "y".repeat(10_000), "b": [["z".repeat(9_000)]]});
    for source in ["a == 'x'", "b == 'x'", "a.b.c == 'x'"] {
        for line in lines(source, &long) {
            assert!(line.chars().count() < 200, "{line}");
        }
    }
    // The last member of a chain that fills a program is found all the same.
    let chain = format!("{}last", "t && ".repeat(3_000));
    assert_eq!(lines(&chain, &json!({"t": true})), ["last was missing"]);
    let deep = format!("{}last", "not ".repeat(120));
    assert_eq!(lines(&deep, &json!({"last": 0})), ["last was 0"]);
}

/// Sources that parse most of the time.
fn source() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("a".to_owned()),
        Just("b.c".to_owned()),
        Just("b.c.d.e".to_owned()),
        Just("l[0]".to_owned()),
        Just("b[a]".to_owned()),
        Just("missing.x".to_owned()),
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("0".to_owned()),
        Just("'(x'".to_owned()),
        Just("\"é)\\\"\"".to_owned()),
    ];
    leaf.prop_recursive(5, 40, 3, |inner| {
        let operator = prop_oneof![
            Just("||"), Just("&&"), Just("=="), Just("!="), Just("<"), Just(">="), Just("+"), Just("%"),
        ];
        let filter = prop_oneof![Just("upper"), Just("length"), Just("not"), Just("nope"), Just("default(a)")];
        prop_oneof![
            3 => (inner.clone(), operator, inner.clone()).prop_map(|(a, o, b)| format!("{a} {o} {b}")),
            1 => inner.clone().prop_map(|a| format!("!{a}")),
            1 => inner.clone().prop_map(|a| format!("({a})")),
            1 => (inner.clone(), filter).prop_map(|(a, f)| format!("({a} | {f})")),
            1 => (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
        ]
    })
}

fn value() -> impl Strategy<Value = Json> {
    prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        (-3_i64..3).prop_map(Json::from),
        ".{0,4}".prop_map(Json::from),
        prop::collection::vec((-1_i64..2).prop_map(Json::from), 0..3).prop_map(Json::Array),
        Just(json!({"d": {"e": 1}, "": 2})),
    ]
}

fn tree(sources: Vec<String>, shape: u8) -> Json {
    let members: Vec<Json> = sources.iter().map(|s| json!(s)).collect();
    let first = sources.first().cloned().unwrap_or_default();
    match shape % 7 {
        0 => json!({"and": members}),
        1 => json!({"or": members}),
        2 => json!({"not": {"or": members}}),
        3 => json!({"not": {"and": members}}),
        4 => json!({"and": [{"numeric_state": {"value": first, "above": 0}}, {"not": first}]}),
        5 => {
            json!({"or": [{"state": {"entity": "{{ a }}", "status": "healthy", "for": {"template": first}}}]})
        }
        _ => {
            json!({"and": [{"time": {"after": "11:00", "before": "13:00", "weekday": [4]}}, {"or": members}]})
        }
    }
}

proptest! {
    #[test]
    fn every_false_and_every_error_is_explained_within_bounds(
        source in source(), a in value(), c in value(), health in value(),
    ) {
        let filters = Filters::default();
        let env = env_at(&filters, NOW);
        let scope = json!({"a": a, "b": {"c": c}, "l": [1, {"x": 2}], "health": {"systems": {"x": health}}});
        if let Ok(program) = Expression::parse(&source) {
            for env in [env, env.strict()] {
                let facts = program.explain(&scope, &env);
                prop_assert!(!facts.is_empty() && facts.len() <= MAX_FACTS, "{}: {:?}", source, facts);
                for f in &facts {
                    prop_assert!(!f.source.is_empty() && !f.value.is_empty(), "{}: {:?}", source, facts);
                    prop_assert!(f.source.chars().count() <= 200 && f.value.chars().count() <= 120);
                }
            }
        }
    }

    #[test]
    fn every_condition_that_does_not_hold_is_explained(
        sources in prop::collection::vec(source(), 1..4), shape in any::<u8>(), a in value(), c in value(),
    ) {
        let filters = Filters::default();
        let env = env_at(&filters, NOW);
        let scope = json!({"a": a, "b": {"c": c}, "l": [1], "health": {"systems": {"x": {"status": "healthy"}}}});
        let condition = Condition::parse(&tree(sources, shape)).expect("a condition");
        let facts = condition.explain(&scope, &env);
        prop_assert!(facts.len() <= MAX_FACTS);
        if condition.test(&scope, &env).ok() != Some(true) {
            prop_assert!(!facts.is_empty(), "{:?}", condition);
        }
    }

    #[test]
    fn no_text_at_all_breaks_an_explanation(text in ".{0,40}", a in value()) {
        let filters = Filters::default();
        let env = env_at(&filters, NOW);
        let condition = Condition::parse(&json!({"or": [text]})).expect("a condition");
        let facts = condition.explain(&json!({"a": a}), &env);
        prop_assert!(!facts.is_empty());
    }
}
