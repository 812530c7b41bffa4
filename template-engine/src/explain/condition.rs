//! Explaining structured conditions: which member decided, and how a measured value, a status or the time of day missed.

use jiff::Timestamp;

use super::{Facts, expression, text};
use crate::compare::finite_number;
use crate::condition::{
    Condition, Entity, HeldFor, NumericState, NumericValue, StateCondition, TimeOfDay, TimeWindow,
};
use crate::env::Env;
use crate::error::Error;
use crate::is_whitespace;
use crate::scope::Scope;
use crate::value::Value;

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/// Adds why a condition is what it is.
pub(super) fn explain(condition: &Condition, scope: &dyn Scope, env: &Env<'_>, facts: &mut Facts) {
    match condition {
        Condition::Expression(e) => expression::explain(e.program(), scope, env, facts),
        Condition::Broken(error) => facts.add_error(error),
        Condition::And(members) => decided(members, false, scope, env, facts),
        Condition::Or(members) if members.is_empty() => facts.add("or", "an empty list"),
        Condition::Or(members) => decided(members, true, scope, env, facts),
        Condition::Not(member) => explain(member, scope, env, facts),
        Condition::NumericState(numeric) => numeric_state(numeric, scope, env, facts),
        Condition::Time(window) => facts.add("time", time(window, env.now)),
        Condition::State(condition) => {
            if let Err(error) = state(condition, scope, env, facts) {
                facts.add_error(&error);
            }
        }
    }
}

/// The member at which evaluation stopped; all of them when it went to the end.
fn decided(
    members: &[Condition],
    stops_at: bool,
    scope: &dyn Scope,
    env: &Env<'_>,
    facts: &mut Facts,
) {
    let decisive = members
        .iter()
        .find(|m| m.test(scope, env).map_or(true, |holds| holds == stops_at));
    match decisive {
        Some(one) => explain(one, scope, env, facts),
        None => {
            for member in members {
                if facts.is_full() {
                    return facts.leave_out();
                }
                explain(member, scope, env, facts);
            }
        }
    }
}

fn numeric_state(numeric: &NumericState, scope: &dyn Scope, env: &Env<'_>, facts: &mut Facts) {
    let (above, below) = (numeric.above, numeric.below);
    match &numeric.value {
        NumericValue::Broken(error) => facts.add_error(error),
        NumericValue::Number(n) => {
            let value = text::bounds(&Value::from(*n), above, below);
            facts.add(format!("numeric_state: {}", text::number(*n)), value);
        }
        NumericValue::Expression(e) => match e.evaluate(scope, env) {
            Ok(value) => {
                let said = text::bounds(&value, above, below);
                facts.add(
                    format!("numeric_state: {}", expression::source(e.program())),
                    said,
                );
                if value.is_missing() {
                    // What it would have been read from.
                    expression::explain(e.program(), scope, env, facts);
                }
            }
            Err(error) => facts.add_error(&error),
        },
    }
}

/// `12:00 Mon in UTC, not after 22:00`.
fn time(window: &TimeWindow, now: Timestamp) -> String {
    let local = window.zone.to_datetime(now);
    let day = local.weekday().to_sunday_zero_offset() as usize % 7;
    let zone = window.zone.iana_name().unwrap_or("its zone");
    let holds = window.contains(now);
    let word = if holds { "" } else { "not " };
    let mut said = Vec::new();
    if let Some(days) = window.weekdays.filter(|days| days[day] == holds) {
        let named: Vec<&str> = (0..7).filter(|d| days[*d]).map(|d| DAYS[d]).collect();
        said.push(format!("{word}on {}", named.join(", ")));
    }
    let hours = TimeWindow {
        weekdays: None,
        ..window.clone()
    };
    if hours.contains(now) == holds {
        match (window.after, window.before) {
            (Some(after), Some(before)) => {
                said.push(format!(
                    "{word}between {} and {}",
                    clock(after),
                    clock(before)
                ));
            }
            (Some(after), None) => said.push(format!("{word}after {}", clock(after))),
            (None, Some(before)) => said.push(format!("{word}before {}", clock(before))),
            (None, None) => {}
        }
    }
    let at = format!(
        "{:02}:{:02} {} in {zone}",
        local.hour(),
        local.minute(),
        DAYS[day]
    );
    if said.is_empty() {
        at
    } else {
        format!("{at}, {}", said.join(" and "))
    }
}

fn clock(time: TimeOfDay) -> String {
    format!("{:02}:{:02}", time.minutes() / 60, time.minutes() % 60)
}

fn state(
    condition: &StateCondition,
    scope: &dyn Scope,
    env: &Env<'_>,
    facts: &mut Facts,
) -> Result<(), Error> {
    let (entity, source) = match &condition.entity {
        Entity::Id(id) => (id.clone(), id.as_str()),
        Entity::Template(template) => (template.render(scope, env)?, template.source()),
        Entity::Broken(error) => return Err(error.clone()),
    };
    let wanted = &condition.status;
    let system = scope
        .root("health")
        .and_then(|health| health.get("systems")?.get(&entity)?.as_object());
    let name = format!("state: {entity}");
    if system.is_none() && entity.trim_matches(is_whitespace).is_empty() {
        facts.add(format!("state: {source}"), "blank, so it names no system");
        return Ok(());
    }
    let Some(system) = system else {
        facts.add(name, format!("not known, so not {wanted}"));
        return Ok(());
    };
    let status = system.get("status").and_then(|s| s.as_str());
    if status != Some(wanted) {
        let found = status.unwrap_or("without a status");
        facts.add(name, format!("{found}, not {wanted}"));
        return Ok(());
    }
    let held = system
        .get("in_status_for_ms")
        .and_then(|ms| finite_number(&Value::of(ms)))
        .unwrap_or(0.0);
    let needed = condition.needed_ms(scope, env)?;
    let value = match (&condition.held_for, needed) {
        (None, _) => wanted.clone(),
        (Some(_), Some(needed)) if held >= needed => format!(
            "{wanted} for {}, at least {}",
            text::duration(held),
            text::duration(needed)
        ),
        (Some(_), Some(needed)) => format!(
            "{wanted} only for {} of {}",
            text::duration(held),
            text::duration(needed)
        ),
        (Some(_), None) => format!("{wanted}, but `for` gives no duration from 1 s to 30 d"),
    };
    facts.add(name, value);
    if let (None, Some(HeldFor::Seconds(e))) = (needed, &condition.held_for) {
        expression::explain(e.program(), scope, env, facts);
    }
    Ok(())
}
