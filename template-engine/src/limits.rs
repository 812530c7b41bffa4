//! How much a source, a program and its output may cost.
//!
//! The language has no loops, so the cost of a program is bounded by its size, its nesting and the data it is given.
//! A violation is an ordinary located [`Error`](crate::Error) of kind `limit`, never a panic (template §12).

/// The bounds a program is parsed under; it keeps the output bounds and applies them when it runs (template §12).
///
/// ```
/// let strict = template_engine::Limits { source_bytes: 10, ..Default::default() };
/// let error = template_engine::Expression::parse_with("a || b || c", &strict).unwrap_err();
/// assert_eq!(error.detail.name(), "source_length");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Length of the source in bytes. Detail `source_length`.
    pub source_bytes: usize,
    /// Depth of parentheses, index brackets, argument lists, ternary branches and prefix operators, each counting 1.
    /// Detail `nesting_depth`. Values above [`Limits::MAX_NESTING`] count as that: the parser recurses once per level.
    pub nesting: usize,
    /// AST nodes in one program. Detail `node_count`.
    pub nodes: usize,
    /// Bytes of text produced by one render, by one filter call or by one `+`. Detail `output_size`.
    pub output_bytes: usize,
    /// Bytes that one run reads and produces in filters, comparisons and `+`. Detail `work`. Without it a chain of filters
    /// over a long text is minutes of work within all the other bounds.
    pub work_bytes: usize,
    /// Nesting of a value being turned into text. Detail `value_depth`. Values above [`Limits::MAX_VALUE_DEPTH`] count
    /// as that.
    pub value_depth: usize,
}

impl Limits {
    /// The highest nesting that can be configured.
    pub const MAX_NESTING: usize = 256;
    /// The highest value depth that can be configured.
    pub const MAX_VALUE_DEPTH: usize = 512;
    /// The defaults of template §12, usable in constants.
    pub const DEFAULT: Limits = Limits {
        source_bytes: 65_536,
        nesting: 128,
        nodes: 10_000,
        output_bytes: 1 << 20,
        work_bytes: 64 << 20,
        value_depth: 128,
    };

    /// What a running program needs to know of them.
    pub(crate) fn output(&self) -> OutputLimits {
        OutputLimits {
            bytes: self.output_bytes,
            work: self.work_bytes,
            depth: self.value_depth.min(Self::MAX_VALUE_DEPTH),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The part of [`Limits`] that applies while a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutputLimits {
    pub bytes: usize,
    pub work: usize,
    pub depth: usize,
}

/// A value was too deep or its text too long. The engine turns it into a located error of kind `limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Overflow {
    /// The text would be longer than [`Limits::output_bytes`].
    #[error("the text is longer than the limit")]
    Size,
    /// The value is nested deeper than [`Limits::value_depth`].
    #[error("the value is nested deeper than the limit")]
    Depth,
}
