//! What a `wait_until` is woken by, as far as its text tells (`entity §19.1`, `§19.3`).

use super::Subject;
use super::outline::{Meaning, Outline};
use crate::definition::{ActionKind, Condition};
use crate::diagnostic::{Diagnostic, Diagnostics, Path};
use template_engine::ast::{Ast, Reference, Segment};

/// What a condition reads that can wake it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WaitReads {
    /// Some live state.
    pub state: bool,
    /// At least one entity or kind that can be told from the text.
    pub refs: bool,
    /// Something that changes as time passes.
    pub time: bool,
}

pub(super) fn check(s: &Subject<'_>, out: &mut Diagnostics) {
    for at in &s.outline.actions {
        let ActionKind::WaitUntil {
            condition,
            timeout_seconds,
            ..
        } = &at.action.kind
        else {
            continue;
        };
        let mut path = at.path.clone();
        path.push("wait_until".into());
        if !parses(s.outline, &path) {
            continue;
        }
        let reads = wait_reads(condition);
        if !reads.state && !reads.time && timeout_seconds.is_none() {
            out.push(
                Diagnostic::error(
                    "wait_never_wakes",
                    path,
                    "the condition reads no live state and nothing that time changes, and there is no timeout: it would wait for ever",
                )
                .help("read `health` or `state`, or give `timeout_seconds`"),
            );
        } else if reads.state && !reads.refs {
            out.push(
                Diagnostic::warning(
                    "wait_indeterminate",
                    path,
                    "which state the condition reads cannot be told from its text: only the periodic re-check and the timeout end the wait",
                )
                .help("name the kind, as in `state.incident[id].status`"),
            );
        }
    }
}

/// Whether every expression under a path parses; what does not is reported as such.
fn parses(outline: &Outline<'_>, path: &Path) -> bool {
    outline
        .texts
        .iter()
        .filter(|t| t.path.starts_with(path))
        .all(|t| {
            !matches!(
                t.meaning,
                Meaning::Expression(_, Err(_)) | Meaning::Template(Err(_))
            )
        })
}

/// What a condition reads.
pub fn wait_reads(condition: &Condition) -> WaitReads {
    use crate::definition::NumericValue;
    let mut reads = WaitReads::default();
    match condition {
        Condition::Expression(e) => match e.parse() {
            Ok(e) => expression(&e.ast(), &mut reads),
            Err(_) => reads.state = true,
        },
        Condition::And(members) | Condition::Or(members) => {
            for m in members {
                reads.add(wait_reads(m));
            }
        }
        Condition::Not(inner) => reads = wait_reads(inner),
        Condition::NumericState { value, .. } => match value {
            NumericValue::Expression(e) => match e.parse() {
                Ok(e) => expression(&e.ast(), &mut reads),
                Err(_) => reads.state = true,
            },
            NumericValue::Number(_) => reads.state = true,
        },
        Condition::Time { .. } => reads.time = true,
        Condition::State {
            entity, held_for, ..
        } => {
            reads.state = true;
            reads.refs = !entity.trim().is_empty();
            reads.time = held_for.is_some();
        }
    }
    reads
}

impl WaitReads {
    fn add(&mut self, other: Self) {
        self.state |= other.state;
        self.refs |= other.refs;
        self.time |= other.time;
    }
}

fn expression(ast: &Ast, reads: &mut WaitReads) {
    reads.time |= ast
        .filters()
        .any(|f| matches!(f.name, "older_than" | "duration_since"));
    for reference in ast.references() {
        match reference.root {
            "now" => reads.time = true,
            "health" => {
                reads.state = true;
                // A bare `health` names nothing; everything below it at least names the kind.
                reads.refs |= !reference.segments.is_empty();
                reads.time |= time_field(&reference);
            }
            "state" => {
                reads.state = true;
                reads.refs |= matches!(reference.segments.first(), Some(Segment::Static { .. }));
                reads.time |= time_field(&reference);
            }
            _ => {}
        }
    }
}

/// Fields that grow or shrink by themselves.
fn time_field(reference: &Reference<'_>) -> bool {
    matches!(
        reference.segments.last().and_then(Segment::name),
        Some("in_status_for_ms" | "transitions_in_window")
    )
}
