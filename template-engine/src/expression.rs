//! Bare expressions: one value, its type kept.

use crate::ast::{Ast, NodeId};
use crate::code::Program;
use crate::compare::truthy;
use crate::env::Env;
use crate::error::Error;
use crate::limits::Limits;
use crate::scope::Scope;
use crate::value::Value;
use crate::{machine, parser};

/// A compiled expression: `trigger.payload.severity == 'critical'`. Immutable; parse once, evaluate often, share freely.
///
/// ```
/// use serde_json::json;
/// use template_engine::{Env, Expression, Filters};
///
/// let filters = Filters::default();
/// let env = Env::new(&filters, "2026-01-15T12:00:00Z".parse().unwrap());
/// let slow = Expression::parse("health.p95 > 500 && region != 'test'").unwrap();
/// let scope = json!({"health": {"p95": 812.5}, "region": "eu"});
/// assert!(slow.test(&scope, &env).unwrap());
/// ```
#[derive(Clone, Debug)]
pub struct Expression {
    program: Program,
}

impl Expression {
    /// Parses a whole source as one expression, under the default limits.
    ///
    /// # Errors
    /// Kind `parse` or `limit`, located in `source`. Braces are not part of an expression: `{{ a }}` is an error.
    pub fn parse(source: &str) -> Result<Self, Error> {
        Self::parse_with(source, &Limits::DEFAULT)
    }

    /// [`Expression::parse`] under other limits.
    ///
    /// # Errors
    /// As there.
    pub fn parse_with(source: &str, limits: &Limits) -> Result<Self, Error> {
        Self::parse_within(source, 0..source.len(), limits)
    }

    /// Parses the part `within` of a source (byte offsets), for callers that strip delimiters: every position, in
    /// parse errors, evaluation errors and the tree, stays that of the whole source. A part that does not fit the
    /// source counts as empty.
    ///
    /// # Errors
    /// As [`Expression::parse`].
    pub fn parse_within(
        source: &str,
        within: std::ops::Range<usize>,
        limits: &Limits,
    ) -> Result<Self, Error> {
        parser::expression(source, within, limits).map(|program| Expression { program })
    }

    pub(crate) fn of(program: Program) -> Self {
        Expression { program }
    }

    pub(crate) fn program(&self) -> &Program {
        &self.program
    }

    /// The value of the expression. It borrows from the expression and the scope where it can.
    ///
    /// # Errors
    /// Kinds `unknown_filter`, `filter` and `limit`; in strict mode also `render`.
    #[inline]
    pub fn evaluate<'v>(&'v self, scope: &'v dyn Scope, env: &Env<'_>) -> Result<Value<'v>, Error> {
        machine::run(&self.program, scope, env, &mut String::new())
    }

    /// The expression as a condition: the truthiness of its value (template §5.1).
    ///
    /// # Errors
    /// As [`Expression::evaluate`].
    #[inline]
    pub fn test(&self, scope: &dyn Scope, env: &Env<'_>) -> Result<bool, Error> {
        Ok(truthy(&self.evaluate(scope, env)?))
    }

    /// The text it was parsed from.
    pub fn source(&self) -> &str {
        self.program.source()
    }

    /// One part of it as an expression of its own, with all positions kept; `None` when the tree has no such node. Serves
    /// callers that need the value of, say, one index expression before the whole can be evaluated.
    pub fn part(&self, id: NodeId) -> Option<Expression> {
        let (start, end) = self.ast().get(id)?.code;
        Some(Expression {
            program: self.program.part(start..end),
        })
    }

    /// Its syntax tree, rebuilt from the compiled form: for analysis, not for the hot path.
    pub fn ast(&self) -> Ast {
        Ast::of(&self.program)
    }
}
