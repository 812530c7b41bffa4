//! The cases recorded from the reference: every one without a quirk must give the same answer.

use serde::Deserialize;
use serde_json::{Map, Value as Json};
use template_engine::condition::Condition;
use template_engine::{Env, Error, Expression, Filters, Template};

use crate::support::{NOW, env_at};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    id: String,
    mode: String,
    source: Json,
    scope: Json,
    now: Option<String>,
    #[serde(default)]
    strict: bool,
    #[serde(default, deserialize_with = "present")]
    result: Option<Json>,
    #[serde(default)]
    undefined: bool,
    error: Option<Expected>,
    quirk: Option<String>,
}

#[derive(Deserialize)]
struct Expected {
    kind: String,
    detail: String,
    line: u32,
    column: u32,
}

/// A `null` result is a result.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}

fn run(case: &Case, env: &Env<'_>) -> Result<Option<Json>, Error> {
    let text = || case.source.as_str().expect("a text source");
    match case.mode.as_str() {
        "template" => Template::parse(text())?
            .render(&case.scope, env)
            .map(|text| Some(Json::from(text))),
        "expression" => Expression::parse(text())?
            .evaluate(&case.scope, env)
            .map(|value| value.into_json()),
        "condition" => Condition::parse(&case.source)
            .unwrap_or_else(|error| panic!("{}: {error}", case.id))
            .test(&case.scope, env)
            .map(|holds| Some(Json::from(holds))),
        mode => panic!("{}: mode {mode}", case.id),
    }
}

/// Equality as the cases define it: numbers as doubles, key order irrelevant.
fn agree(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => a.as_f64() == b.as_f64(),
        (Json::Array(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| agree(a, b))
        }
        (Json::Object(a), Json::Object(b)) => a.len() == b.len() && same_members(a, b),
        _ => a == b,
    }
}

fn same_members(a: &Map<String, Json>, b: &Map<String, Json>) -> bool {
    a.iter()
        .all(|(key, value)| b.get(key).is_some_and(|other| agree(value, other)))
}

/// Cases whose place must agree but not their detail: the reference's lexer knew `}}` in expressions (Q1), and it knew
/// no `+` (Q10).
const OTHER_DETAIL: [&str; 2] = ["parse-5f71bd64", "cond-bbb3b954"];

/// What is wrong with the answer to a case, if anything.
fn difference(case: &Case, got: &Result<Option<Json>, Error>) -> Option<String> {
    match (got, &case.error) {
        (Err(error), Some(expected)) => {
            let at = error.range.start;
            let found = (error.kind.name(), error.detail.name(), at.line, at.column);
            let renamed = OTHER_DETAIL.contains(&case.id.as_str());
            let detail = if renamed {
                error.detail.name()
            } else {
                &expected.detail
            };
            let wanted = (
                expected.kind.as_str(),
                detail,
                expected.line,
                expected.column,
            );
            (found != wanted).then(|| format!("error {found:?}, expected {wanted:?}"))
        }
        (Err(error), None) => Some(format!("error {error}")),
        (Ok(value), Some(_)) => Some(format!("no error, but {value:?}")),
        (Ok(None), None) => {
            (!case.undefined).then(|| format!("undefined, expected {:?}", case.result))
        }
        (Ok(Some(value)), None) => match &case.result {
            Some(expected) if agree(value, expected) => None,
            expected => Some(format!("{value}, expected {expected:?}")),
        },
    }
}

#[test]
fn every_recorded_case_without_a_quirk() {
    let filters = Filters::default();
    let mut failures = Vec::new();
    let mut checked = 0;
    for line in include_str!("../../cases/template.jsonl").lines() {
        let case: Case = serde_json::from_str(line).expect("a case");
        if case.quirk.is_some() {
            continue;
        }
        checked += 1;
        let mut env = env_at(&filters, case.now.as_deref().unwrap_or(NOW));
        env.strict = case.strict;
        if let Some(difference) = difference(&case, &run(&case, &env)) {
            failures.push(format!("{} {}: {difference}", case.id, case.source));
        }
    }
    assert!(
        failures.is_empty(),
        "{} failures\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert_eq!(checked, 2047, "the recorded cases are read completely");
}
