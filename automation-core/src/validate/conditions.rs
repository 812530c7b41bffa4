//! Conditions that cannot be evaluated or never hold.

use super::Subject;
use crate::compiled::diagnostics::unknown_timezone;
use crate::definition::{ActionKind, Condition, Expr};
use crate::diagnostic::{Diagnostic, Diagnostics, Path};
use crate::scope::{Subscribed, entering, narrow};
use template_engine::condition::TimeWindow;

pub(super) fn check(s: &Subject<'_>, out: &mut Diagnostics) {
    clauses(s, out);
    for (i, t) in s.definition.triggers.iter().enumerate() {
        if let Some(filter) = &t.filter {
            let path = vec!["triggers".into(), i.into(), "filter".into()];
            constant(filter, &path, out);
        }
    }
    for at in &s.outline.conditions {
        match at.condition {
            Condition::Time {
                after,
                before,
                timezone,
                ..
            } => {
                if TimeWindow::zone_named(timezone).is_none() {
                    let mut d = unknown_timezone(timezone);
                    d.path = at.path.clone();
                    d.path.extend(["time".into(), "timezone".into()]);
                    out.push(d);
                }
                if after.is_some() && after == before {
                    out.push(
                        Diagnostic::warning(
                            "never_matches",
                            at.path.clone(),
                            "`after` and `before` are the same, so no time lies between them",
                        )
                        .help("leave both out to match the whole day"),
                    );
                }
            }
            Condition::Expression(e) => constant(e, &at.path, out),
            Condition::NumericState {
                above: Some(above),
                below: Some(below),
                ..
            } if above.as_f64() >= below.as_f64() => {
                out.push(
                    Diagnostic::warning(
                        "never_matches",
                        at.path.clone(),
                        format!("no number is above {above} and below {below}"),
                    )
                    .help("both bounds are exclusive; use an `or` for two ranges"),
                );
            }
            _ => {}
        }
    }
}

/// A clause that pins the trigger to one the automation does not have, or that an earlier clause
/// takes (`definition §14.5`).
fn clauses(s: &Subject<'_>, out: &mut Diagnostics) {
    let subscribed = Subscribed::new(s.definition);
    for (at, place) in s.outline.actions.iter().zip(s.places) {
        let ActionKind::Choose { branches, .. } = &at.action.kind else {
            continue;
        };
        let (sets, _) = entering(branches, place.triggers, &subscribed);
        for (i, (branch, set)) in branches.iter().zip(sets).enumerate() {
            // What got nowhere because an outer clause never matches is reported there.
            if !set.is_empty() || place.triggers.is_empty() {
                continue;
            }
            let pins = narrow(&branch.when, &subscribed).is_some();
            let message = if pins {
                "no trigger that leads here has the event or id this clause asks for"
            } else {
                "every trigger that leads here is taken by an earlier clause"
            };
            let mut path = at.path.clone();
            path.extend(["choose".into(), i.into(), "when".into()]);
            out.push(Diagnostic::warning("never_matches", path, message));
        }
    }
}

/// A condition that reads nothing and calls nothing is always the same (`template §15.3`).
fn constant(e: &Expr, path: &Path, out: &mut Diagnostics) {
    let Ok(expression) = e.parse() else { return };
    let ast = expression.ast();
    if ast.references().is_empty() && ast.filters().next().is_none() {
        out.push(Diagnostic::warning(
            "constant_condition",
            path.clone(),
            "this condition reads nothing, so its answer is always the same",
        ));
    }
}
