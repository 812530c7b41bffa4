//! What changed between two states (`entity §7`). Pure.

use crate::canonical::same;
use serde_json::{Map, Value};

/// A state: an object of named top-level fields.
pub type State = Map<String, Value>;

/// The difference of two states.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diff {
    /// Names of the fields whose values differ, in byte order.
    pub changed_fields: Vec<String>,
    /// Their new values; a field that disappeared appears as null.
    pub delta: State,
}

/// Compares two states field by field. An absent top-level field equals a null one, an absent
/// state equals an empty one: that an entity began or ceased to exist is for the caller to see.
pub fn diff(prev: Option<&State>, next: Option<&State>) -> Diff {
    let differs = |name: &str| match (field(prev, name), field(next, name)) {
        (None, None) => false,
        (Some(a), Some(b)) => !same(a, b),
        _ => true,
    };
    let names = prev.into_iter().chain(next).flat_map(|s| s.keys());
    let mut changed: Vec<String> = names.filter(|n| differs(n)).cloned().collect();
    changed.sort_unstable();
    changed.dedup();
    let delta = changed
        .iter()
        .map(|name| (name.clone(), field(next, name).cloned().unwrap_or_default()))
        .collect();
    Diff {
        changed_fields: changed,
        delta,
    }
}

fn field<'a>(state: Option<&'a State>, name: &str) -> Option<&'a Value> {
    state?.get(name).filter(|v| !v.is_null())
}
