//! Names that nothing defines: variables and payload fields.

use super::Subject;
use super::outline::{Position, Text};
use crate::definition::ActionKind;
use crate::diagnostic::{Diagnostic, Diagnostics, nearest};
use crate::registry::Registries;
use serde_json::Value;
use std::collections::HashSet;
use template_engine::ast::Segment;

pub(super) fn check(s: &Subject<'_>, out: &mut Diagnostics) {
    let defined: HashSet<&str> = s
        .outline
        .actions
        .iter()
        .filter_map(|at| match &at.action.kind {
            ActionKind::Variables(map) => Some(map.keys().map(String::as_str)),
            _ => None,
        })
        .flatten()
        .collect();
    for text in &s.outline.texts {
        let Some(ast) = text.ast() else { continue };
        for reference in ast.references() {
            let mut segments = reference.segments.iter();
            let Some(Segment::Static { name, span }) = segments.next() else {
                continue;
            };
            match reference.root {
                "variables" | "var" if !defined.contains(name.as_str()) => {
                    let help = nearest(name, defined.iter().copied())
                        .map(|n| format!("did you mean `{n}`?"));
                    out.push(
                        Diagnostic::warning(
                            "unknown_variable",
                            text.path.clone(),
                            format!("no `variables` action sets `{name}`; it is always missing"),
                        )
                        .maybe_help(help)
                        .within(span.start as usize..span.end as usize),
                    );
                }
                "trigger" if name == "payload" => {
                    if let Some(Segment::Static { name, span }) = segments.next() {
                        let place = span.start as usize..span.end as usize;
                        payload_field(s, text, name, place, out);
                    }
                }
                _ => {}
            }
        }
    }
}

/// Warns when no trigger this text can see has the field. Only schemas that allow no further keys
/// can say so.
fn payload_field(
    s: &Subject<'_>,
    text: &Text<'_>,
    field: &str,
    place: std::ops::Range<usize>,
    out: &mut Diagnostics,
) {
    let Some(known) = payload_fields(s, text) else {
        return;
    };
    if known.contains(field) {
        return;
    }
    let help =
        nearest(field, known.iter().map(String::as_str)).map(|n| format!("did you mean `{n}`?"));
    out.push(
        Diagnostic::warning(
            "unknown_payload_field",
            text.path.clone(),
            format!("no trigger of this automation has `{field}` in its payload"),
        )
        .maybe_help(help)
        .within(place),
    );
}

/// The payload fields a text can see; none when any schema is open or unknown.
fn payload_fields(s: &Subject<'_>, text: &Text<'_>) -> Option<HashSet<String>> {
    let events: Vec<&str> = match text.position {
        Position::Trigger(i) => vec![s.definition.triggers[i].event.as_str()],
        Position::Action(i) => match &s.outline.actions[i].action.kind {
            ActionKind::WaitForTrigger { event, .. }
                if text.path.last() == Some(&"filter".into()) =>
            {
                vec![event.as_str()]
            }
            _ => all_events(s),
        },
        _ => all_events(s),
    };
    let mut fields = HashSet::new();
    for event in events {
        fields.extend(closed_fields(s.registries, event)?);
    }
    Some(fields)
}

fn all_events<'d>(s: &Subject<'d>) -> Vec<&'d str> {
    s.definition
        .triggers
        .iter()
        .map(|t| t.event.as_str())
        .collect()
}

fn closed_fields(registries: &Registries, event: &str) -> Option<Vec<String>> {
    let schema = registries.trigger(event)?.payload_schema.clone();
    if schema.get("additionalProperties") != Some(&Value::Bool(false)) {
        return None;
    }
    let properties = schema.get("properties")?.as_object()?;
    Some(properties.keys().cloned().collect())
}
