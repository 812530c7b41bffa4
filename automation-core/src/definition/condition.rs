//! Conditions as they are written (`definition §6`).

use super::{Duration, Expr};
use serde_json::Number;

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// The truth of an expression.
    Expression(Expr),
    /// All of at least one.
    And(Vec<Condition>),
    /// One of at least one.
    Or(Vec<Condition>),
    /// The opposite.
    Not(Box<Condition>),
    /// A number between bounds, both exclusive; at least one is given.
    NumericState {
        /// What is compared.
        value: NumericValue,
        /// Must be greater.
        above: Option<Number>,
        /// Must be less.
        below: Option<Number>,
    },
    /// A wall-clock window; at least one of the first three is given.
    Time {
        /// `HH:mm`, inclusive.
        after: Option<String>,
        /// `HH:mm`, exclusive.
        before: Option<String>,
        /// 0–6, Sunday = 0.
        weekday: Option<Vec<u8>>,
        /// IANA name, default `UTC`.
        timezone: String,
    },
    /// A system's health.
    State {
        /// A system id or a template giving one.
        entity: String,
        /// `healthy`, `degraded` or `unhealthy`.
        status: String,
        /// Held at least this long.
        held_for: Option<Duration>,
    },
}

impl Condition {
    /// Reads one condition by itself, leniently; none when it does not read.
    pub fn read_stored(value: &serde_json::Value) -> Option<Self> {
        super::read::condition(value)
    }
}

/// The value of a numeric condition.
#[derive(Clone, Debug, PartialEq)]
pub enum NumericValue {
    /// A number.
    Number(Number),
    /// An expression.
    Expression(Expr),
}
