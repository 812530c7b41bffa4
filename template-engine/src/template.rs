//! Templates: text with `{{ expression }}` blocks, rendered to text.

use crate::ast::{Ast, NodeId};
use crate::code::{Op, Program};
use crate::env::Env;
use crate::error::Error;
use crate::expression::Expression;
use crate::limits::Limits;
use crate::scope::Scope;
use crate::{machine, parser};

/// A compiled template. Immutable; parse once, render often, share freely.
///
/// ```
/// use serde_json::json;
/// use template_engine::{Env, Filters, Template};
///
/// let filters = Filters::default();
/// let env = Env::new(&filters, "2026-01-15T12:00:00Z".parse().unwrap());
/// let title = Template::parse("{{ system.name | upper }} is {{ status }}{{ missing }}").unwrap();
/// let scope = json!({"system": {"name": "payments"}, "status": "down"});
/// assert_eq!(title.render(&scope, &env).unwrap(), "PAYMENTS is down");
/// ```
#[derive(Clone, Debug)]
pub struct Template {
    program: Program,
}

impl Template {
    /// Parses a template under the default limits.
    ///
    /// # Errors
    /// Kind `parse` or `limit`, located in `source`.
    pub fn parse(source: &str) -> Result<Self, Error> {
        Self::parse_with(source, &Limits::DEFAULT)
    }

    /// [`Template::parse`] under other limits.
    ///
    /// # Errors
    /// As there.
    pub fn parse_with(source: &str, limits: &Limits) -> Result<Self, Error> {
        parser::template(source, limits).map(|program| Template { program })
    }

    /// The text with every block replaced by its value. The result of a template is always text (template §1.1, §7).
    ///
    /// # Errors
    /// The first error of a block fails the whole: kinds `unknown_filter`, `filter` and `limit`; in strict mode also
    /// `render`.
    pub fn render(&self, scope: &dyn Scope, env: &Env<'_>) -> Result<String, Error> {
        // A third more than the literal text, and some for a template that is all blocks.
        let literal = self.program.literal_bytes as usize;
        let mut out = String::with_capacity(literal + literal / 3 + 16);
        machine::run(&self.program, scope, env, &mut out)?;
        Ok(out)
    }

    /// Whether the source has no block, so that it renders to itself.
    pub fn is_literal(&self) -> bool {
        self.program
            .code
            .iter()
            .all(|instr| matches!(instr.op, Op::Text(_)))
    }

    /// The expression of one block, or a part of it; `None` when the tree has no such node. Positions stay those of the
    /// template.
    pub fn part(&self, id: NodeId) -> Option<Expression> {
        let (start, end) = self.ast().get(id)?.code;
        Some(Expression::of(self.program.part(start..end)))
    }

    /// The text it was parsed from.
    pub fn source(&self) -> &str {
        self.program.source()
    }

    /// Its syntax trees, one per block, rebuilt from the compiled form: for analysis, not for the hot path.
    pub fn ast(&self) -> Ast {
        Ast::of(&self.program)
    }
}

/// Renders for an editor's preview (template §8.3): a source that does not parse is shown unchanged. Never for dispatch.
///
/// # Errors
/// Evaluation errors, as [`Template::render`] in lenient mode: an unknown filter is reported.
pub fn preview(source: &str, scope: &dyn Scope, env: &Env<'_>) -> Result<String, Error> {
    match Template::parse(source) {
        Ok(template) => template.render(
            scope,
            &Env {
                strict: false,
                ..*env
            },
        ),
        Err(_) => Ok(source.to_owned()),
    }
}
