//! Findings that the compiler and the validator word alike.

use crate::definition::{Expr, ExprError};
use crate::diagnostic::{Diagnostic, Path};

/// The finding for a zone name nobody knows.
pub(crate) fn unknown_timezone(name: &str) -> Diagnostic {
    Diagnostic::error(
        "unknown_timezone",
        Path::new(),
        format!("`{name}` is no known time zone"),
    )
    .help("use an IANA name such as `Europe/Berlin` or `UTC`")
}

/// The finding for an expression that does not parse.
pub(crate) fn expression_error(e: &Expr, why: &ExprError) -> Diagnostic {
    match why {
        ExprError::Delimiters => Diagnostic::error(
            "expression_delimiters",
            Path::new(),
            "an expression is written without `{{ }}`",
        )
        .help(format!("remove the braces: {}", e.without_delimiters())),
        ExprError::Syntax(error) => {
            Diagnostic::error("expression_syntax", Path::new(), located(error))
                .within(error.span.start as usize..error.span.end as usize)
        }
    }
}

/// The finding for a template that does not parse.
pub(crate) fn template_syntax(e: &template_engine::Error) -> Diagnostic {
    Diagnostic::error("template_syntax", Path::new(), located(e))
        .within(e.span.start as usize..e.span.end as usize)
}

/// Message with offset, line and column inside the text (`definition §13`).
pub(crate) fn located(e: &template_engine::Error) -> String {
    let at = e.range.start;
    format!(
        "{} (offset {}, line {}, column {} of the text)",
        e.message, e.span.start, at.line, at.column
    )
}
