//! What can be said of expressions and templates by themselves.

use super::Subject;
use super::outline::{Meaning, Text};
use crate::compiled::diagnostics::{expression_error, template_syntax};
use crate::diagnostic::{Diagnostic, Diagnostics, nearest};
use template_engine::Filters;
use template_engine::ast::{Ast, BinaryOperator, NodeKind};

/// Names an expression may start with (`definition §14`).
pub(super) const ROOTS: [&str; 9] = [
    "trigger",
    "health",
    "state",
    "variables",
    "var",
    "artifacts",
    "repeat",
    "now",
    "resume",
];

pub(super) fn check(s: &Subject<'_>, out: &mut Diagnostics) {
    let filters = s.registries.filters();
    for text in &s.outline.texts {
        let problem = match &text.meaning {
            Meaning::Expression(e, ast) => {
                if e.had_braces() && ast.is_ok() {
                    out.push(
                        Diagnostic::info(
                            "expression_braces",
                            text.path.clone(),
                            "the braces around this expression are not needed and are left out",
                        )
                        .help(format!("write {}", e.text())),
                    );
                }
                ast.as_ref().err().map(|why| expression_error(e, why))
            }
            Meaning::Template(ast) => ast.as_ref().err().map(template_syntax),
            _ => None,
        };
        if let Some(mut d) = problem {
            d.path = text.path.clone();
            out.push(d);
        }
        if let Some(ast) = text.ast() {
            filters_exist(text, ast, filters, out);
            roots_are_known(text, ast, out);
            events_have_one_dot(text, ast, out);
            null_is_not_missing(text, ast, out);
        }
    }
}

fn filters_exist(text: &Text<'_>, ast: &Ast, filters: &Filters, out: &mut Diagnostics) {
    for call in ast.filters() {
        let place = call.span.start as usize..call.span.end as usize;
        let Some(info) = filters.get(call.name) else {
            let names = filters.list();
            let help = match nearest(call.name, names.iter().map(String::as_str)) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("known filters: {}", names.join(", ")),
            };
            let message = format!("there is no filter `{}`", call.name);
            out.push(
                Diagnostic::error("unknown_filter", text.path.clone(), message)
                    .help(help)
                    .within(place),
            );
            continue;
        };
        let Some(NodeKind::Filter { args, .. }) = ast.get(call.node).map(|n| &n.kind) else {
            continue;
        };
        let Some((least, most)) = info.signature.as_deref().map(|s| arity(call.name, s)) else {
            continue;
        };
        if args.len() < least || args.len() > most {
            let message = format!(
                "`{}` takes {}, found {}",
                call.name,
                arguments(least, most),
                args.len()
            );
            let help = info.signature.map(|s| format!("it is written `{s}`"));
            out.push(
                Diagnostic::warning("filter_arguments", text.path.clone(), message)
                    .maybe_help(help)
                    .within(place),
            );
        }
    }
}

fn arguments(least: usize, most: usize) -> String {
    match (least, most) {
        (_, 0) => "no argument".into(),
        (1, 1) => "1 argument".into(),
        (a, b) if a == b => format!("{a} arguments"),
        (a, b) => format!("{a} to {b} arguments"),
    }
}

/// How many arguments a signature such as `mask(keep, with?)` asks for. The two built-in filters
/// whose argument may be left out (`template §8`) do not say so in theirs.
fn arity(name: &str, signature: &str) -> (usize, usize) {
    let Some(inner) = signature
        .split_once('(')
        .and_then(|(_, rest)| rest.rsplit_once(')'))
        .map(|(inner, _)| inner.trim())
    else {
        return (0, 0);
    };
    let names: Vec<&str> = inner
        .split(',')
        .map(str::trim)
        .filter(|n| !n.is_empty())
        .collect();
    let optional = names
        .iter()
        .filter(|n| n.contains('?') || n.contains('='))
        .count();
    let least = if matches!(name, "join" | "date") {
        0
    } else {
        names.len() - optional
    };
    (least, names.len())
}

fn roots_are_known(text: &Text<'_>, ast: &Ast, out: &mut Diagnostics) {
    for reference in ast.references() {
        if ROOTS.contains(&reference.root) {
            continue;
        }
        let help = match nearest(reference.root, ROOTS) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!(
                "names start with one of {}; a key with `-` in it is written `[\"…\"]`",
                ROOTS.join(", ")
            ),
        };
        let message = format!(
            "nothing is called `{}` here; it is always missing",
            reference.root
        );
        out.push(
            Diagnostic::warning("unknown_root", text.path.clone(), message)
                .help(help)
                .within(reference.root_span.start as usize..reference.root_span.end as usize),
        );
    }
}

/// `trigger.event` holds the normal form, so comparing it with an id of several dots never holds
/// (decision 6).
fn events_have_one_dot(text: &Text<'_>, ast: &Ast, out: &mut Diagnostics) {
    for (_, node) in ast.nodes() {
        let NodeKind::Binary {
            operator: BinaryOperator::Equal | BinaryOperator::NotEqual,
            left,
            right,
        } = &node.kind
        else {
            continue;
        };
        let sides = [ast.get(*left), ast.get(*right)].map(|n| n.map(|n| (&n.kind, n.span)));
        for (one, other) in [(0, 1), (1, 0)] {
            let (
                Some((NodeKind::Member { object, name, .. }, _)),
                Some((NodeKind::String(id), span)),
            ) = (&sides[one], &sides[other])
            else {
                continue;
            };
            let on_trigger = matches!(ast.get(*object).map(|n| &n.kind), Some(NodeKind::Identifier(root)) if root == "trigger");
            if on_trigger && (name == "event" || name == "eventId") && id.matches('.').count() > 1 {
                let normal = crate::definition::normal_event(id);
                out.push(
                    Diagnostic::warning(
                        "dotted_event",
                        text.path.clone(),
                        format!("`trigger.event` has one dot, so it is never `{id}`"),
                    )
                    .help(format!("compare it with `{normal}`"))
                    .within(span.start as usize..span.end as usize),
                );
            }
        }
    }
}

/// A missing value is not `null`, so comparing with the literal rarely does what was meant
/// (`template §15.3`).
fn null_is_not_missing(text: &Text<'_>, ast: &Ast, out: &mut Diagnostics) {
    for (_, node) in ast.nodes() {
        let NodeKind::Binary {
            operator,
            left,
            right,
        } = &node.kind
        else {
            continue;
        };
        let null = [left, right]
            .into_iter()
            .filter_map(|id| ast.get(*id))
            .find(|n| matches!(n.kind, NodeKind::Null));
        if let Some(null) = null.filter(|_| operator.is_comparison()) {
            out.push(
                Diagnostic::warning(
                    "null_comparison",
                    text.path.clone(),
                    "a missing value is not `null`, so this does not tell whether it is there",
                )
                .help("write `!x`, or `x | default(…)`")
                .within(null.span.start as usize..null.span.end as usize),
            );
        }
    }
}
