//! Reads conditions: an expression as text, or a map with one key such as `and` or `time`.

use super::fields::{Fields, Reader};
use super::trigger::{duration, expression};
use crate::definition::{Condition, NumericValue, limits};
use crate::diagnostic::{Diagnostic, Path};
use crate::yaml::{Kind, Node};
use template_engine::condition::TimeOfDay;

const KEYS: [&str; 6] = ["and", "or", "not", "numeric_state", "time", "state"];
const STATUSES: [(&str, &str); 3] = [
    ("healthy", "healthy"),
    ("degraded", "degraded"),
    ("unhealthy", "unhealthy"),
];

pub(super) fn read(r: &mut Reader, node: &Node, depth: usize) -> Option<Condition> {
    if depth > limits::CONDITION_DEPTH {
        let message = format!("conditions nest at most {} deep", limits::CONDITION_DEPTH);
        r.error("limit_exceeded", message);
        return None;
    }
    match &node.kind {
        Kind::String(_) => return expression(r, node).map(Condition::Expression),
        Kind::Map(_) => {}
        _ => {
            let message = format!(
                "expected an expression or a condition, found {}",
                node.describe()
            );
            let help = matches!(node.kind, Kind::Bool(_) | Kind::Number(_))
                .then(|| "put a literal expression in quotes".to_owned());
            r.report(Diagnostic::error("wrong_type", Path::new(), message).maybe_help(help));
            return None;
        }
    }
    // A misspelt kind is reported once, as such.
    let entries = r.entries(node)?;
    let known = entries.iter().any(|e| KEYS.contains(&e.key.as_str()));
    let f = if known {
        r.fields(node, &KEYS)?
    } else {
        let every: Vec<&str> = entries.iter().map(|e| e.key.as_str()).collect();
        r.fields(node, &every)?
    };
    let kind = f.discriminator(r, "ambiguous_condition", "condition", &KEYS)?;
    f.required(r, kind, |r, n| match kind {
        "and" => members(r, n, depth).map(Condition::And),
        "or" => members(r, n, depth).map(Condition::Or),
        "not" => read(r, n, depth + 1).map(|c| Condition::Not(Box::new(c))),
        "numeric_state" => numeric_state(r, n),
        "time" => time(r, n),
        _ => state(r, n),
    })
}

fn members(r: &mut Reader, node: &Node, depth: usize) -> Option<Vec<Condition>> {
    r.filled_list(node, limits::CONDITIONS, "conditions", |r, n| {
        read(r, n, depth + 1)
    })
}

fn numeric_state(r: &mut Reader, node: &Node) -> Option<Condition> {
    let f = r.fields(node, &["value", "above", "below"])?;
    let value = f.required(r, "value", |r, n| match &n.kind {
        Kind::Number(number) => Some(NumericValue::Number(number.clone())),
        _ => expression(r, n).map(NumericValue::Expression),
    });
    let above = f.optional(r, "above", |r, n| r.number(n));
    let below = f.optional(r, "below", |r, n| r.number(n));
    missing_bound(r, &f, &["above", "below"])?;
    Some(Condition::NumericState {
        value: value?,
        above,
        below,
    })
}

fn missing_bound(r: &mut Reader, f: &Fields<'_>, keys: &[&str]) -> Option<()> {
    if !f.present(keys).is_empty() {
        return Some(());
    }
    let names: Vec<String> = keys.iter().map(|k| format!("`{k}`")).collect();
    r.error(
        "missing_bound",
        format!("at least one of {} is needed", names.join(", ")),
    );
    None
}

fn time(r: &mut Reader, node: &Node) -> Option<Condition> {
    let f = r.fields(node, &["after", "before", "weekday", "timezone"])?;
    let of_day = |r: &mut Reader, n: &Node| {
        r.formed(
            n,
            (1, 64),
            |t| TimeOfDay::parse(t).is_some(),
            "a time of day as `HH:mm`, 00:00 to 23:59",
        )
    };
    let after = f.optional(r, "after", of_day);
    let before = f.optional(r, "before", of_day);
    let weekday = f.optional(r, "weekday", |r, n| {
        r.filled_list(n, 7, "days", |r, n| r.int(n, 0, 6).map(|d| d as u8))
    });
    let timezone = f.optional(r, "timezone", |r, n| r.string(n, 1, 200));
    missing_bound(r, &f, &["after", "before", "weekday"])?;
    Some(Condition::Time {
        after,
        before,
        weekday,
        timezone: timezone.unwrap_or_else(|| "UTC".to_owned()),
    })
}

fn state(r: &mut Reader, node: &Node) -> Option<Condition> {
    let f = r.fields(node, &["entity", "status", "for"])?;
    let entity = f.required(r, "entity", |r, n| r.string(n, 1, usize::MAX));
    let status = f.required(r, "status", |r, n| r.one_of(n, &STATUSES));
    let held_for = f.optional(r, "for", duration);
    Some(Condition::State {
        entity: entity?,
        status: status?.to_owned(),
        held_for,
    })
}
