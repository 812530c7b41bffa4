//! How much live state one evaluation may read (`definition §3.2`).

use super::Subject;
use crate::definition::{Condition, limits};
use crate::diagnostic::{Diagnostic, Diagnostics};
use std::collections::HashSet;
use template_engine::ast::{Ast, Segment};

pub(super) fn check(s: &Subject<'_>, out: &mut Diagnostics) {
    let mut ids: HashSet<&str> = s.definition.uses_state.iter().map(String::as_str).collect();
    ids.extend(
        s.outline
            .conditions
            .iter()
            .filter_map(|c| match c.condition {
                Condition::State { entity, .. } => Some(entity.as_str()),
                _ => None,
            }),
    );
    let asts: Vec<&Ast> = s.outline.texts.iter().filter_map(|t| t.ast()).collect();
    let named: Vec<String> = asts.iter().flat_map(|ast| systems(ast)).collect();
    ids.extend(named.iter().map(String::as_str));
    // The context key comes on top.
    let most = ids.len() + 1;
    if most > limits::STATE_IDS {
        out.push(
            Diagnostic::warning(
                "state_cap_exceeded",
                vec!["uses_state".into()],
                format!(
                    "up to {most} systems can be read for one evaluation, but only the first {} are",
                    limits::STATE_IDS
                ),
            )
            .help("list fewer systems"),
        );
    }
}

/// The systems an expression names: `health.systems.x`, `health.systems["x"]`.
fn systems(ast: &Ast) -> Vec<String> {
    let references = ast.references();
    let named = references.iter().filter(|r| r.root == "health");
    named
        .filter_map(|r| match r.segments.as_slice() {
            [
                Segment::Static { name, .. },
                Segment::Static { name: id, .. },
                ..,
            ] if name == "systems" => Some(id.clone()),
            _ => None,
        })
        .collect()
}
