//! Assertions against results (`healthcheck §4`).

use healthcheck_plugin::assertions::{
    Assertion, Field, FieldKind, check,
    decide::{first_failure, holds},
};
use serde_json::{Map, Value, json};

fn assertion(written: Value) -> Assertion {
    serde_json::from_value(written).expect("an assertion")
}

#[track_caller]
fn expect(field: Value, written: Value, outcome: bool) {
    let mut all = json!({ "field": "f" });
    all.as_object_mut()
        .unwrap()
        .extend(written.as_object().unwrap().clone());
    let mut result = Map::new();
    if field != json!("<missing>") {
        result.insert("f".into(), field.clone());
    }
    assert_eq!(
        holds(&assertion(all.clone()), &result),
        outcome,
        "{field} {all}"
    );
}

#[test]
fn healthcheck_19_15_json_path() {
    let path = json!({ "jsonPath": "$.status", "operator": "equals", "value": "ok" });
    expect(json!(r#"{"status":"ok"}"#), path.clone(), true);
    expect(json!(r#"{"status":"bad"}"#), path.clone(), false);
    expect(json!("it is ok"), path, false);
    // On text that is not JSON every operator fails, its negation too.
    expect(
        json!("text"),
        json!({ "jsonPath": "$.a", "operator": "notEquals", "value": 1 }),
        false,
    );
    expect(
        json!("text"),
        json!({ "jsonPath": "$.a", "operator": "notExists" }),
        false,
    );
    expect(
        json!("{}"),
        json!({ "jsonPath": "$.a", "operator": "notExists" }),
        true,
    );
    expect(
        json!(r#"{"a":null}"#),
        json!({ "jsonPath": "$.a", "operator": "exists" }),
        false,
    );
    let several = json!(r#"{"n":[1,2,3]}"#);
    expect(
        several,
        json!({ "jsonPath": "$.n[*]", "operator": "equals", "value": [1, 2, 3] }),
        true,
    );
    let deep = json!(r#"{"queue":{"depth":12}}"#);
    expect(
        deep,
        json!({ "jsonPath": "$.queue.depth", "operator": "lessThan", "value": 20 }),
        true,
    );
}

#[test]
fn healthcheck_19_16_null_is_no_number() {
    for missing in [
        json!(null),
        json!("<missing>"),
        json!(""),
        json!("x"),
        json!(" "),
    ] {
        expect(
            missing.clone(),
            json!({ "operator": "lessThan", "value": 5 }),
            false,
        );
        expect(
            missing,
            json!({ "operator": "greaterThanOrEqual", "value": 0 }),
            false,
        );
    }
    expect(
        json!(3),
        json!({ "operator": "lessThan", "value": "" }),
        false,
    );
    expect(json!(null), json!({ "operator": "notExists" }), true);
    expect(json!("<missing>"), json!({ "operator": "notExists" }), true);
}

#[test]
fn operators_compare_as_people_expect() {
    for (field, written, outcome) in [
        (
            json!(200),
            json!({ "operator": "equals", "value": "200" }),
            true,
        ),
        (
            json!(200.0),
            json!({ "operator": "equals", "value": 200 }),
            true,
        ),
        (
            json!("5.0"),
            json!({ "operator": "equals", "value": 5 }),
            true,
        ),
        (
            json!(200),
            json!({ "operator": "notEquals", "value": 404 }),
            true,
        ),
        (
            json!("12"),
            json!({ "operator": "greaterThan", "value": 11 }),
            true,
        ),
        (
            json!("abc"),
            json!({ "operator": "contains", "value": "b" }),
            true,
        ),
        (
            json!(404),
            json!({ "operator": "startsWith", "value": "4" }),
            true,
        ),
        (json!(null), json!({ "operator": "isEmpty" }), true),
        (json!("x"), json!({ "operator": "isEmpty" }), false),
        (
            json!("error 42"),
            json!({ "operator": "matches", "value": r"\d+" }),
            true,
        ),
        (
            json!("error"),
            json!({ "operator": "matches", "value": "(" }),
            false,
        ),
        (json!(true), json!({ "operator": "isTrue" }), true),
        (json!("true"), json!({ "operator": "isTrue" }), false),
        (json!("<missing>"), json!({ "operator": "isFalse" }), false),
        (
            json!([1, "a"]),
            json!({ "operator": "includes", "value": "1" }),
            true,
        ),
        (
            json!([1, "a"]),
            json!({ "operator": "notIncludes", "value": "b" }),
            true,
        ),
        (
            json!("no list"),
            json!({ "operator": "notIncludes", "value": "b" }),
            false,
        ),
        (
            json!([1, 2]),
            json!({ "operator": "lengthEquals", "value": 2 }),
            true,
        ),
        (json!([]), json!({ "operator": "isEmpty" }), true),
        (json!([]), json!({ "operator": "isNotEmpty" }), false),
        (
            json!([1]),
            json!({ "operator": "lengthGreaterThan", "value": 1 }),
            false,
        ),
        (
            json!(1),
            json!({ "operator": "soundsLike", "value": 1 }),
            false,
        ),
    ] {
        expect(field, written, outcome);
    }
}

#[test]
fn the_first_failing_assertion_gives_the_message() {
    let list: Vec<Assertion> = serde_json::from_value(json!([
        { "field": "statusCode", "operator": "equals", "value": 200 },
        { "field": "responseTimeMs", "operator": "lessThan", "value": 100 },
        { "field": "success", "operator": "isFalse" },
    ]))
    .expect("assertions");
    let mut result = json!({ "statusCode": 200, "responseTimeMs": 150, "success": true });
    let result = result.as_object_mut().unwrap();
    assert_eq!(
        first_failure(&list, result).as_deref(),
        Some("Assertion failed: responseTimeMs lessThan 100")
    );
    result.insert("responseTimeMs".into(), json!(50));
    assert_eq!(
        first_failure(&list, result).as_deref(),
        Some("Assertion failed: success isFalse")
    );
    result.insert("success".into(), json!(false));
    assert_eq!(first_failure(&list, result), None);
}

#[test]
fn senseless_assertions_are_refused_when_saved() {
    const FIELDS: &[Field] = &[
        Field::new("statusCode", FieldKind::Number),
        Field::new("body", FieldKind::JsonText),
        Field::new("text", FieldKind::String),
        Field::new("ok", FieldKind::Boolean),
    ];
    for (written, key) in [
        (
            json!({ "field": "nope", "operator": "equals", "value": 1 }),
            "field",
        ),
        (
            json!({ "field": "statusCode", "operator": "contains", "value": "2" }),
            "operator",
        ),
        (
            json!({ "field": "statusCode", "operator": "equals" }),
            "value",
        ),
        (
            json!({ "field": "statusCode", "operator": "equals", "value": "ok" }),
            "value",
        ),
        (
            json!({ "field": "text", "jsonPath": "$.a", "operator": "equals", "value": 1 }),
            "jsonPath",
        ),
        (
            json!({ "field": "body", "jsonPath": "$[", "operator": "exists" }),
            "jsonPath",
        ),
        (
            json!({ "field": "body", "operator": "lessThan", "value": 1 }),
            "operator",
        ),
        (
            json!({ "field": "text", "operator": "matches", "value": "(?=x)" }),
            "value",
        ),
        (
            json!({ "field": "ok", "operator": "equals", "value": true }),
            "operator",
        ),
    ] {
        let errors = check(&assertion(written.clone()), FIELDS);
        assert_eq!(
            errors.iter().map(|e| e.0).collect::<Vec<_>>(),
            [key],
            "{written}"
        );
    }
    for written in [
        json!({ "field": "statusCode", "operator": "equals", "value": 200 }),
        json!({ "field": "body", "jsonPath": "$.a", "operator": "lessThan", "value": 3 }),
        json!({ "field": "body", "operator": "contains", "value": "x" }),
        json!({ "field": "ok", "operator": "isTrue" }),
    ] {
        assert_eq!(check(&assertion(written), FIELDS), []);
    }
}
