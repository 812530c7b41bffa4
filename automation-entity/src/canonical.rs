//! When two field values are the same (`entity §7.3`), and the text the transition log keeps of one.
//!
//! Canonical form makes spelling irrelevant: keys are sorted, `1.0` is `1`, `-0.0` is `0`. Lists keep
//! their order. Integers are exact over the whole range of `i64` and `u64`.

use serde_json::{Map, Number, Value};
use std::fmt::Write;

/// Whether two values have the same canonical form; an absent nested key and a null one differ.
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || number_text(a) == number_text(b),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => same_members(a, b),
        _ => a == b,
    }
}

fn same_members(a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    a.len() == b.len()
        && a.iter()
            .all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
}

/// The canonical form as text.
pub fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write_canonical(value, &mut out);
    out
}

/// The text the transition log stores of a field: null and absent are `null`, a string is itself
/// without quotes, everything else its canonical form. `"42"` and `42` are not told apart.
pub fn field_text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "null".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => canonical(other),
    }
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => out.push_str(&number_text(n)),
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_unstable_by_key(|(key, _)| key.as_str());
            out.push('{');
            for (i, (key, value)) in sorted.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_string(key, out);
                out.push(':');
                write_canonical(value, out);
            }
            out.push('}');
        }
    }
}

fn write_string(text: &str, out: &mut String) {
    let _ = write!(out, "{}", Value::from(text));
}

fn number_text(n: &Number) -> String {
    if let Some(i) = n.as_i64() {
        return i.to_string();
    }
    if let Some(u) = n.as_u64() {
        return u.to_string();
    }
    match n.as_f64() {
        // Display writes the shortest digits that read back as the same float, and none after an
        // integral value.
        Some(f) if f.is_finite() => format!("{}", if f == 0.0 { 0.0 } else { f }),
        _ => "null".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn spelling_does_not_matter() {
        assert!(same(&json!(1), &json!(1.0)));
        assert!(same(&json!(0), &json!(-0.0)));
        assert!(same(
            &json!({"a": 1, "b": [2]}),
            &json!({"b": [2.0], "a": 1})
        ));
        assert!(!same(&json!([1, 2]), &json!([2, 1])));
        assert!(!same(&json!({"a": null}), &json!({})));
        assert!(!same(&json!("1"), &json!(1)));
    }

    #[test]
    fn integers_are_exact() {
        let (a, b) = (9_007_199_254_740_993_i64, 9_007_199_254_740_992_f64);
        assert!(!same(&json!(a), &json!(b)));
        assert!(same(&json!(9_007_199_254_740_992_i64), &json!(b)));
        assert_eq!(canonical(&json!(u64::MAX)), "18446744073709551615");
        assert_eq!(canonical(&json!(i64::MIN)), "-9223372036854775808");
    }

    #[test]
    fn texts() {
        assert_eq!(
            canonical(&json!({"b": [1.0, null], "a": "x\"y"})),
            r#"{"a":"x\"y","b":[1,null]}"#
        );
        assert_eq!(canonical(&json!(0.1)), "0.1");
        assert_eq!(canonical(&json!(-0.0)), "0");
        assert_eq!(field_text(Some(&json!("x\"y"))), "x\"y");
        assert_eq!(field_text(None), "null");
    }
}
