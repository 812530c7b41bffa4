//! From written conditions to the engine's.

use super::Condition;
use super::compile::Compiler;
use super::diagnostics::{template_syntax, unknown_timezone};
use crate::definition::{self, Duration, NumericValue};
use template_engine::Template;
use template_engine::condition::{
    Entity, HeldFor, NumericState, NumericValue as Number, StateCondition, TimeOfDay, TimeWindow,
};

/// Compiles one condition; reports and answers none where a part does not parse.
pub(super) fn compile(c: &mut Compiler<'_>, from: &definition::Condition) -> Option<Condition> {
    use definition::Condition as Written;
    Some(match from {
        Written::Expression(e) => Condition::Expression(c.expression(e)?),
        Written::And(members) => Condition::And(list(c, "and", members)?),
        Written::Or(members) => Condition::Or(list(c, "or", members)?),
        Written::Not(inner) => Condition::Not(Box::new(c.within("not", |c| compile(c, inner))?)),
        Written::NumericState {
            value,
            above,
            below,
        } => c.within("numeric_state", |c| {
            let value = match value {
                NumericValue::Number(n) => Number::Number(n.as_f64().unwrap_or(f64::NAN)),
                NumericValue::Expression(e) => {
                    Number::Expression(c.within("value", |c| c.expression(e))?)
                }
            };
            Some(Condition::NumericState(NumericState {
                value,
                above: above.as_ref().and_then(serde_json::Number::as_f64),
                below: below.as_ref().and_then(serde_json::Number::as_f64),
            }))
        })?,
        Written::Time {
            after,
            before,
            weekday,
            timezone,
        } => {
            let Some(zone) = TimeWindow::zone_named(timezone) else {
                c.within("time", |c| {
                    c.within("timezone", |c| c.report(unknown_timezone(timezone)));
                });
                return None;
            };
            Condition::Time(TimeWindow {
                after: after.as_deref().and_then(TimeOfDay::parse),
                before: before.as_deref().and_then(TimeOfDay::parse),
                weekdays: weekday.as_ref().map(|days| {
                    let mut set = [false; 7];
                    for day in days {
                        set[usize::from(*day % 7)] = true;
                    }
                    set
                }),
                zone,
            })
        }
        Written::State {
            entity,
            status,
            held_for,
        } => c.within("state", |c| {
            let entity = if entity.contains("{{") {
                Entity::Template(c.within("entity", |c| c.template(entity))?)
            } else {
                Entity::Id(entity.clone())
            };
            let held_for = match held_for {
                None => None,
                Some(d) => Some(c.within("for", |c| duration(c, d))?),
            };
            Some(Condition::State(StateCondition {
                entity,
                status: status.clone(),
                held_for,
            }))
        })?,
    })
}

fn list(
    c: &mut Compiler<'_>,
    key: &'static str,
    members: &[definition::Condition],
) -> Option<Vec<Condition>> {
    c.within(key, |c| c.list(members, |c, m| compile(c, m)))
}

fn duration(c: &mut Compiler<'_>, d: &Duration) -> Option<HeldFor> {
    Some(match d {
        Duration::Seconds(n) => HeldFor::Millis(f64::from(*n) * 1000.0),
        Duration::Minutes(n) => HeldFor::Millis(f64::from(*n) * 60_000.0),
        Duration::Hours(n) => HeldFor::Millis(f64::from(*n) * 3_600_000.0),
        Duration::Template(e) => HeldFor::Seconds(c.within("template", |c| c.expression(e))?),
    })
}

impl Compiler<'_> {
    /// A template, reported where it does not parse.
    pub(super) fn template(&mut self, text: &str) -> Option<Template> {
        match Template::parse(text) {
            Ok(t) => Some(t),
            Err(e) => {
                self.report(template_syntax(&e));
                None
            }
        }
    }
}
