//! The structural stage: from positioned trees to the model, with one diagnostic per thing that is
//! wrong and no early end.
//!
//! Readers answer `None` where they reported an error; siblings are read on, so that an author sees
//! everything at once. A [`Definition`] comes out only when nothing was reported.

mod action;
mod condition;
mod fields;
mod retry;
mod trigger;

use super::{ConcurrencyScope, Definition, Mode, limits};
use crate::diagnostic::{Diagnostics, Path};
use crate::yaml::Node;
use fields::Reader;

/// A definition read from a stored row, with the unknown keys that were ignored.
#[derive(Clone, Debug, PartialEq)]
pub struct Lenient {
    /// The definition.
    pub definition: Definition,
    /// Paths of keys a newer or older program wrote.
    pub ignored: Vec<Path>,
}

pub(super) fn definition(node: &Node) -> (Option<Definition>, Diagnostics) {
    let mut r = Reader::strict();
    r.check_strings(node);
    let read = top(&mut r, node);
    let read = read.filter(|_| !r.issues.has_errors());
    (read, r.issues)
}

pub(super) fn stored(value: &serde_json::Value) -> Result<Lenient, Diagnostics> {
    let mut r = Reader::lenient();
    let node = Node::from_json(value);
    match top(&mut r, &node) {
        Some(definition) if !r.issues.has_errors() => Ok(Lenient {
            definition,
            ignored: r.ignored,
        }),
        _ => Err(r.issues.locate(&node, None)),
    }
}

/// One condition by itself.
pub(super) fn condition(value: &serde_json::Value) -> Option<super::Condition> {
    let mut r = Reader::lenient();
    let read = condition::read(&mut r, &Node::from_json(value), 1);
    read.filter(|_| !r.issues.has_errors())
}

const KEYS: [&str; 11] = [
    "name",
    "description",
    "triggers",
    "conditions",
    "actions",
    "mode",
    "concurrency_scope",
    "max_runs",
    "allow_reentry",
    "uses_state",
    "state_window_minutes",
];

fn top(r: &mut Reader, node: &Node) -> Option<Definition> {
    let f = r.fields(node, &KEYS)?;
    let name = f.required(r, "name", |r, n| r.string(n, 1, 200));
    let description = f.optional(r, "description", |r, n| r.any_string(n));
    let triggers = triggers(r, &f);
    let conditions = f.optional(r, "conditions", |r, n| {
        r.limited_list(n, limits::CONDITIONS, "conditions", |r, n| {
            condition::read(r, n, 1)
        })
    });
    let actions = f.optional(r, "actions", |r, n| r.list(n, |r, n| action::read(r, n, 1)));
    let mode = f.optional(r, "mode", |r, n| r.one_of(n, &Mode::ALL));
    let scope = f.optional(r, "concurrency_scope", |r, n| {
        r.one_of(n, &ConcurrencyScope::ALL)
    });
    let max_runs = f.optional(r, "max_runs", |r, n| r.int(n, 1, 1000));
    let allow_reentry = f.optional(r, "allow_reentry", |r, n| r.boolean(n));
    let uses_state = f.optional(r, "uses_state", |r, n| {
        r.limited_list(n, limits::STATE_IDS, "ids", |r, n| {
            r.string(n, 1, usize::MAX)
        })
    });
    let window = f.optional(r, "state_window_minutes", |r, n| r.int(n, 1, 10_080));
    Some(Definition {
        name: name?,
        description,
        triggers: triggers?,
        conditions: conditions.unwrap_or_default(),
        actions: actions.unwrap_or_default(),
        mode: mode.unwrap_or_default(),
        concurrency_scope: scope.unwrap_or_default(),
        max_runs: max_runs.unwrap_or(10),
        allow_reentry: allow_reentry.unwrap_or(false),
        uses_state: uses_state.unwrap_or_default(),
        state_window_minutes: window,
    })
}

fn triggers(r: &mut Reader, f: &fields::Fields<'_>) -> Option<Vec<super::Trigger>> {
    f.required(r, "triggers", |r, n| {
        let list = r.limited_list(n, limits::TRIGGERS, "triggers", trigger::read)?;
        if matches!(&n.kind, crate::yaml::Kind::List(items) if items.is_empty()) {
            r.error(
                "missing_field",
                "at least one trigger is needed, or nothing ever starts the automation",
            );
            return None;
        }
        Some(list)
    })
}
