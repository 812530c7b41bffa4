//! The conversions and comparisons of the language (template §5 and §6), as functions of values.
//!
//! They are public because their neighbours need the same answers: a step's durations (`to_number`), partition and
//! context keys (`to_text`), the text of a changed field (`json_text`), a numeric condition (`finite_number`).

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Map, Value as Json};

use crate::lexer::is_whitespace;
use crate::limits::{Limits, Overflow};
use crate::number::{parse_number, write_number};
use crate::scope::lookup;
use crate::value::{Number, Value};
use crate::view::View;

/// Truthiness (template §5.1): false are Undefined, Null, `false`, `0`, `""`, `[]` and `{}`.
pub fn truthy(value: &Value<'_>) -> bool {
    is_truthy(value.view())
}

#[inline]
pub(crate) fn is_truthy(value: View<'_>) -> bool {
    match value {
        View::Undefined | View::Null => false,
        View::Bool(b) => b,
        // Not `!= 0.0` alone: a NaN from a plugin's filter counts as false too.
        View::Number(n) => n.as_f64().abs() > 0.0,
        View::String(s) => !s.is_empty(),
        View::Array(items) => !items.is_empty(),
        View::Object(map) => !map.is_empty(),
    }
}

/// The text of a value in comparisons, index keys and `join` (template §5.3): `undefined`, `null`, `[object Object]`, …
/// For the text a template renders see [`Template`](crate::Template).
///
/// # Errors
/// [`Overflow::Depth`] when an array is nested deeper than [`Limits::value_depth`] by default allows.
pub fn to_text<'v>(value: &'v Value<'_>) -> Result<Cow<'v, str>, Overflow> {
    text_within(value.view(), Limits::DEFAULT.value_depth)
}

pub(crate) fn text_within(value: View<'_>, depth: usize) -> Result<Cow<'_, str>, Overflow> {
    Ok(match value {
        View::Undefined => Cow::Borrowed("undefined"),
        View::Null => Cow::Borrowed("null"),
        View::Bool(true) => Cow::Borrowed("true"),
        View::Bool(false) => Cow::Borrowed("false"),
        View::String(s) => Cow::Borrowed(s),
        View::Object(_) => Cow::Borrowed("[object Object]"),
        View::Number(n) => {
            let mut out = String::new();
            push_number(&mut out, n);
            Cow::Owned(out)
        }
        View::Array(items) => {
            let mut out = String::new();
            push_elements(&mut out, items, depth)?;
            Cow::Owned(out)
        }
    })
}

/// Appends the text of a number; integers from the scope keep all their digits.
pub(crate) fn push_number(out: &mut String, n: Number) {
    use std::fmt::Write as _;
    // Writing to a String cannot fail.
    let _ = match n {
        Number::Int(n) => write!(out, "{n}"),
        Number::UInt(n) => write!(out, "{n}"),
        Number::Float(n) => {
            write_number(out, n);
            Ok(())
        }
    };
}

/// The elements of an array, separated by commas; a Null element is empty (template §5.3).
fn push_elements(out: &mut String, items: &[Json], depth: usize) -> Result<(), Overflow> {
    let depth = depth.checked_sub(1).ok_or(Overflow::Depth)?;
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        if !item.is_null() {
            push_text(out, item, depth)?;
        }
    }
    Ok(())
}

/// Appends the text of 5.3 of a JSON value.
pub(crate) fn push_text(out: &mut String, json: &Json, depth: usize) -> Result<(), Overflow> {
    match json {
        Json::String(s) => out.push_str(s),
        Json::Array(items) => push_elements(out, items, depth)?,
        Json::Null => out.push_str("null"),
        Json::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Json::Number(n) => push_number(out, Number::of_json(n)),
        Json::Object(_) => out.push_str("[object Object]"),
    }
    Ok(())
}

/// A value as a number (template §5.4): NaN when it is none, and for arrays nested beyond all limits.
pub fn to_number(value: &Value<'_>) -> f64 {
    number_of(value.view())
}

#[inline]
pub(crate) fn number_of(value: View<'_>) -> f64 {
    match value {
        View::Number(n) => n.as_f64(),
        View::Undefined => f64::NAN,
        View::Null => 0.0,
        View::Bool(b) => f64::from(u8::from(b)),
        View::String(s) => parse_number(s),
        View::Array(_) | View::Object(_) => text_within(value, Limits::DEFAULT.value_depth)
            .map_or(f64::NAN, |text| parse_number(&text)),
    }
}

/// The coercion of structured conditions and of durations (template §15.1 `numeric_state`): a finite number, or a
/// non-blank string that converts to one; `None` for everything else, so that a missing reading is never a zero.
pub fn finite_number(value: &Value<'_>) -> Option<f64> {
    let number = match value {
        Value::Number(n) => n.as_f64(),
        Value::String(s) if !s.trim_matches(is_whitespace).is_empty() => parse_number(s),
        _ => return None,
    };
    number.is_finite().then_some(number)
}

/// Compact JSON text with the number layout of the language (template §5.5); `None` for Undefined.
///
/// # Errors
/// [`Overflow`] beyond the default [`Limits::value_depth`] and [`Limits::output_bytes`].
pub fn json_text(value: &Value<'_>) -> Result<Option<String>, Overflow> {
    if value.is_undefined() {
        return Ok(None);
    }
    let mut out = String::new();
    crate::json::write_value(&mut out, value.view(), Limits::DEFAULT.output())?;
    Ok(Some(out))
}

/// `a == b` (template §6.6).
///
/// # Errors
/// [`Overflow::Depth`] when sides of different types are compared as text and one is nested too deeply.
pub fn equal(a: &Value<'_>, b: &Value<'_>) -> Result<bool, Overflow> {
    are_equal(a.view(), b.view())
}

#[inline]
pub(crate) fn are_equal(a: View<'_>, b: View<'_>) -> Result<bool, Overflow> {
    Ok(match (a, b) {
        (View::String(a), View::String(b)) => a == b,
        (View::Number(a), View::Number(b)) => a == b,
        (View::Bool(a), View::Bool(b)) => a == b,
        _ => return are_equal_mixed(a, b),
    })
}

fn are_equal_mixed(a: View<'_>, b: View<'_>) -> Result<bool, Overflow> {
    Ok(match (a, b) {
        (View::Undefined, View::Undefined) | (View::Null, View::Null) => true,
        _ if a.is_missing() || b.is_missing() => false,
        (View::Array(a), View::Array(b)) => a.len() == b.len() && same(a.iter().zip(b).collect()),
        (View::Object(a), View::Object(b)) => pair_members(a, b).is_some_and(same),
        (View::Array(_), View::Object(_)) | (View::Object(_), View::Array(_)) => false,
        _ => {
            let depth = Limits::DEFAULT.value_depth;
            text_within(a, depth)? == text_within(b, depth)?
        }
    })
}

/// The values two objects hold under the same keys; `None` when their keys differ.
fn pair_members<'a>(
    a: &'a Map<String, Json>,
    b: &'a Map<String, Json>,
) -> Option<Vec<(&'a Json, &'a Json)>> {
    if a.len() != b.len() {
        return None;
    }
    a.iter()
        .map(|(key, value)| Some((value, lookup(b, key.as_bytes())?)))
        .collect()
}

/// Structural equality of all pairs (Q4): same types all the way down, numbers as doubles, key order irrelevant. The
/// work list is on the heap, so deep documents cost no stack.
fn same<'a>(mut pairs: Vec<(&'a Json, &'a Json)>) -> bool {
    while let Some((a, b)) = pairs.pop() {
        let equal = match (a, b) {
            (Json::Array(a), Json::Array(b)) => {
                pairs.extend(a.iter().zip(b));
                a.len() == b.len()
            }
            (Json::Object(a), Json::Object(b)) => match pair_members(a, b) {
                Some(members) => {
                    pairs.extend(members);
                    true
                }
                None => false,
            },
            (Json::Number(a), Json::Number(b)) => Number::of_json(a) == Number::of_json(b),
            _ => a == b,
        };
        if !equal {
            return false;
        }
    }
    true
}

/// How two values are ordered by `<`, `>`, `<=` and `>=`; `None` when either is Undefined, and then each of the four is
/// false (template §6.7, Q3).
///
/// # Errors
/// [`Overflow::Depth`] when the sides are compared as text and one is nested too deeply.
pub fn order(a: &Value<'_>, b: &Value<'_>) -> Result<Option<Ordering>, Overflow> {
    order_of(a.view(), b.view())
}

#[inline]
pub(crate) fn order_of(a: View<'_>, b: View<'_>) -> Result<Option<Ordering>, Overflow> {
    if let (View::Number(a), View::Number(b)) = (a, b) {
        let (a, b) = (a.as_f64(), b.as_f64());
        if a.is_finite() && b.is_finite() {
            return Ok(a.partial_cmp(&b));
        }
    }
    order_mixed(a, b)
}

fn order_mixed(a: View<'_>, b: View<'_>) -> Result<Option<Ordering>, Overflow> {
    if a.is_undefined() || b.is_undefined() {
        return Ok(None);
    }
    let (x, y) = (number_of(a), number_of(b));
    if x.is_finite() && y.is_finite() {
        return Ok(x.partial_cmp(&y));
    }
    let depth = Limits::DEFAULT.value_depth;
    Ok(Some(utf16_order(
        &text_within(a, depth)?,
        &text_within(b, depth)?,
    )))
}

/// Lexicographic order by UTF-16 code units. It is the order of the UTF-8 bytes, except that characters beyond the
/// basic plane (lead byte F0 and up; surrogates in UTF-16) sort before U+E000–U+FFFF (lead bytes EE and EF).
fn utf16_order(a: &str, b: &str) -> Ordering {
    let first_difference = a.bytes().zip(b.bytes()).find(|(x, y)| x != y);
    match first_difference {
        None => a.len().cmp(&b.len()),
        Some((x, y)) if x >= 0xEE && y >= 0xEE && (x >= 0xF0) != (y >= 0xF0) => y.cmp(&x),
        Some((x, y)) => x.cmp(&y),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn template_6_7_utf16_order_agrees_with_the_definition() {
        let texts = [
            "",
            "a",
            "ab",
            "é",
            "\u{d7ff}",
            "\u{e000}",
            "\u{ffff}",
            "\u{10000}",
            "\u{10ffff}",
            "\u{e000}a",
            "😀",
            "😁",
        ];
        for a in texts {
            for b in texts {
                assert_eq!(
                    utf16_order(a, b),
                    a.encode_utf16().cmp(b.encode_utf16()),
                    "{a:?} {b:?}"
                );
            }
        }
    }
}
