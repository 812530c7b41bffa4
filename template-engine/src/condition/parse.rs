//! Conditions from JSON.

use serde_json::{Map, Value as Json};

use super::{
    Condition, Entity, HeldFor, NumericState, NumericValue, StateCondition, TimeOfDay, TimeWindow,
};
use crate::expression::Expression;
use crate::template::Template;

/// A document that is not a condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct ConditionError {
    /// Where, as keys and indexes from the top: `and[1].time.after`; `condition` for the whole.
    pub path: String,
    /// What is wrong there.
    pub message: String,
}

/// How deep conditions nest at most (definition §2).
const MAX_DEPTH: usize = 16;

type Parsed<T> = Result<T, ConditionError>;

impl Condition {
    /// Builds a condition from JSON: a string is an expression, an object has exactly one of the known keys.
    ///
    /// Expressions that do not parse are kept as [`Condition::Broken`] and fail when they are reached.
    ///
    /// # Errors
    /// [`ConditionError`] when the shape is wrong: an unknown or missing key, a wrong type, a bad time or zone, nesting
    /// beyond 16.
    pub fn parse(json: &Json) -> Result<Self, ConditionError> {
        condition(json, "", 1)
    }
}

fn error<T>(path: &str, message: impl Into<String>) -> Parsed<T> {
    let path = if path.is_empty() { "condition" } else { path };
    Err(ConditionError {
        path: path.to_owned(),
        message: message.into(),
    })
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

fn condition(json: &Json, path: &str, depth: usize) -> Parsed<Condition> {
    if depth > MAX_DEPTH {
        return error(path, format!("conditions nest at most {MAX_DEPTH} deep"));
    }
    let map = match json {
        Json::String(source) => {
            return Ok(
                Expression::parse(source).map_or_else(Condition::Broken, Condition::Expression)
            );
        }
        Json::Object(map) => map,
        _ => return error(path, "expected an expression or an object"),
    };
    let mut entries = map.iter();
    let (Some((key, body)), None) = (entries.next(), entries.next()) else {
        let found: Vec<&str> = map.keys().map(String::as_str).collect();
        return error(
            path,
            format!("expected exactly one condition, found {}", quoted(&found)),
        );
    };
    let path = join(path, key);
    match key.as_str() {
        "and" => members(body, &path, depth).map(Condition::And),
        "or" => members(body, &path, depth).map(Condition::Or),
        "not" => Ok(Condition::Not(Box::new(condition(body, &path, depth + 1)?))),
        "numeric_state" => numeric_state(body, &path).map(Condition::NumericState),
        "time" => time(body, &path).map(Condition::Time),
        "state" => state(body, &path).map(Condition::State),
        _ => error(
            &path,
            "unknown condition; known are and, or, not, numeric_state, time and state",
        ),
    }
}

fn members(json: &Json, path: &str, depth: usize) -> Parsed<Vec<Condition>> {
    let Json::Array(items) = json else {
        return error(path, "expected a list of conditions");
    };
    items
        .iter()
        .enumerate()
        .map(|(i, item)| condition(item, &format!("{path}[{i}]"), depth + 1))
        .collect()
}

fn quoted(names: &[&str]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names
        .iter()
        .map(|n| format!("`{n}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// An object with none but the given keys.
fn object<'j>(json: &'j Json, path: &str, keys: &[&str]) -> Parsed<&'j Map<String, Json>> {
    let Json::Object(map) = json else {
        return error(path, "expected an object");
    };
    match map.keys().find(|key| !keys.contains(&key.as_str())) {
        Some(unknown) => error(
            &join(path, unknown),
            format!("unknown key; known are {}", quoted(keys)),
        ),
        None => Ok(map),
    }
}

fn string<'j>(map: &'j Map<String, Json>, path: &str, key: &str) -> Parsed<Option<&'j str>> {
    match map.get(key) {
        None => Ok(None),
        Some(Json::String(s)) => Ok(Some(s)),
        Some(_) => error(&join(path, key), "expected a text"),
    }
}

fn required<'j>(map: &'j Map<String, Json>, path: &str, key: &str) -> Parsed<&'j str> {
    match string(map, path, key)? {
        Some(text) => Ok(text),
        None => error(path, format!("`{key}` is missing")),
    }
}

fn number(map: &Map<String, Json>, path: &str, key: &str) -> Parsed<Option<f64>> {
    match map.get(key) {
        None => Ok(None),
        Some(Json::Number(n)) => Ok(n.as_f64()),
        Some(_) => error(&join(path, key), "expected a number"),
    }
}

fn numeric_state(json: &Json, path: &str) -> Parsed<NumericState> {
    let map = object(json, path, &["value", "above", "below"])?;
    let value = match map.get("value") {
        Some(Json::Number(n)) => NumericValue::Number(n.as_f64().unwrap_or(f64::NAN)),
        Some(Json::String(source)) => {
            Expression::parse(source).map_or_else(NumericValue::Broken, NumericValue::Expression)
        }
        Some(_) => return error(&join(path, "value"), "expected a number or an expression"),
        None => return error(path, "`value` is missing"),
    };
    Ok(NumericState {
        value,
        above: number(map, path, "above")?,
        below: number(map, path, "below")?,
    })
}

fn time(json: &Json, path: &str) -> Parsed<TimeWindow> {
    let map = object(json, path, &["after", "before", "weekday", "timezone"])?;
    let of_day = |key: &str| match string(map, path, key)? {
        None => Ok(None),
        Some(text) => match TimeOfDay::parse(text) {
            Some(time) => Ok(Some(time)),
            None => error(&join(path, key), "expected a time as HH:mm, 00:00 to 23:59"),
        },
    };
    let zone = string(map, path, "timezone")?.unwrap_or("UTC");
    let Some(zone) = TimeWindow::zone_named(zone) else {
        return error(
            &join(path, "timezone"),
            format!("`{zone}` is not a known time zone"),
        );
    };
    let weekdays = match map.get("weekday") {
        None => None,
        Some(list) => Some(weekdays(list, &join(path, "weekday"))?),
    };
    Ok(TimeWindow {
        after: of_day("after")?,
        before: of_day("before")?,
        weekdays,
        zone,
    })
}

fn weekdays(json: &Json, path: &str) -> Parsed<[bool; 7]> {
    let Json::Array(items) = json else {
        return error(path, "expected a list of days, 0 (Sunday) to 6");
    };
    let mut days = [false; 7];
    for item in items {
        match item.as_u64() {
            Some(day @ 0..=6) => days[day as usize] = true,
            _ => return error(path, "expected days as numbers, 0 (Sunday) to 6"),
        }
    }
    Ok(days)
}

fn state(json: &Json, path: &str) -> Parsed<StateCondition> {
    let map = object(json, path, &["entity", "status", "for"])?;
    let entity = required(map, path, "entity")?;
    let entity = if entity.contains("{{") {
        Template::parse(entity).map_or_else(Entity::Broken, Entity::Template)
    } else {
        Entity::Id(entity.to_owned())
    };
    let held_for = match map.get("for") {
        None => None,
        Some(duration) => Some(held_for(duration, &join(path, "for"))?),
    };
    Ok(StateCondition {
        entity,
        status: required(map, path, "status")?.to_owned(),
        held_for,
    })
}

fn held_for(json: &Json, path: &str) -> Parsed<HeldFor> {
    let map = object(json, path, &["seconds", "minutes", "hours", "template"])?;
    let mut entries = map.iter();
    let (Some((unit, amount)), None) = (entries.next(), entries.next()) else {
        return error(
            path,
            "expected exactly one of `seconds`, `minutes`, `hours` and `template`",
        );
    };
    if unit == "template" {
        let source = required(map, path, unit)?;
        return Ok(Expression::parse(source).map_or_else(HeldFor::Broken, HeldFor::Seconds));
    }
    let unit_ms = match unit.as_str() {
        "seconds" => 1000.0,
        "minutes" => 60_000.0,
        _ => 3_600_000.0,
    };
    match amount.as_f64() {
        Some(n) if n > 0.0 => Ok(HeldFor::Millis(n * unit_ms)),
        _ => error(&join(path, unit), "expected a number greater than 0"),
    }
}
