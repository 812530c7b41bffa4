//! References to artifacts, read from syntax trees: the word "artifacts" in prose never counts
//! (`definition §13.1`).

use super::Subject;
use super::outline::{Position, Tested};
use crate::definition::{Action, ActionKind};
use crate::diagnostic::{Diagnostic, Diagnostics, nearest};
use crate::registry::Registries;
use std::collections::HashMap;
use template_engine::ast::Segment;

/// What the action of an id leaves behind.
enum Produces {
    /// An artifact of this local name.
    Local(String),
    /// Nothing.
    Nothing,
    /// Unknown action: cannot be said.
    Unknown,
}

pub(super) fn check(s: &Subject<'_>, out: &mut Diagnostics) {
    let producers: HashMap<&str, Produces> = s
        .outline
        .actions
        .iter()
        .filter_map(|at| Some((at.action.id.as_deref()?, produces(at.action, s.registries))))
        .collect();
    for text in &s.outline.texts {
        let Some(ast) = text.ast() else { continue };
        for reference in ast.references() {
            if reference.root != "artifacts" {
                continue;
            }
            let Some(Segment::Static { name: id, span }) = reference.segments.first() else {
                continue;
            };
            let place = span.start as usize..span.end as usize;
            let local = match producers.get(id.as_str()) {
                Some(Produces::Unknown) => continue,
                Some(Produces::Local(local)) => local,
                Some(Produces::Nothing) | None => {
                    let known = producers
                        .iter()
                        .filter(|(_, p)| !matches!(p, Produces::Nothing))
                        .map(|(id, _)| *id);
                    let help = nearest(id, known).map(|n| format!("did you mean `artifacts.{n}`?"));
                    out.push(
                        Diagnostic::error(
                            "unknown_artifact",
                            text.path.clone(),
                            format!("no action with the id `{id}` produces an artifact"),
                        )
                        .maybe_help(help)
                        .within(place),
                    );
                    continue;
                }
            };
            match reference.segments.get(1) {
                Some(Segment::Static { name, span }) if name != local => {
                    out.push(
                        Diagnostic::error(
                            "wrong_artifact_name",
                            text.path.clone(),
                            format!("the artifact of `{id}` is called `{local}`, not `{name}`"),
                        )
                        .help(format!("write `artifacts.{id}.{local}`"))
                        .within(span.start as usize..span.end as usize),
                    );
                }
                _ if !has_run(s, text.position, id) => {
                    out.push(
                        Diagnostic::warning(
                            "artifact_not_upstream",
                            text.path.clone(),
                            format!("`{id}` is not sure to have run before this"),
                        )
                        .help("artifacts reach the actions after their own in the same list, and those inside them")
                        .within(place),
                    );
                }
                _ => {}
            }
        }
    }
}

fn produces(action: &Action, registries: &Registries) -> Produces {
    let ActionKind::Provider { action, .. } = &action.kind else {
        return Produces::Nothing;
    };
    match registries.action(action) {
        Some(registered) => match &registered.produces {
            Some(local) => Produces::Local(local.clone()),
            None => Produces::Nothing,
        },
        None => Produces::Unknown,
    }
}

/// Whether the action of an id has run for sure where a text is evaluated.
fn has_run(s: &Subject<'_>, position: Position, id: &str) -> bool {
    match position {
        Position::Action(i) | Position::LoopTest(i, Tested::Before) => {
            s.places[i].before.contains(id)
        }
        Position::LoopTest(i, Tested::After) => {
            let place = &s.places[i];
            place
                .after_pass
                .as_ref()
                .unwrap_or(&place.before)
                .contains(id)
        }
        Position::Trigger(_) | Position::Conditions | Position::Document => false,
    }
}
