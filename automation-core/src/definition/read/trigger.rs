//! Triggers, windows and durations.

use super::fields::Reader;
use crate::definition::{Duration, Expr, Refire, Trigger, Window, limits, normal_event};
use crate::yaml::Node;
use serde_json::{Map, Value};

const KEYS: [&str; 7] = [
    "id", "event", "config", "filter", "for", "window", "cooldown",
];

pub(super) fn read(r: &mut Reader, node: &Node) -> Option<Trigger> {
    let f = r.fields(node, &KEYS)?;
    let id = f.optional(r, "id", |r, n| {
        r.formed(
            n,
            (1, 64),
            is_trigger_id,
            "a trigger id (a letter, then letters, digits, `_` and `-`)",
        )
    });
    let event = f.required(r, "event", event);
    let config = f.optional(r, "config", object);
    let filter = f.optional(r, "filter", |r, n| r.any_string(n));
    let dwell = f.optional(r, "for", duration);
    let window = f.optional(r, "window", window);
    let cooldown = f.optional(r, "cooldown", duration);
    Some(Trigger {
        id,
        event: event?,
        config,
        filter: filter.map(Expr::new).filter(|e| !e.is_blank()),
        dwell,
        window,
        cooldown,
    })
}

/// An event id in normal form (decision 6).
pub(super) fn event(r: &mut Reader, node: &Node) -> Option<String> {
    r.formed(
        node,
        (1, 200),
        is_event,
        "an event id such as `healthcheck.system_degraded`",
    )
    .map(|e| normal_event(&e))
}

/// A free mapping.
pub(super) fn object(r: &mut Reader, node: &Node) -> Option<Map<String, Value>> {
    r.entries(node)?;
    match node.to_json() {
        Value::Object(map) => Some(map),
        _ => None,
    }
}

fn is_trigger_id(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn is_event(text: &str) -> bool {
    text.split_once('.')
        .is_some_and(|(plugin, name)| !plugin.is_empty() && !name.is_empty())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

pub(super) fn duration(r: &mut Reader, node: &Node) -> Option<Duration> {
    const UNITS: [&str; 4] = ["seconds", "minutes", "hours", "template"];
    let f = r.fields(node, &UNITS)?;
    let unit = f.discriminator(r, "ambiguous_duration", "duration", &UNITS)?;
    f.required(r, unit, |r, n| match unit {
        "seconds" => r.int(n, 1, limits::LONGEST_SECONDS).map(Duration::Seconds),
        "minutes" => r.int(n, 1, 43_200).map(Duration::Minutes),
        "hours" => r.int(n, 1, 720).map(Duration::Hours),
        _ => expression(r, n).map(Duration::Template),
    })
}

/// An expression of at least one character.
pub(super) fn expression(r: &mut Reader, node: &Node) -> Option<Expr> {
    let e = Expr::new(r.any_string(node)?);
    if e.is_blank() {
        r.error("bad_length", "the expression is empty");
        return None;
    }
    Some(e)
}

fn window(r: &mut Reader, node: &Node) -> Option<Window> {
    let f = r.fields(node, &["count", "minutes", "refire", "partitionBy"])?;
    let count = f.required(r, "count", |r, n| r.int(n, 1, 1000));
    let minutes = f.required(r, "minutes", |r, n| r.int(n, 1, 1440));
    let refire = f.optional(r, "refire", |r, n| r.one_of(n, &Refire::ALL));
    let partition_by = f.optional(r, "partitionBy", expression);
    Some(Window {
        count: count?,
        minutes: minutes?,
        refire: refire.unwrap_or_default(),
        partition_by: partition_by.map(Expr::trimmed),
    })
}
