//! What can go wrong, and where: one error type for parsing and evaluating.
//!
//! Every error points into the text its author wrote, as 1-based lines and columns (columns count UTF-16 code units,
//! as editors do), and names what it found there. It never quotes a value from the scope, which may hold secrets
//! (template §10).

use std::fmt;
use std::ops::Deref;

use crate::span::{Range, Span};

/// The broad class of an error; stable names (template §10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The source is not a program.
    Parse,
    /// Strict mode met something missing.
    Render,
    /// A filter is not registered.
    UnknownFilter,
    /// A plugin's filter failed or panicked.
    Filter,
    /// One of [`Limits`](crate::Limits) was exceeded.
    Limit,
}

impl Kind {
    /// The name used in answers and recorded cases: `parse`, `render`, `unknown_filter`, `filter` or `limit`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Parse => "parse",
            Kind::Render => "render",
            Kind::UnknownFilter => "unknown_filter",
            Kind::Filter => "filter",
            Kind::Limit => "limit",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What exactly went wrong; stable names (template §10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Detail {
    /// A character no token starts with.
    UnexpectedCharacter,
    /// A string literal without its closing quote.
    UnterminatedString,
    /// A block that is still open where the source ends.
    UnterminatedExpression,
    /// A token where an operand was required.
    UnexpectedToken,
    /// A token where another token was required.
    ExpectedToken,
    /// A number literal beyond the range of doubles (Q9).
    NumberOutOfRange,
    /// Strict mode: the scope has no such name.
    UnknownReference,
    /// Strict mode: a member of Undefined or Null was read.
    NullAccess,
    /// No filter of that name.
    UnknownFilter,
    /// A plugin's filter failed.
    Filter,
    /// See [`Limits::source_bytes`](crate::Limits::source_bytes).
    SourceLength,
    /// See [`Limits::nesting`](crate::Limits::nesting).
    NestingDepth,
    /// See [`Limits::nodes`](crate::Limits::nodes).
    NodeCount,
    /// See [`Limits::output_bytes`](crate::Limits::output_bytes).
    OutputSize,
    /// See [`Limits::work_bytes`](crate::Limits::work_bytes).
    Work,
    /// See [`Limits::value_depth`](crate::Limits::value_depth).
    ValueDepth,
}

impl Detail {
    /// The stable name, for example `unexpected_character`.
    pub fn name(self) -> &'static str {
        match self {
            Detail::UnexpectedCharacter => "unexpected_character",
            Detail::UnterminatedString => "unterminated_string",
            Detail::UnterminatedExpression => "unterminated_expression",
            Detail::UnexpectedToken => "unexpected_token",
            Detail::ExpectedToken => "expected_token",
            Detail::NumberOutOfRange => "number_out_of_range",
            Detail::UnknownReference => "unknown_reference",
            Detail::NullAccess => "null_access",
            Detail::UnknownFilter => "unknown_filter",
            Detail::Filter => "filter",
            Detail::SourceLength => "source_length",
            Detail::NestingDepth => "nesting_depth",
            Detail::NodeCount => "node_count",
            Detail::OutputSize => "output_size",
            Detail::Work => "work",
            Detail::ValueDepth => "value_depth",
        }
    }

    /// The kind this detail belongs to.
    pub fn kind(self) -> Kind {
        match self {
            Detail::UnexpectedCharacter
            | Detail::UnterminatedString
            | Detail::UnterminatedExpression
            | Detail::UnexpectedToken
            | Detail::ExpectedToken
            | Detail::NumberOutOfRange => Kind::Parse,
            Detail::UnknownReference | Detail::NullAccess => Kind::Render,
            Detail::UnknownFilter => Kind::UnknownFilter,
            Detail::Filter => Kind::Filter,
            Detail::SourceLength
            | Detail::NestingDepth
            | Detail::NodeCount
            | Detail::OutputSize
            | Detail::Work
            | Detail::ValueDepth => Kind::Limit,
        }
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A located error. Its parts are read through [`Deref`]: `error.kind`, `error.range.start.line`, …
///
/// Displays as `message (line L, column C)`.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<ErrorParts>);

/// The parts of an [`Error`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorParts {
    /// The broad class.
    pub kind: Kind,
    /// What exactly went wrong.
    pub detail: Detail,
    /// One sentence for the author of the source, without the position.
    pub message: String,
    /// The whole source the positions point into.
    pub source: String,
    /// Where, as lines and columns.
    pub range: Range,
    /// Where, as byte offsets into `source`.
    pub span: Span,
    /// The name concerned: the missing identifier, the key read from nothing, or the filter.
    pub name: Option<String>,
}

impl Error {
    /// An error at `span` of `source`. `span` is cut to the source.
    #[cold]
    pub(crate) fn new(detail: Detail, message: String, source: &str, span: Span) -> Self {
        Error(Box::new(ErrorParts {
            kind: detail.kind(),
            detail,
            message,
            source: source.to_owned(),
            range: Range::of(source, span),
            span,
            name: None,
        }))
    }

    /// The same error, carrying the name it is about.
    #[cold]
    pub(crate) fn named(mut self, name: &str) -> Self {
        self.0.name = Some(name.to_owned());
        self
    }

    /// The parts, owned.
    pub fn into_parts(self) -> ErrorParts {
        *self.0
    }
}

impl Deref for Error {
    type Target = ErrorParts;
    fn deref(&self) -> &ErrorParts {
        &self.0
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({}/{}: {self})", self.kind, self.detail)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = self.range.start;
        write!(
            f,
            "{} (line {}, column {})",
            self.message, start.line, start.column
        )
    }
}

impl std::error::Error for Error {}
