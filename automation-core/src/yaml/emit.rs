//! Writing values as YAML that reads back to the same value.
//!
//! Block style throughout. Text that any YAML reader, of 1.1 or 1.2, could take for something else
//! is quoted; integers stay integers and floats floats; texts of several lines become `|` blocks
//! where that loses nothing.

use super::{Kind, scalar};
use serde_json::Value;
use std::fmt::Write as _;

/// A value as a YAML document, ending in a line break.
pub fn emit(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => mapping(&mut out, map, 0),
        Value::Array(items) if !items.is_empty() => list(&mut out, items, 0),
        other => {
            scalar_text(&mut out, other, 0);
            out.push('\n');
        }
    }
    out
}

fn mapping(out: &mut String, map: &serde_json::Map<String, Value>, indent: usize) {
    for (i, (key, value)) in map.iter().enumerate() {
        if i > 0 {
            pad(out, indent);
        }
        text(out, key);
        out.push(':');
        match value {
            Value::Object(m) if !m.is_empty() => {
                out.push('\n');
                pad(out, indent + 2);
                mapping(out, m, indent + 2);
            }
            Value::Array(items) if !items.is_empty() => {
                out.push('\n');
                pad(out, indent + 2);
                list(out, items, indent + 2);
            }
            other => {
                out.push(' ');
                scalar_text(out, other, indent + 2);
                out.push('\n');
            }
        }
    }
}

fn list(out: &mut String, items: &[Value], indent: usize) {
    for (i, value) in items.iter().enumerate() {
        if i > 0 {
            pad(out, indent);
        }
        out.push_str("- ");
        match value {
            Value::Object(m) if !m.is_empty() => mapping(out, m, indent + 2),
            Value::Array(inner) if !inner.is_empty() => list(out, inner, indent + 2),
            other => {
                scalar_text(out, other, indent + 2);
                out.push('\n');
            }
        }
    }
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

fn scalar_text(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => out.push_str(&n.to_string()),
        Value::String(s) if fits_block(s) => block(out, s, indent),
        Value::String(s) => text(out, s),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
    }
}

/// Several lines that a `|` block keeps exactly.
fn fits_block(s: &str) -> bool {
    let body = s.strip_suffix('\n').unwrap_or(s);
    body.contains('\n')
        && !body.ends_with('\n')
        && !s.starts_with([' ', '\n', '\t'])
        && !s.contains('\r')
        && s.lines()
            .all(|l| l.trim() == l.trim_start() && !l.contains('\t'))
        && s.chars().all(|c| c == '\n' || printable(c))
}

fn block(out: &mut String, s: &str, indent: usize) {
    out.push_str(if s.ends_with('\n') { "|" } else { "|-" });
    for line in s.strip_suffix('\n').unwrap_or(s).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            pad(out, indent);
            out.push_str(line);
        }
    }
}

fn text(out: &mut String, s: &str) {
    if is_plain(s) {
        out.push_str(s);
        return;
    }
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if printable(c) => out.push(c),
            c if (c as u32) <= 0xFFFF => {
                let _ = write!(out, "\\u{:04X}", c as u32);
            }
            c => {
                let _ = write!(out, "\\U{:08X}", c as u32);
            }
        }
    }
    out.push('"');
}

/// What may stand in a document unescaped, line and paragraph separators excluded.
fn printable(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{A0}'..='\u{2027}' | '\u{202A}'..='\u{D7FF}' | '\u{E000}'..='\u{FEFE}' | '\u{FF00}'..='\u{FFFD}' | '\u{10000}'..='\u{10FFFF}')
}

/// Text that no reader takes for anything but text when it is written without quotes.
fn is_plain(s: &str) -> bool {
    const TOUCHY: [&str; 8] = ["y", "n", "yes", "no", "on", "off", "true", "false"];
    let Some(first) = s.chars().next() else {
        return false;
    };
    (first.is_alphabetic() || matches!(first, '_' | '/' | '(' | '$'))
        && !s.ends_with([' ', ':'])
        && !s.contains(": ")
        && !s.contains(" #")
        && s.chars().all(printable)
        && !TOUCHY.iter().any(|t| s.eq_ignore_ascii_case(t))
        && matches!(scalar::resolve(s), Ok(Kind::String(_)))
}
