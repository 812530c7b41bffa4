//! Loops whose test cannot change from one pass to the next.

use super::Subject;
use super::outline::{Position, Text};
use crate::diagnostic::{Diagnostic, Diagnostics};
use template_engine::ast::Ast;

pub(super) fn check(s: &Subject<'_>, out: &mut Diagnostics) {
    for text in &s.outline.texts {
        let Some(ast) = text.ast().filter(|_| is_test(text)) else {
            continue;
        };
        if !can_change(ast) {
            out.push(
                Diagnostic::warning(
                    "constant_condition",
                    text.path.clone(),
                    "nothing this test reads changes from one pass to the next: the loop ends at once, or at `max_iterations`",
                )
                .help("read a variable, an artifact, `repeat.index` or live state; or use `count`"),
            );
        }
    }
}

fn is_test(text: &Text<'_>) -> bool {
    matches!(text.position, Position::LoopTest(..))
}

/// Whether a test reads anything but the trigger, which stays what it was. Filters may read the time.
fn can_change(ast: &Ast) -> bool {
    ast.references().iter().any(|r| r.root != "trigger") || ast.filters().next().is_some()
}
