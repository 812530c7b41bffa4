//! Structured conditions: `and`, `or`, `not`, `numeric_state`, `time`, `state`, and plain expressions (template §15.1).
//!
//! A condition is data compiled once: its expressions are parsed when it is built. [`Condition::parse`] builds one from
//! JSON; an owner of a richer document model may build the enum itself.

mod parse;
mod time;

pub use parse::ConditionError;
pub use time::{TimeOfDay, TimeWindow};

use crate::compare::finite_number;
use crate::env::Env;
use crate::error::Error;
use crate::expression::Expression;
use crate::scope::Scope;
use crate::template::Template;
use crate::value::Value;

/// The longest duration there is: 30 days, in seconds (template §13).
const MAX_SECONDS: f64 = 2_592_000.0;

/// A compiled condition.
#[derive(Clone, Debug)]
pub enum Condition {
    /// The truthiness of an expression.
    Expression(Expression),
    /// An expression that does not parse: evaluating it is that error. A member that is not reached does no harm, as
    /// with any other error in a member.
    Broken(Error),
    /// All hold; evaluated left to right up to the first false. Empty: true.
    And(Vec<Condition>),
    /// One holds; evaluated left to right up to the first true. Empty: false.
    Or(Vec<Condition>),
    /// The opposite. An error stays an error.
    Not(Box<Condition>),
    /// A number within bounds.
    NumericState(NumericState),
    /// A window of wall-clock time.
    Time(TimeWindow),
    /// A system's health.
    State(StateCondition),
}

/// `numeric_state {value, above?, below?}`: both bounds strict; without any it never holds.
#[derive(Clone, Debug)]
pub struct NumericState {
    /// What is measured.
    pub value: NumericValue,
    /// The value must be greater.
    pub above: Option<f64>,
    /// The value must be less.
    pub below: Option<f64>,
}

/// The measured value of a [`NumericState`].
#[derive(Clone, Debug)]
pub enum NumericValue {
    /// A number.
    Number(f64),
    /// An expression; a value that is no finite number and no numeric text makes the condition false.
    Expression(Expression),
    /// An expression that does not parse.
    Broken(Error),
}

/// `state {entity, status, for?}`: reads `health.systems[entity]`.
#[derive(Clone, Debug)]
pub struct StateCondition {
    /// Which system.
    pub entity: Entity,
    /// The status it must have.
    pub status: String,
    /// How long it must have had it.
    pub held_for: Option<HeldFor>,
}

/// The system of a [`StateCondition`].
#[derive(Clone, Debug)]
pub enum Entity {
    /// Its id.
    Id(String),
    /// A template giving the id; a blank result makes the condition false.
    Template(Template),
    /// A template that does not parse.
    Broken(Error),
}

/// The duration of a [`StateCondition`].
#[derive(Clone, Debug)]
pub enum HeldFor {
    /// Milliseconds.
    Millis(f64),
    /// An expression giving seconds; what is not in 1..=2 592 000 after flooring makes the condition false (Q8).
    Seconds(Expression),
    /// An expression that does not parse.
    Broken(Error),
}

impl Condition {
    /// Whether the condition holds.
    ///
    /// # Errors
    /// The first error met in evaluation order: those of [`Expression::evaluate`], and parse errors of members that are
    /// reached.
    pub fn test(&self, scope: &dyn Scope, env: &Env<'_>) -> Result<bool, Error> {
        match self {
            Condition::Expression(expression) => expression.test(scope, env),
            Condition::Broken(error) => Err(error.clone()),
            Condition::And(members) => {
                for member in members {
                    if !member.test(scope, env)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Condition::Or(members) => {
                for member in members {
                    if member.test(scope, env)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Condition::Not(member) => Ok(!member.test(scope, env)?),
            Condition::NumericState(numeric) => numeric.test(scope, env),
            Condition::Time(window) => Ok(window.contains(env.now)),
            Condition::State(state) => state.test(scope, env),
        }
    }
}

impl NumericState {
    /// Whether the value lies within the bounds.
    ///
    /// # Errors
    /// Those of the value's expression.
    pub fn test(&self, scope: &dyn Scope, env: &Env<'_>) -> Result<bool, Error> {
        let number = match &self.value {
            NumericValue::Number(n) => Some(*n).filter(|n| n.is_finite()),
            NumericValue::Expression(expression) => {
                finite_number(&expression.evaluate(scope, env)?)
            }
            NumericValue::Broken(error) => return Err(error.clone()),
        };
        Ok(number.is_some_and(|n| within(n, self.above, self.below)))
    }
}

/// `above` < n < `below`, each bound where there is one; false without any.
pub fn within(n: f64, above: Option<f64>, below: Option<f64>) -> bool {
    (above.is_some() || below.is_some())
        && above.is_none_or(|bound| n > bound)
        && below.is_none_or(|bound| n < bound)
}

impl StateCondition {
    /// Whether the system has the status, and has had it long enough.
    ///
    /// # Errors
    /// Those of a templated entity or duration.
    pub fn test(&self, scope: &dyn Scope, env: &Env<'_>) -> Result<bool, Error> {
        let rendered;
        let entity = match &self.entity {
            Entity::Id(id) => id,
            Entity::Template(template) => {
                rendered = template.render(scope, env)?;
                &rendered
            }
            Entity::Broken(error) => return Err(error.clone()),
        };
        let system = scope
            .root("health")
            .and_then(|health| health.get("systems")?.get(entity)?.as_object());
        let Some(system) = system else {
            return Ok(false);
        };
        if system.get("status").and_then(|s| s.as_str()) != Some(&self.status) {
            return Ok(false);
        }
        let Some(needed) = self.needed_ms(scope, env)? else {
            return Ok(self.held_for.is_none());
        };
        let held = system
            .get("in_status_for_ms")
            .and_then(|ms| finite_number(&Value::of(ms)));
        Ok(held.unwrap_or(0.0) >= needed)
    }

    /// The duration in milliseconds; `None` without one, or when its expression gives none that is valid.
    ///
    /// # Errors
    /// Those of the expression.
    pub fn needed_ms(&self, scope: &dyn Scope, env: &Env<'_>) -> Result<Option<f64>, Error> {
        match &self.held_for {
            None => Ok(None),
            Some(HeldFor::Millis(ms)) => Ok(Some(*ms)),
            Some(HeldFor::Broken(error)) => Err(error.clone()),
            Some(HeldFor::Seconds(expression)) => {
                Ok(dwell_seconds(&expression.evaluate(scope, env)?).map(|s| s * 1000.0))
            }
        }
    }
}

/// A computed dwell in seconds (template §13, Q8): a number or numeric text, floored, in 1..=2 592 000.
pub fn dwell_seconds(value: &Value<'_>) -> Option<f64> {
    finite_number(value)
        .map(f64::floor)
        .filter(|s| (1.0..=MAX_SECONDS).contains(s))
}
