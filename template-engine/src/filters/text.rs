//! Filters over text and lists. Values of other types pass unchanged (template §8).

use std::borrow::Cow;

use crate::compare::push_text;
use crate::lexer::is_whitespace;
use crate::limits::{OutputLimits, Overflow};
use crate::value::Value;

/// Refuses a text that grew beyond the limit.
pub(super) fn produced<'v>(value: Value<'v>, limits: OutputLimits) -> Result<Value<'v>, Overflow> {
    match &value {
        Value::String(Cow::Owned(s)) if s.len() > limits.bytes => Err(Overflow::Size),
        _ => Ok(value),
    }
}

/// Upper case, full Unicode mapping.
pub(super) fn upper(value: Value<'_>) -> Value<'_> {
    let Value::String(s) = value else {
        return value;
    };
    if !s.is_ascii() {
        return Value::string(s.to_uppercase());
    }
    if !s.bytes().any(|b| b.is_ascii_lowercase()) {
        return Value::String(s);
    }
    let mut s = s.into_owned();
    s.make_ascii_uppercase();
    Value::string(s)
}

/// Lower case, full Unicode mapping, final sigma included.
pub(super) fn lower(value: Value<'_>) -> Value<'_> {
    let Value::String(s) = value else {
        return value;
    };
    if !s.is_ascii() {
        return Value::string(s.to_lowercase());
    }
    if !s.bytes().any(|b| b.is_ascii_uppercase()) {
        return Value::String(s);
    }
    let mut s = s.into_owned();
    s.make_ascii_lowercase();
    Value::string(s)
}

/// First character in upper case, full mapping (Q5).
pub(super) fn capitalize(value: Value<'_>) -> Value<'_> {
    let Value::String(s) = &value else {
        return value;
    };
    let mut rest = s.chars();
    let Some(first) = rest.next() else {
        return value;
    };
    let mut upper = first.to_uppercase();
    if upper.len() == 1 && upper.next() == Some(first) {
        return value;
    }
    let mut out = String::with_capacity(s.len() + 2);
    out.extend(first.to_uppercase());
    out.push_str(rest.as_str());
    Value::string(out)
}

/// Without surrounding whitespace.
pub(super) fn trim(value: Value<'_>) -> Value<'_> {
    match value {
        Value::String(Cow::Borrowed(s)) => Value::from(s.trim_matches(is_whitespace)),
        Value::String(Cow::Owned(s)) => Value::string(s.trim_matches(is_whitespace).to_owned()),
        other => other,
    }
}

/// The first `floor(n)` UTF-16 units and `…`; a surrogate pair is never split, its half is dropped (Q5).
pub(super) fn truncate(value: Value<'_>, n: f64) -> Value<'_> {
    let Value::String(s) = &value else {
        return value;
    };
    // A text has at most as many UTF-16 units as bytes.
    if !n.is_finite() || n <= 0.0 || n >= s.len() as f64 {
        return value;
    }
    let keep = n.floor() as usize;
    let Some(at) = unit_boundary(s, keep) else {
        return value;
    };
    Value::string(match value {
        Value::String(Cow::Owned(mut s)) => {
            s.truncate(at);
            s.push('…');
            s
        }
        Value::String(Cow::Borrowed(s)) => {
            let mut out = String::with_capacity(at + '…'.len_utf8());
            out.push_str(&s[..at]);
            out.push('…');
            out
        }
        other => return other,
    })
}

/// The offset of the character that the first `keep` UTF-16 units do not wholly contain; `None` when they contain all.
fn unit_boundary(s: &str, keep: usize) -> Option<usize> {
    if s.as_bytes().get(..=keep)?.is_ascii() {
        return Some(keep);
    }
    let mut units = 0;
    s.char_indices()
        .find(|(_, c)| {
            units += c.len_utf16();
            units > keep
        })
        .map(|(at, _)| at)
}

/// UTF-16 units of a text, elements of a list, keys of an object, else 0.
pub(super) fn length(value: &Value<'_>) -> f64 {
    let length = match value {
        Value::String(s) if s.is_ascii() => s.len(),
        Value::String(s) => s.chars().map(char::len_utf16).sum(),
        Value::Array(items) => items.len(),
        Value::Object(map) => map.len(),
        _ => 0,
    };
    length as f64
}

/// Elements as text, separated.
pub(super) fn join<'v>(
    value: Value<'v>,
    separator: &Value<'v>,
    limits: OutputLimits,
) -> Result<Value<'v>, Overflow> {
    let Value::Array(items) = &value else {
        return Ok(value);
    };
    let separator = separator.as_str().unwrap_or(", ");
    let mut out = String::new();
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push_str(separator);
        }
        push_text(&mut out, item, limits.depth)?;
        if out.len() > limits.bytes {
            return Err(Overflow::Size);
        }
    }
    Ok(Value::string(out))
}

/// All occurrences of a literal text; an empty one inserts between characters (Q5).
pub(super) fn replace<'v>(
    value: Value<'v>,
    search: &Value<'v>,
    replacement: &Value<'v>,
    limits: OutputLimits,
) -> Result<Value<'v>, Overflow> {
    let (Value::String(s), Some(search)) = (&value, search.as_str()) else {
        return Ok(value);
    };
    let replacement = replacement.as_str().unwrap_or("");
    let mut out = String::new();
    let mut add = |piece: &str| {
        out.push_str(piece);
        if out.len() > limits.bytes {
            Err(Overflow::Size)
        } else {
            Ok(())
        }
    };
    if search.is_empty() {
        for (at, c) in s.char_indices() {
            if at > 0 {
                add(replacement)?;
            }
            add(&s[at..at + c.len_utf8()])?;
        }
        return Ok(Value::string(out));
    }
    let mut done = 0;
    for (at, found) in s.match_indices(search) {
        add(&s[done..at])?;
        add(replacement)?;
        done = at + found.len();
    }
    if done == 0 {
        return Ok(value);
    }
    add(&s[done..])?;
    Ok(Value::string(out))
}
