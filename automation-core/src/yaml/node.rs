//! The positioned tree.

use crate::diagnostic::{PathSegment, Span};
use serde_json::{Map, Number, Value};
use std::ops::Range;

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub kind: Kind,
}

/// The JSON data model.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number; integers and floats stay what they were.
    Number(Number),
    /// Text.
    String(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping with unique keys, in the author's order.
    Map(Vec<Entry>),
}

/// One entry of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// Its value.
    pub value: Node,
}

/// What [`Node::find`] found.
#[derive(Clone, Copy, Debug)]
pub struct Found<'n> {
    /// The node at the path, or its nearest existing ancestor.
    pub node: &'n Node,
    /// The key that leads to it, if its parent is a mapping.
    pub key: Option<Span>,
    /// Whether the whole path exists.
    pub exact: bool,
}

impl Found<'_> {
    /// What to underline: a scalar itself, for anything bigger the key that leads to it.
    pub fn focus(&self, source: Option<&str>) -> Option<Span> {
        let big = matches!(self.node.kind, Kind::List(_) | Kind::Map(_))
            || source
                .and_then(|s| s.get(self.node.span.start..self.node.span.end))
                .is_some_and(|t| t.contains('\n') || t.is_empty());
        if big { self.key } else { None }
    }
}

impl Node {
    /// The node at a path or its nearest ancestor.
    pub fn find(&self, path: &[PathSegment]) -> Found<'_> {
        let mut found = Found {
            node: self,
            key: None,
            exact: true,
        };
        for segment in path {
            let next = match (segment, &found.node.kind) {
                (PathSegment::Key(k), Kind::Map(entries)) => entries
                    .iter()
                    .find(|e| e.key == *k)
                    .map(|e| (&e.value, Some(e.key_span))),
                (PathSegment::Index(i), Kind::List(items)) => items.get(*i).map(|n| (n, None)),
                _ => None,
            };
            match next {
                Some((node, key)) => {
                    found.node = node;
                    found.key = key;
                }
                None => {
                    found.exact = false;
                    break;
                }
            }
        }
        found
    }

    /// A value of a mapping.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|e| e.key == key).map(|e| &e.value),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            Kind::String(s) => Some(s),
            _ => None,
        }
    }

    /// The value without places.
    pub fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(b) => Value::Bool(*b),
            Kind::Number(n) => Value::Number(n.clone()),
            Kind::String(s) => Value::String(s.clone()),
            Kind::List(items) => Value::Array(items.iter().map(Node::to_json).collect()),
            Kind::Map(entries) => Value::Object(
                entries
                    .iter()
                    .map(|e| (e.key.clone(), e.value.to_json()))
                    .collect::<Map<_, _>>(),
            ),
        }
    }

    /// A tree of a JSON value. It has no lines; ranks in document order stand in for offsets.
    pub fn from_json(value: &Value) -> Self {
        fn build(value: &Value, rank: &mut usize) -> Node {
            *rank += 1;
            let span = Span {
                start: *rank,
                end: *rank,
                ..Span::default()
            };
            let kind = match value {
                Value::Null => Kind::Null,
                Value::Bool(b) => Kind::Bool(*b),
                Value::Number(n) => Kind::Number(n.clone()),
                Value::String(s) => Kind::String(s.clone()),
                Value::Array(items) => Kind::List(items.iter().map(|v| build(v, rank)).collect()),
                Value::Object(map) => Kind::Map(
                    map.iter()
                        .map(|(k, v)| {
                            let value = build(v, rank);
                            Entry {
                                key: k.clone(),
                                key_span: value.span,
                                value,
                            }
                        })
                        .collect(),
                ),
            };
            Node { span, kind }
        }
        build(value, &mut 0)
    }

    /// For people: `a list`, `text`, …
    pub fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "a boolean",
            Kind::Number(n) if n.is_f64() => "a fraction",
            Kind::Number(_) => "a whole number",
            Kind::String(_) => "text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }

    /// The place in `source` of a byte range of this text, when the text is written there as it is:
    /// plain, or quoted without escapes, on one line; or as a `|` block.
    pub fn text_span(&self, range: Range<usize>, source: &str) -> Option<Span> {
        let text = self.as_str()?;
        let written = source.get(self.span.start..self.span.end)?;
        let range = range.start..range.end.clamp(range.start, text.len());
        let single = !text.contains('\n');
        let (line_start, content_at) = if single && written == text {
            (0, self.span.start)
        } else if single && written.get(1..written.len().checked_sub(1)?) == Some(text) {
            (0, self.span.start + 1)
        } else {
            self.block_line(range.start, source)?
        };
        let content = text[line_start..].split('\n').next()?;
        let within = range.start - line_start..(range.end - line_start).min(content.len());
        let (start, end) = (content_at + within.start, content_at + within.end);
        let line_at = source.get(..start)?.rfind('\n').map_or(0, |at| at + 1);
        let column = |to: usize| Some(source.get(line_at..to)?.chars().count() as u32 + 1);
        let line = source.get(..start)?.matches('\n').count() as u32 + 1;
        Some(Span {
            line,
            column: column(start)?,
            end_line: line,
            end_column: column(end)?,
            start,
            end,
        })
    }

    /// For a text written as a `|` block: the start of the line of the text that `at` is on, and
    /// where that line begins in the source, indentation left out. The span of such a text begins
    /// with its first line that is not empty.
    fn block_line(&self, at: usize, source: &str) -> Option<(usize, usize)> {
        let text = self.as_str()?;
        let first = text.find(|c| c != '\n')?;
        let line_start = text.get(..at)?.rfind('\n').map_or(0, |i| i + 1);
        let below = text.get(first..line_start)?.matches('\n').count();
        let mut from = source
            .get(..self.span.start)?
            .rfind('\n')
            .map_or(0, |i| i + 1);
        let indent = self.span.start - from;
        for _ in 0..below {
            from += source.get(from..)?.find('\n')? + 1;
        }
        let content = text.get(line_start..)?.split('\n').next()?;
        let written = source.get(from + indent..)?;
        written
            .starts_with(content)
            .then_some((line_start, from + indent))
    }
}
