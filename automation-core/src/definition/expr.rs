//! Expression fields and their one permitted pair of braces (decision 4, `definition §2.4`).

use std::ops::Range;
use template_engine::{Error, Expression, Limits, is_whitespace};

/// The text of an expression field. It keeps what the author wrote, so that positions stay the
/// author's; everything else sees the bare text. Two are equal when their bare texts are.
#[derive(Clone, Debug)]
pub struct Expr {
    written: String,
    bare: Range<usize>,
    braces: bool,
}

/// Why an expression field does not parse.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ExprError {
    /// `{{` or `}}` somewhere else than as one pair around the whole.
    #[error("an expression is written without braces")]
    Delimiters,
    /// Not an expression; positions are those of the written text.
    #[error(transparent)]
    Syntax(Error),
}

impl Expr {
    /// From what the author wrote.
    pub fn new(written: impl Into<String>) -> Self {
        let written = written.into();
        let inside = stripped(&written);
        let braces = inside.is_some();
        let bare = inside.unwrap_or(0..written.len());
        Self {
            written,
            bare,
            braces,
        }
    }

    /// The expression without braces.
    pub fn text(&self) -> &str {
        &self.written[self.bare.clone()]
    }

    /// What the author wrote.
    pub fn written(&self) -> &str {
        &self.written
    }

    /// Whether a pair was stripped.
    pub fn had_braces(&self) -> bool {
        self.braces
    }

    /// Only whitespace?
    pub fn is_blank(&self) -> bool {
        self.text().chars().all(is_whitespace)
    }

    /// The same without surrounding whitespace, for fields that are trimmed.
    pub fn trimmed(mut self) -> Self {
        self.bare = range_within(&self.written, self.text().trim_matches(is_whitespace));
        self
    }

    /// Braces besides the pair, string literals included.
    pub fn has_delimiters(&self) -> bool {
        self.text().contains("{{") || self.text().contains("}}")
    }

    /// The written text without any braces, to show in a message.
    pub fn without_delimiters(&self) -> String {
        let text = self.written.replace("{{", " ").replace("}}", " ");
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Parses it.
    ///
    /// # Errors
    /// [`ExprError`], located in the written text.
    pub fn parse(&self) -> Result<Expression, ExprError> {
        if self.has_delimiters() {
            return Err(ExprError::Delimiters);
        }
        Expression::parse_within(&self.written, self.bare.clone(), &Limits::DEFAULT)
            .map_err(ExprError::Syntax)
    }
}

impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}
impl Eq for Expr {}

/// The range inside exactly one enclosing pair.
fn stripped(written: &str) -> Option<Range<usize>> {
    let trimmed = written.trim_matches(is_whitespace);
    let inner = trimmed.strip_prefix("{{")?.strip_suffix("}}")?;
    if inner.contains("{{") || inner.contains("}}") {
        return None;
    }
    Some(range_within(written, inner.trim_matches(is_whitespace)))
}

/// Where a subslice of `whole` lies in it.
fn range_within(whole: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr() as usize - whole.as_ptr() as usize;
    start..start + part.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pair_is_stripped_and_positions_stay_the_authors() {
        let e = Expr::new("  {{ !health.system.in_maintenance }} ");
        assert_eq!(e.text(), "!health.system.in_maintenance");
        assert!(e.had_braces());
        assert!(e.parse().is_ok());
        let e = Expr::new("{{ a b }}");
        match e.parse() {
            Err(ExprError::Syntax(error)) => assert_eq!(error.range.start.column, 6),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn any_other_braces_are_refused() {
        for text in [
            "{{ a }} == {{ b }}",
            "a == '{{'",
            "{{ a",
            "a }}",
            "{{ '}}' }}",
        ] {
            let e = Expr::new(text);
            assert!(matches!(e.parse(), Err(ExprError::Delimiters)), "{text}");
        }
        assert_eq!(
            Expr::new("{{ a }} == {{ b }}").without_delimiters(),
            "a == b"
        );
        assert!(Expr::new("{{ }}").is_blank());
    }

    #[test]
    fn trimming_keeps_the_authors_text() {
        let e = Expr::new("  a b ").trimmed();
        assert_eq!(
            (e.text(), e.written(), e.had_braces()),
            ("a b", "  a b ", false)
        );
        match e.parse() {
            Err(ExprError::Syntax(error)) => assert_eq!(error.range.start.column, 5),
            other => panic!("{other:?}"),
        }
    }
}
