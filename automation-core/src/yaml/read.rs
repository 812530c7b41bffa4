//! From parser events to trees, with an explicit stack.

use super::{Entry, Kind, Limits, Node, scalar};
use crate::diagnostic::{Diagnostic, Diagnostics, Path, PathSegment, Span};
use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span as Mark, StrInput, Tag};
use std::collections::{HashMap, HashSet};

/// One document of a file.
#[derive(Debug)]
pub struct Document {
    /// Its tree, or why there is none. Diagnostics are located and ordered.
    pub root: Result<Node, Diagnostics>,
    /// The 1-based line it starts on.
    pub line: u32,
}

/// Reads exactly one document; JSON is accepted as it is. A text without any document reads as
/// null.
///
/// # Errors
/// Codes `yaml_syntax`, `duplicate_key` and `limit_exceeded`, located.
pub fn read(text: &str, limits: &Limits) -> Result<Node, Diagnostics> {
    let mut documents = read_all(text, limits);
    if documents.len() > 1 {
        let first_line = documents[1].line;
        let d = Diagnostic::error(
            "yaml_syntax",
            Path::new(),
            "one document was expected, but another starts here",
        )
        .at(line_span(text, first_line));
        return Err(d.into());
    }
    match documents.pop() {
        Some(d) => d.root,
        None => Ok(Node {
            span: line_span(text, 1),
            kind: Kind::Null,
        }),
    }
}

/// Reads every document of a text (`---` separates them); empty ones are left out. A document that
/// cannot be read does not hide those after it.
pub fn read_all(text: &str, limits: &Limits) -> Vec<Document> {
    if text.len() > limits.bytes {
        let d = Diagnostic::error(
            "limit_exceeded",
            Path::new(),
            format!(
                "the text has {} bytes; at most {} are allowed",
                text.len(),
                limits.bytes
            ),
        )
        .at(line_span(text, 1));
        return vec![Document {
            root: Err(d.into()),
            line: 1,
        }];
    }
    let options = granit_parser::options! { emit_comments: false, simple_key_max_lookahead: 4096 };
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut documents = Vec::new();
    loop {
        match next_document(&mut parser, text, limits) {
            Some(document) => {
                let failed = document.root.is_err();
                // An empty document is a separator without content, not a null.
                let empty = matches!(&document.root, Ok(n) if n.kind == Kind::Null && n.span.start == n.span.end);
                if !empty {
                    documents.push(document);
                }
                if failed && !parser.proceed_next_document().unwrap_or(false) {
                    return documents;
                }
            }
            None => return documents,
        }
    }
}

fn next_document<'t>(
    parser: &mut Parser<'t, StrInput<'t>>,
    text: &'t str,
    limits: &Limits,
) -> Option<Document> {
    let mut builder = Builder::new(text, *limits);
    let mut line = None;
    loop {
        let (event, mark) = match parser.next_event()? {
            Ok(next) => next,
            Err(e) => return Some(builder.failed(&e, line)),
        };
        match event {
            Event::StreamEnd => return None,
            Event::DocumentStart(..) => line = Some(mark.start.line() as u32),
            Event::DocumentEnd => {
                let line = line.unwrap_or(1);
                return Some(Document {
                    root: builder.finish(),
                    line,
                });
            }
            other => {
                if builder.event(other, mark).is_err() {
                    let line = line.unwrap_or(1);
                    return Some(Document {
                        root: Err(builder.issues.ordered()),
                        line,
                    });
                }
            }
        }
    }
}

enum Open {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        seen: HashSet<String>,
        key: Option<(String, Span)>,
    },
}

struct Frame {
    open: Open,
    start: Mark,
    anchor: usize,
}

/// Reading cannot go on; the reason is among the issues.
struct Stop;

struct Builder<'t> {
    text: &'t str,
    limits: Limits,
    stack: Vec<Frame>,
    root: Option<Node>,
    /// Finished anchored nodes with their sizes.
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    expanded: bool,
    issues: Diagnostics,
}

impl<'t> Builder<'t> {
    fn new(text: &'t str, limits: Limits) -> Self {
        Self {
            text,
            limits,
            stack: Vec::new(),
            root: None,
            anchors: HashMap::new(),
            nodes: 0,
            expanded: false,
            issues: Diagnostics::new(),
        }
    }

    fn finish(self) -> Result<Node, Diagnostics> {
        if self.issues.has_errors() {
            return Err(self.issues.ordered());
        }
        Ok(self.root.unwrap_or(Node {
            span: Span::default(),
            kind: Kind::Null,
        }))
    }

    fn failed(mut self, e: &ScanError, line: Option<u32>) -> Document {
        let m = e.marker();
        let at = m
            .byte_offset()
            .unwrap_or(self.text.len())
            .min(self.text.len());
        let span = Span {
            line: m.line() as u32,
            column: m.col() as u32 + 1,
            end_line: m.line() as u32,
            end_column: m.col() as u32 + 1,
            start: at,
            end: at,
        };
        let path = self.path();
        self.issues
            .push(Diagnostic::error("yaml_syntax", path, e.info()).at(span));
        Document {
            root: Err(self.issues.ordered()),
            line: line.unwrap_or(span.line),
        }
    }

    fn event(&mut self, event: Event<'t>, mark: Mark) -> Result<(), Stop> {
        match event {
            Event::Scalar(value, style, anchor, tag) => {
                let span = span_of(&mark);
                if self.at_key() {
                    let plain = style == ScalarStyle::Plain;
                    return self.key(value.into_owned(), plain, tag.is_some(), span);
                }
                let kind = self.scalar(&value, style, tag.as_deref(), span);
                self.value(Node { span, kind }, anchor, 1)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.container(Open::List(Vec::new()), mark, anchor, tag.as_deref(), "seq")
            }
            Event::MappingStart(_, anchor, tag) => {
                let open = Open::Map {
                    entries: Vec::new(),
                    seen: HashSet::new(),
                    key: None,
                };
                self.container(open, mark, anchor, tag.as_deref(), "map")
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(frame) = self.stack.pop() else {
                    return Ok(());
                };
                let span = span_of(&Mark::new(frame.start.start, mark.end));
                let kind = match frame.open {
                    Open::List(items) => Kind::List(items),
                    Open::Map { entries, .. } => Kind::Map(entries),
                };
                self.value(Node { span, kind }, frame.anchor, 0)
            }
            Event::Alias(id) => self.alias(id, span_of(&mark)),
            _ => Ok(()),
        }
    }

    fn container(
        &mut self,
        open: Open,
        mark: Mark,
        anchor: usize,
        tag: Option<&Tag>,
        own: &str,
    ) -> Result<(), Stop> {
        let span = span_of(&mark);
        if let Some(tag) = tag.filter(|t| t.core_suffix() != Some(own) && t.original() != "!") {
            self.bad_tag(tag, span);
        }
        if self.at_key() {
            return self.stop("yaml_syntax", "a mapping key must be text", span);
        }
        if self.stack.len() >= self.limits.depth {
            let message = format!("lists and mappings nest at most {} deep", self.limits.depth);
            return self.stop("limit_exceeded", message, span);
        }
        self.count(1, span)?;
        self.stack.push(Frame {
            open,
            start: mark,
            anchor,
        });
        Ok(())
    }

    fn scalar(&mut self, value: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Kind {
        if value.len() > self.limits.string {
            let message = format!(
                "the text has {} bytes; at most {} are allowed",
                value.len(),
                self.limits.string
            );
            self.issue("limit_exceeded", message, span);
        }
        let plain = style == ScalarStyle::Plain;
        let resolved = |me: &mut Self| {
            scalar::resolve(value).unwrap_or_else(|why| {
                me.issue("yaml_syntax", why, span);
                Kind::Null
            })
        };
        let Some(tag) = tag else {
            return if plain {
                resolved(self)
            } else {
                Kind::String(value.to_owned())
            };
        };
        if tag.original() == "!" {
            return Kind::String(value.to_owned());
        }
        let Some(suffix) = tag.core_suffix().map(str::to_owned) else {
            self.bad_tag(tag, span);
            return Kind::Null;
        };
        if suffix == "str" {
            return Kind::String(value.to_owned());
        }
        let kind = resolved(self);
        let fits = match (&kind, suffix.as_str()) {
            (Kind::Null, "null") | (Kind::Bool(_), "bool") => true,
            (Kind::Number(n), "int") => !n.is_f64(),
            (Kind::Number(_), "float") => true,
            _ => false,
        };
        if !fits {
            self.issue("yaml_syntax", format!("the value is no {suffix}"), span);
        }
        kind
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<(), Stop> {
        if self.at_key() {
            return self.stop("yaml_syntax", "an alias cannot be a mapping key", span);
        }
        let Some(size) = self.anchors.get(&id).map(|(_, size)| *size) else {
            return self.stop(
                "yaml_syntax",
                "the alias refers to a node it is part of",
                span,
            );
        };
        self.expanded = true;
        self.count(size, span)?;
        let node = self.anchors[&id].0.clone();
        self.value(node, 0, 0)
    }

    fn count(&mut self, nodes: usize, span: Span) -> Result<(), Stop> {
        self.nodes += nodes;
        if self.expanded && self.nodes > self.limits.expanded_nodes {
            let message = format!(
                "with its aliases expanded the document has more than {} nodes",
                self.limits.expanded_nodes
            );
            return self.stop("limit_exceeded", message, span);
        }
        Ok(())
    }

    /// A finished node takes its place. `new` is 1 for a scalar, which is not counted yet.
    fn value(&mut self, node: Node, anchor: usize, new: usize) -> Result<(), Stop> {
        if new > 0 {
            self.count(new, node.span)?;
        }
        if anchor > 0 {
            let size = size(&node);
            self.anchors.insert(anchor, (node.clone(), size));
        }
        match self.stack.last_mut().map(|f| &mut f.open) {
            None => self.root = Some(node),
            Some(Open::List(items)) => items.push(node),
            Some(Open::Map { entries, key, .. }) => {
                if let Some((key, key_span)) = key.take() {
                    entries.push(Entry {
                        key,
                        key_span,
                        value: node,
                    });
                }
            }
        }
        Ok(())
    }

    /// Whether the next node is a mapping key.
    fn at_key(&self) -> bool {
        matches!(
            self.stack.last(),
            Some(Frame {
                open: Open::Map { key: None, .. },
                ..
            })
        )
    }

    fn key(&mut self, text: String, plain: bool, tagged: bool, span: Span) -> Result<(), Stop> {
        if tagged {
            return self.stop("yaml_syntax", "a mapping key cannot have a tag", span);
        }
        if plain && text == "<<" {
            self.issue(
                "yaml_syntax",
                "merge keys (`<<`) are not supported; write the entries out",
                span,
            );
        } else if plain && matches!(scalar::resolve(&text), Ok(Kind::Null)) {
            self.issue("yaml_syntax", "a mapping key must be text", span);
        }
        let Some(Frame {
            open: Open::Map { seen, key, .. },
            ..
        }) = self.stack.last_mut()
        else {
            return Ok(());
        };
        let repeated = !seen.insert(text.clone());
        *key = Some((text, span));
        if repeated {
            let path = self.path();
            let name = path.last().map(ToString::to_string).unwrap_or_default();
            self.issues.push(
                Diagnostic::error("duplicate_key", path, format!("`{name}` is given twice"))
                    .at(span),
            );
        }
        Ok(())
    }

    fn bad_tag(&mut self, tag: &Tag, span: Span) {
        let message = format!("the tag `{}` is not supported here", tag.original());
        self.issue("yaml_syntax", message, span);
    }

    fn issue(&mut self, code: &'static str, message: impl Into<String>, span: Span) {
        let path = self.path();
        self.issues
            .push(Diagnostic::error(code, path, message).at(span));
    }

    fn stop(
        &mut self,
        code: &'static str,
        message: impl Into<String>,
        span: Span,
    ) -> Result<(), Stop> {
        self.issue(code, message, span);
        Err(Stop)
    }

    fn path(&self) -> Path {
        self.stack
            .iter()
            .filter_map(|f| match &f.open {
                Open::List(items) => Some(PathSegment::Index(items.len())),
                Open::Map { key, .. } => key.as_ref().map(|(k, _)| PathSegment::Key(k.clone())),
            })
            .collect()
    }
}

/// What an alias of a node adds to the document: its nodes, and one more for each hundred bytes of a text.
fn size(node: &Node) -> usize {
    1 + match &node.kind {
        Kind::String(text) => text.len() / 100,
        Kind::List(items) => items.iter().map(size).sum(),
        Kind::Map(entries) => entries.iter().map(|e| size(&e.value)).sum(),
        _ => 0,
    }
}

fn span_of(mark: &Mark) -> Span {
    let (start, end) = (mark.start, mark.end);
    Span {
        line: start.line() as u32,
        column: start.col() as u32 + 1,
        end_line: end.line() as u32,
        end_column: end.col() as u32 + 1,
        start: start.byte_offset().unwrap_or(0),
        end: end.byte_offset().unwrap_or(0),
    }
}

/// The first line from `line` on that has something on it.
fn line_span(text: &str, line: u32) -> Span {
    let mut start = 0;
    for (number, content) in (1u32..).zip(text.split_inclusive('\n')) {
        let trimmed = content.trim_end();
        if number >= line && !trimmed.is_empty() {
            return Span {
                line: number,
                column: 1,
                end_line: number,
                end_column: trimmed.chars().count() as u32 + 1,
                start,
                end: start + trimmed.len(),
            };
        }
        start += content.len();
    }
    Span {
        line: 1,
        column: 1,
        end_line: 1,
        end_column: 1,
        start: 0,
        end: 0,
    }
}
