//! Terminal rendering with source lines.

use super::{Diagnostic, Diagnostics, Severity, Span, path_text};
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

impl Diagnostics {
    /// The findings as a terminal shows them, each with the source lines it is about. `name` is the
    /// file shown; `source` the whole text the spans point into, if there is one. Ends without a
    /// line break; empty when there is nothing to say.
    pub fn render(&self, name: &str, source: Option<&str>, color: bool) -> String {
        let renderer = if color {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        self.iter()
            .map(|d| renderer.render(&[group(d, name, source)]))
            .collect::<Vec<_>>()
            .join("\n\n")
    }
}

fn group<'a>(d: &'a Diagnostic, name: &'a str, source: Option<&'a str>) -> Group<'a> {
    let level = match d.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Info => Level::INFO,
    };
    let title = level.primary_title(d.message.as_str()).id(d.code);
    let span = d.focus.or(d.span).filter(Span::is_located);
    let at = path_text(&d.path);
    let mut group = match (span, source) {
        (Some(span), Some(source)) => title.element(
            Snippet::source(source).path(name).annotation(
                AnnotationKind::Primary
                    .span(one_line(span, source))
                    .label(if d.path.is_empty() {
                        String::new()
                    } else {
                        format!("at {at}")
                    }),
            ),
        ),
        _ => {
            let group = title.element(Origin::path(name));
            if d.path.is_empty() {
                group
            } else {
                group.element(Level::NOTE.message(format!("at {at}")))
            }
        }
    };
    if let Some(help) = &d.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    group
}

/// The part of a span on its first line: underlining a whole block helps nobody.
fn one_line(span: Span, source: &str) -> std::ops::Range<usize> {
    let start = span.start.min(source.len());
    let end = span.end.clamp(start, source.len());
    let Some(text) = source.get(start..end) else {
        return start..start;
    };
    let text = text.split('\n').next().unwrap_or("").trim_end();
    start..start + text.len()
}
