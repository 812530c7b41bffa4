//! Does a result meet an assertion? (`healthcheck §4.2–4.4`)

use super::Assertion;
use serde_json::{Map, Value};

/// The message of the first assertion that fails, in list order; none when all hold.
pub fn first_failure(assertions: &[Assertion], result: &Map<String, Value>) -> Option<String> {
    assertions
        .iter()
        .find(|a| !holds(a, result))
        .map(|a| match &a.value {
            Some(value) => format!(
                "Assertion failed: {} {} {}",
                a.field,
                a.operator,
                text(Some(value))
            ),
            None => format!("Assertion failed: {} {}", a.field, a.operator),
        })
}

/// Whether one assertion holds.
pub fn holds(assertion: &Assertion, result: &Map<String, Value>) -> bool {
    let field = result.get(&assertion.field);
    let expected = assertion.value.as_ref().unwrap_or(&Value::Null);
    match &assertion.json_path {
        None => compare(&assertion.operator, field, expected),
        Some(path) => match at_path(path, field) {
            Ok(found) => compare(&assertion.operator, found.as_ref(), expected),
            Err(NotJson) => false,
        },
    }
}

/// The field is no JSON text, or the path is none: every operator fails.
struct NotJson;

fn at_path(path: &str, field: Option<&Value>) -> Result<Option<Value>, NotJson> {
    let document: Value = match field {
        Some(Value::String(text)) => serde_json::from_str(text).map_err(|_| NotJson)?,
        Some(Value::Null) | None => return Err(NotJson),
        Some(other) => other.clone(),
    };
    let path = serde_json_path::JsonPath::parse(path).map_err(|_| NotJson)?;
    let mut found = path.query(&document).all();
    Ok(match found.len() {
        0 => None,
        1 => Some(found.remove(0).clone()),
        _ => Some(Value::Array(found.into_iter().cloned().collect())),
    })
}

fn compare(operator: &str, actual: Option<&Value>, expected: &Value) -> bool {
    let present = actual.filter(|v| !v.is_null());
    let order = |ok: fn(f64, f64) -> bool| match (present.and_then(number), number(expected)) {
        (Some(a), Some(b)) => ok(a, b),
        _ => false,
    };
    let array = || present.and_then(Value::as_array);
    let length = |ok: fn(f64, f64) -> bool| match (array(), number(expected)) {
        (Some(a), Some(n)) => ok(a.len() as f64, n),
        _ => false,
    };
    let includes = || {
        let wanted = text(Some(expected));
        array().map(|a| a.iter().any(|v| text(Some(v)) == wanted))
    };
    match operator {
        "exists" => present.is_some(),
        "notExists" => present.is_none(),
        "equals" => equals(actual, expected),
        "notEquals" => !equals(actual, expected),
        "contains" => text(actual).contains(&text(Some(expected))),
        "startsWith" => text(actual).starts_with(&text(Some(expected))),
        "endsWith" => text(actual).ends_with(&text(Some(expected))),
        "matches" => regex::Regex::new(&text(Some(expected)))
            .is_ok_and(|pattern| pattern.is_match(&text(actual))),
        "isEmpty" => match present {
            Some(Value::Array(a)) => a.is_empty(),
            _ => text(actual).is_empty(),
        },
        "isNotEmpty" => array().is_some_and(|a| !a.is_empty()),
        "isTrue" => present == Some(&Value::Bool(true)),
        "isFalse" => present == Some(&Value::Bool(false)),
        "lessThan" => order(|a, b| a < b),
        "lessThanOrEqual" => order(|a, b| a <= b),
        "greaterThan" => order(|a, b| a > b),
        "greaterThanOrEqual" => order(|a, b| a >= b),
        "includes" => includes() == Some(true),
        "notIncludes" => includes() == Some(false),
        "lengthEquals" => length(|a, b| a == b),
        "lengthGreaterThan" => length(|a, b| a > b),
        "lengthLessThan" => length(|a, b| a < b),
        _ => false,
    }
}

/// Same number, same value, or same text.
fn equals(actual: Option<&Value>, expected: &Value) -> bool {
    let Some(actual) = actual.filter(|v| !v.is_null()) else {
        return expected.is_null() || text(Some(expected)).is_empty();
    };
    if actual == expected || text(Some(actual)) == text(Some(expected)) {
        return true;
    }
    matches!((number(actual), number(expected)), (Some(a), Some(b)) if a == b)
}

/// A finite number, or a text that reads as one; blank text is none.
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(n) => n.as_f64(),
        Value::String(s) => s.trim().parse().ok(),
        _ => None,
    }
    .filter(|n| n.is_finite())
}

/// The text form: strings as they are, nothing for missing and null, else JSON; whole numbers
/// without fraction.
fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(s)) => s.clone(),
        Some(Value::Number(n)) => match n.as_f64() {
            Some(f) if f.fract() == 0.0 && f.abs() < 9e15 => format!("{f:.0}"),
            _ => n.to_string(),
        },
        Some(other) => other.to_string(),
    }
}
