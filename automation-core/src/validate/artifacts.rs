//! References to artifacts, read from syntax trees: the word "artifacts" in prose never counts
//! (`definition §13.1`).

use super::Subject;
use super::outline::Position;
use crate::definition::{Action, ActionKind};
use crate::diagnostic::{Diagnostic, Diagnostics, nearest};
use crate::registry::Registries;
use std::collections::{HashMap, HashSet};
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
    let upstream = Upstream::of(s);
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
                _ if !upstream.reaches(text.position, id) => {
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

/// Which action ids have run for sure before each action (`definition §14.2`): those before it in
/// every list on the way to it. Nothing leaks out of `choose`, `parallel` and `repeat`; a preceding
/// `sequence` contributes its content; disabled actions contribute nothing.
struct Upstream<'d> {
    /// By index into the outline's actions, which are in the same order as this walk.
    before: Vec<HashSet<&'d str>>,
}

impl<'d> Upstream<'d> {
    fn of(s: &Subject<'d>) -> Self {
        let mut walk = Self { before: Vec::new() };
        walk.list(&s.definition.actions, &HashSet::new());
        walk
    }

    fn reaches(&self, position: Position, id: &str) -> bool {
        match position {
            Position::Action(i) => self.before.get(i).is_some_and(|b| b.contains(id)),
            _ => false,
        }
    }

    /// Walks a list; answers what it contributes to what follows it.
    fn list(&mut self, actions: &'d [Action], given: &HashSet<&'d str>) -> HashSet<&'d str> {
        let mut sure = given.clone();
        for action in actions {
            let contributes = self.action(action, &sure);
            if action.enabled {
                sure.extend(contributes);
            }
        }
        sure
    }

    fn action(&mut self, action: &'d Action, sure: &HashSet<&'d str>) -> HashSet<&'d str> {
        self.before.push(sure.clone());
        let mut out: HashSet<&'d str> = action.id.as_deref().into_iter().collect();
        match &action.kind {
            ActionKind::Choose {
                branches,
                otherwise,
            } => {
                for b in branches {
                    self.list(&b.sequence, sure);
                }
                self.list(otherwise.as_deref().unwrap_or_default(), sure);
            }
            ActionKind::Parallel(list) => {
                for a in list {
                    self.action(a, sure);
                }
            }
            ActionKind::Repeat { sequence, .. } => {
                self.list(sequence, sure);
            }
            ActionKind::Sequence(list) => out.extend(self.list(list, sure)),
            _ => {}
        }
        out
    }
}
