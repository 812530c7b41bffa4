//! Why an expression or a condition came out as it did: the parts that decided it, with their values.
//!
//! `health.system.status == "unhealthy" && !health.system.in_maintenance` that is false because the system is degraded
//! is explained by one fact: `health.system.status == "unhealthy"` was `"degraded"`. What decided an outcome is found by
//! walking the syntax tree from the top: of an `&&` that is false only the first false member matters, of an `||` all of
//! them do, `!x` hangs on `x`, `c ? x : y` on `c` and the branch that was taken; what remains are comparisons and plain
//! values, the smallest parts that can be named.
//!
//! This is a walk of its own over parts that are evaluated one by one: normal evaluation knows nothing of it and pays
//! nothing for it. It is bounded like everything here: at most [`MAX_FACTS`] facts, sources and values cut to a line.
//!
//! Unlike errors, facts quote the data: who stores or shows them masks them first.

mod condition;
mod expression;
mod text;

pub use text::bounds;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::env::Env;
use crate::error::Error;
use crate::expression::Expression;
use crate::scope::Scope;
use crate::value::Value;

/// How many facts one explanation has at most, the note that there are more included.
pub const MAX_FACTS: usize = 8;

/// One part of an expression or condition, and what it was.
///
/// Displays as one line: `health.system.status == "unhealthy" was "degraded"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// The part as its author wrote it, or the kind of a structured condition and what it is about:
    /// `state: payments-api`.
    pub source: String,
    /// What it was: JSON text of the side that is not a literal, `3 == 4` when both are computed, `missing`, or a few
    /// words: `512, not above 800`.
    pub value: String,
}

impl Fact {
    /// A fact about a value at hand.
    pub fn of(source: impl Into<String>, value: &Value<'_>) -> Self {
        Self {
            source: text::source(source.into()),
            value: text::value(value),
        }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was {}", self.source, self.value)
    }
}

impl Expression {
    /// Why the expression is false, or fails; for one that is true, why it is. Never empty.
    ///
    /// ```
    /// use serde_json::json;
    /// use template_engine::{Env, Expression, Filters};
    ///
    /// let filters = Filters::default();
    /// let env = Env::new(&filters, "2026-01-15T12:00:00Z".parse().unwrap());
    /// let filter = Expression::parse("health.status == 'unhealthy' && !maintenance").unwrap();
    /// let facts = filter.explain(&json!({"health": {"status": "degraded"}}), &env);
    /// assert_eq!(facts.len(), 1);
    /// assert_eq!(facts[0].to_string(), "health.status == 'unhealthy' was \"degraded\"");
    /// ```
    pub fn explain(&self, scope: &dyn Scope, env: &Env<'_>) -> Vec<Fact> {
        let mut facts = Facts::default();
        expression::explain(self.program(), scope, env, &mut facts);
        facts.list
    }
}

impl Condition {
    /// Why the condition is false, or fails; for one that holds, why it does. Empty only for an empty `and` that holds.
    pub fn explain(&self, scope: &dyn Scope, env: &Env<'_>) -> Vec<Fact> {
        let mut facts = Facts::default();
        condition::explain(self, scope, env, &mut facts);
        facts.list
    }
}

/// The facts found so far.
#[derive(Default)]
struct Facts {
    list: Vec<Fact>,
}

impl Facts {
    /// Whether there is no room: what is still to come is left out.
    fn is_full(&self) -> bool {
        self.list.len() >= MAX_FACTS
    }

    /// Says in the last fact that there are more.
    fn leave_out(&mut self) {
        if let Some(last) = self.list.last_mut() {
            *last = Fact {
                source: "(more)".to_owned(),
                value: "left out".to_owned(),
            };
        }
    }

    /// Adds a fact unless it is known; beyond the bound the last one says that there are more.
    fn add(&mut self, source: impl Into<String>, value: impl Into<String>) {
        let source = text::source(source.into());
        if self.list.iter().any(|f| f.source == source) {
            return;
        }
        if self.is_full() {
            return self.leave_out();
        }
        self.list.push(Fact {
            source,
            value: text::cut(value.into(), text::VALUE_CHARS),
        });
    }

    /// An error of evaluation or parsing, at the part it arose in.
    fn add_error(&mut self, error: &Error) {
        let part = text::part(&error.source, error.span);
        let part = if part.trim().is_empty() {
            error.source.as_str()
        } else {
            part
        };
        self.add(part, format!("an error: {}", error.message));
    }
}
