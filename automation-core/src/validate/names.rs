//! Names that are always missing where they are read: variables nobody sets, fields no payload has,
//! roots of the scope that do not exist there (`definition §14`).

use super::Subject;
use super::outline::{Position, Text};
use super::payload::{self, Known};
use crate::definition::ActionKind;
use crate::diagnostic::{Diagnostic, Diagnostics, nearest};
use std::collections::HashSet;
use template_engine::Span;
use template_engine::ast::{Reference, Segment};

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
            match reference.root {
                "variables" | "var" => variable(text, &reference, &defined, out),
                "trigger" => payload_field(s, text, &reference, out),
                "repeat" if !in_loop(s, text) => out.push(
                    missing_root(text, &reference, "`repeat` exists inside a loop only")
                        .help("it is `repeat.index`, and `repeat.item` in a `for_each`"),
                ),
                "resume" if !may_have_resumed(s, text) => out.push(
                    missing_root(
                        text,
                        &reference,
                        "`resume` exists only after a `wait_for_trigger`",
                    )
                    .help("it is `resume.payload`, the payload of the event that ended the wait"),
                ),
                _ => {}
            }
        }
    }
}

fn place(span: Span) -> std::ops::Range<usize> {
    span.start as usize..span.end as usize
}

fn missing_root(text: &Text<'_>, reference: &Reference<'_>, message: &str) -> Diagnostic {
    Diagnostic::warning("unknown_root", text.path.clone(), message)
        .within(place(reference.root_span))
}

fn in_loop(s: &Subject<'_>, text: &Text<'_>) -> bool {
    match text.position {
        Position::LoopTest(..) => true,
        position => position.action().is_some_and(|i| s.places[i].in_loop),
    }
}

fn may_have_resumed(s: &Subject<'_>, text: &Text<'_>) -> bool {
    let waits = |kind: &ActionKind| matches!(kind, ActionKind::WaitForTrigger { .. });
    text.position.action().is_some() && s.outline.actions.iter().any(|at| waits(&at.action.kind))
}

fn variable(
    text: &Text<'_>,
    reference: &Reference<'_>,
    defined: &HashSet<&str>,
    out: &mut Diagnostics,
) {
    let Some(Segment::Static { name, span }) = reference.segments.first() else {
        return;
    };
    let (message, help) = if text.position.action().is_none() {
        let message = "no variable is set before a run begins; this is always missing".to_owned();
        (message, None)
    } else if !defined.contains(name.as_str()) {
        let near = nearest(name, defined.iter().copied());
        let message = format!("no `variables` action sets `{name}`; it is always missing");
        (message, near.map(|n| format!("did you mean `{n}`?")))
    } else {
        return;
    };
    out.push(
        Diagnostic::warning("unknown_variable", text.path.clone(), message)
            .maybe_help(help)
            .within(place(*span)),
    );
}

/// Warns when no trigger this text can see has the field. Only schemas that allow no further keys
/// can say so.
fn payload_field(
    s: &Subject<'_>,
    text: &Text<'_>,
    reference: &Reference<'_>,
    out: &mut Diagnostics,
) {
    let [Segment::Static { name, .. }, rest @ ..] = reference.segments.as_slice() else {
        return;
    };
    if name != "payload" || rest.is_empty() {
        return;
    }
    let mut path = Vec::new();
    for segment in rest {
        let Segment::Static { name, span } = segment else {
            break;
        };
        path.push((name.as_str(), *span));
    }
    let names: Vec<&str> = path.iter().map(|(name, _)| *name).collect();
    let mut missing: Option<(usize, Vec<String>)> = None;
    for event in events(s, text) {
        let Some(registered) = s.registries.trigger(event) else {
            return;
        };
        match payload::lookup(&registered.payload_schema, &names) {
            Known::Maybe => return,
            Known::Missing { at, fields } => match &mut missing {
                Some((deepest, _)) if *deepest > at => {}
                Some((deepest, all)) if *deepest == at => all.extend(fields),
                _ => missing = Some((at, fields)),
            },
        }
    }
    let Some((at, fields)) = missing else { return };
    let (name, span) = path[at];
    let near = nearest(name, fields.iter().map(String::as_str));
    let whose = match text.position {
        Position::Trigger(_) => "this trigger has no",
        _ => "no trigger that can lead here has",
    };
    out.push(
        Diagnostic::warning(
            "unknown_payload_field",
            text.path.clone(),
            format!("{whose} `{}` in its payload", names[..=at].join(".")),
        )
        .maybe_help(near.map(|n| format!("did you mean `{n}`?")))
        .within(place(span)),
    );
}

/// The events whose payload a text can see (`definition §14`): its own trigger's, the awaited one's,
/// or those of every trigger that can have led to it.
fn events<'d>(s: &Subject<'d>, text: &Text<'_>) -> Vec<&'d str> {
    let triggers = &s.definition.triggers;
    let all = || triggers.iter().map(|t| t.event.as_str()).collect();
    match text.position {
        Position::Trigger(i) => vec![s.definition.triggers[i].event.as_str()],
        Position::Action(i) | Position::LoopTest(i, _) => match &s.outline.actions[i].action.kind {
            ActionKind::WaitForTrigger { event, .. }
                if text.path.last() == Some(&"filter".into()) =>
            {
                vec![event.as_str()]
            }
            _ => {
                let here = s.places[i].triggers.iter();
                here.filter_map(|i| triggers.get(i))
                    .map(|t| t.event.as_str())
                    .collect()
            }
        },
        Position::Conditions | Position::Document => all(),
    }
}
