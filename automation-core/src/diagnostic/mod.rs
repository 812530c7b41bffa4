//! Diagnostics: everything a document can be told, in one shape for CLI, API, GitOps and editor.
//!
//! A check says what is wrong *where in the document* ([`Path`]) and never cares about lines; the
//! place in the text is found afterwards from the positioned tree ([`Diagnostics::locate`]). So the
//! same check serves YAML from a file and JSON from a request. The list is ordered by document
//! position, then code, and holds at most [`MAX_ISSUES`] entries (`definition §13`).

mod path;
mod render;
mod suggest;

pub use path::{Path, PathSegment, path_text};
pub use suggest::nearest;

use crate::yaml::Node;
use serde::Serialize;
use std::ops::Range;

/// How many issues a result lists before it ends with `too_many_issues`.
pub const MAX_ISSUES: usize = 200;

/// How bad it is. Only errors make a document invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Blocks storing an enabled automation.
    Error,
    /// Probably not what was meant; never blocks.
    Warning,
    /// Worth knowing.
    Info,
}

/// A stretch of source text. Lines and columns are 1-based, columns count characters; `start` and
/// `end` are byte offsets. A tree made from JSON values has no lines: `line` is 0 there and `start`
/// is the node's rank in document order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// First line.
    pub line: u32,
    /// First column.
    pub column: u32,
    /// Line of the end.
    pub end_line: u32,
    /// Column after the end.
    pub end_column: u32,
    /// Byte offset of the first byte.
    pub start: usize,
    /// Byte offset after the last byte.
    pub end: usize,
}

impl Span {
    /// True when it points into a text.
    pub fn is_located(&self) -> bool {
        self.line > 0
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    /// Stable code, such as `unknown_field` (`definition §13`).
    pub code: &'static str,
    /// How bad.
    pub severity: Severity,
    /// Keys and indexes from the document root.
    pub path: Path,
    /// The node at the path, or its nearest existing ancestor; none before [`Diagnostics::locate`].
    pub span: Option<Span>,
    /// What a terminal underlines: a key, or a piece of an expression. None: the span.
    pub focus: Option<Span>,
    /// Byte range inside the text at the path that is meant, for expression errors.
    pub within: Option<Range<usize>>,
    /// Whether the key itself is meant, not its value.
    pub on_key: bool,
    /// One sentence.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A finding without place in a text yet.
    pub fn new(
        severity: Severity,
        code: &'static str,
        path: impl Into<Path>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code,
            severity,
            path: path.into(),
            span: None,
            focus: None,
            within: None,
            on_key: false,
            message: message.into(),
            help: None,
        }
    }
    /// An error.
    pub fn error(code: &'static str, path: impl Into<Path>, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, path, message)
    }
    /// A warning.
    pub fn warning(code: &'static str, path: impl Into<Path>, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, path, message)
    }
    /// A remark.
    pub fn info(code: &'static str, path: impl Into<Path>, message: impl Into<String>) -> Self {
        Self::new(Severity::Info, code, path, message)
    }
    /// With advice.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
    /// With advice, if there is any.
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }
    /// About a part of the text at the path (byte offsets into the value).
    pub fn within(mut self, range: Range<usize>) -> Self {
        self.within = Some(range);
        self
    }
    /// About the key the path ends with.
    pub fn on_key(mut self) -> Self {
        self.on_key = true;
        self
    }
    /// At a known place.
    pub fn at(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }
}

/// An ordered list of findings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diagnostics {
    items: Vec<Diagnostic>,
}

impl Diagnostics {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }
    /// Adds a finding.
    pub fn push(&mut self, d: Diagnostic) {
        self.items.push(d);
    }
    /// Adds all findings of another list.
    pub fn append(&mut self, other: Diagnostics) {
        self.items.extend(other.items);
    }
    /// The findings.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.items.iter()
    }
    /// How many.
    pub fn len(&self) -> usize {
        self.items.len()
    }
    /// None at all?
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
    /// Any of severity `error`? A result is valid when there is none.
    pub fn has_errors(&self) -> bool {
        self.items.iter().any(|d| d.severity == Severity::Error)
    }
    /// The first error.
    pub fn first_error(&self) -> Option<&Diagnostic> {
        self.items.iter().find(|d| d.severity == Severity::Error)
    }

    /// Finds the place of every finding in the tree the document was read from (`source` is its
    /// text, if there is one), orders by position and code, drops exact repetitions, and cuts the
    /// list at [`MAX_ISSUES`].
    pub fn locate(mut self, root: &Node, source: Option<&str>) -> Self {
        for d in &mut self.items {
            if d.span.is_none() {
                let found = root.find(&d.path);
                d.span = Some(found.node.span);
                d.focus = d
                    .within
                    .clone()
                    .filter(|_| found.exact)
                    .and_then(|range| found.node.text_span(range, source?))
                    .or_else(|| found.key.filter(|_| d.on_key && found.exact))
                    .or_else(|| found.focus(source));
            }
        }
        self.ordered()
    }

    /// Orders, removes repetitions, cuts.
    pub fn ordered(mut self) -> Self {
        self.items.sort_by(|a, b| {
            let place = |d: &Diagnostic| d.span.map_or(0, |s| s.start);
            (place(a), a.code)
                .cmp(&(place(b), b.code))
                .then_with(|| path_text(&a.path).cmp(&path_text(&b.path)))
        });
        self.items
            .dedup_by(|a, b| a.code == b.code && a.path == b.path && a.message == b.message);
        if self.items.len() > MAX_ISSUES {
            let total = self.items.len();
            // The verdict must not change because the list is cut.
            let hidden_error = self.items[MAX_ISSUES..]
                .iter()
                .any(|d| d.severity == Severity::Error);
            self.items.truncate(MAX_ISSUES);
            let severity = if hidden_error {
                Severity::Error
            } else {
                Severity::Warning
            };
            self.items.push(Diagnostic::new(
                severity,
                "too_many_issues",
                Path::new(),
                format!("{total} issues were found; the first {MAX_ISSUES} are listed"),
            ));
        }
        self
    }

    /// The result as the API writes it.
    pub fn report(&self) -> Report {
        Report {
            valid: !self.has_errors(),
            issues: self.items.iter().map(Issue::of).collect(),
        }
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(d: Diagnostic) -> Self {
        Self { items: vec![d] }
    }
}
impl FromIterator<Diagnostic> for Diagnostics {
    fn from_iter<I: IntoIterator<Item = Diagnostic>>(items: I) -> Self {
        Self {
            items: items.into_iter().collect(),
        }
    }
}
impl Extend<Diagnostic> for Diagnostics {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, items: I) {
        self.items.extend(items);
    }
}
impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}
impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.items.iter()
    }
}

/// `{valid, issues}` (`definition §13`).
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Report {
    /// No issue is an error.
    pub valid: bool,
    /// In document order.
    pub issues: Vec<Issue>,
}

/// One issue as the API writes it.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Issue {
    /// Stable code.
    pub code: &'static str,
    /// `error`, `warning` or `info`.
    pub severity: &'static str,
    /// Keys and indexes from the document root.
    pub path: Vec<serde_json::Value>,
    /// One sentence.
    pub message: String,
    /// 1-based line of the node at the path, when the input was YAML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// 1-based column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Issue {
    fn of(d: &Diagnostic) -> Self {
        let span = d.span.filter(Span::is_located);
        Self {
            code: d.code,
            severity: match d.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Info => "info",
            },
            path: d.path.iter().map(PathSegment::to_json).collect(),
            message: d.message.clone(),
            line: span.map(|s| s.line),
            column: span.map(|s| s.column),
            hint: d.help.clone(),
        }
    }
}
