//! Which triggers a condition leaves (`definition §14.5`).
//!
//! A test such as `trigger.event == "incident.created"` pins the trigger. `&&` and `and:` intersect
//! what their parts say and ignore parts that say nothing; `||` and `or:` unite, and say nothing when
//! one part does. Everything else says nothing, `not` included.

use crate::definition::{Branch, Condition, Definition, effective_id, limits, normal_event};
use serde_json::Value;
use std::collections::HashMap;
use template_engine::ast::{Ast, BinaryOperator, NodeId, NodeKind};

/// Some of a definition's triggers, by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TriggerSet(u64);

const _: () = assert!(limits::TRIGGERS <= 64);

impl TriggerSet {
    /// None at all.
    pub const NONE: Self = Self(0);

    /// One of them.
    pub fn one(trigger: usize) -> Self {
        Self(1_u64.checked_shl(trigger as u32).unwrap_or_default())
    }
    /// Whether a trigger is in it.
    pub fn contains(self, trigger: usize) -> bool {
        trigger < 64 && self.0 & (1 << trigger) != 0
    }
    /// Those in both.
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
    /// Those in one or the other.
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
    /// Those of this that are not in the other.
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
    /// Nobody?
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
    /// Positions, in order.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..64).filter(move |i| self.contains(*i))
    }
}

/// The triggers of a definition, as far as conditions can ask for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscribed(Vec<(String, String)>);

impl Subscribed {
    /// Those of a definition.
    pub fn new(definition: &Definition) -> Self {
        let triggers = definition.triggers.iter();
        Self(
            triggers
                .map(|t| (t.effective_id(), t.event.clone()))
                .collect(),
        )
    }
    /// Those of a document that may be half-typed. One without an event keeps its position.
    pub fn of(document: &Value) -> Self {
        let triggers = document.get("triggers").and_then(Value::as_array);
        let text = |t: &Value, key: &str| t.get(key).and_then(Value::as_str).map(str::to_owned);
        let read = |t: &Value| {
            let event = normal_event(&text(t, "event").unwrap_or_default());
            let id = text(t, "id").unwrap_or_else(|| effective_id(&event));
            (id, event)
        };
        Self(triggers.into_iter().flatten().take(64).map(read).collect())
    }
    /// All of them.
    pub fn all(&self) -> TriggerSet {
        self.that(|_, _| true)
    }
    /// Effective id and event of one.
    pub fn get(&self, trigger: usize) -> Option<(&str, &str)> {
        self.0
            .get(trigger)
            .map(|(id, event)| (id.as_str(), event.as_str()))
    }
    fn that(&self, include: impl Fn(&str, &str) -> bool) -> TriggerSet {
        let triggers = self.0.iter().enumerate().take(64);
        TriggerSet(triggers.fold(0, |set, (i, (id, event))| {
            set | (u64::from(include(id, event)) << i)
        }))
    }
}

/// What a condition says of the trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Narrowed {
    /// It holds for these at most.
    pub triggers: TriggerSet,
    /// It holds for each of them, whatever else is the case.
    pub exact: bool,
}

/// What a condition says of the trigger; none when it says nothing.
pub fn narrow(condition: &Condition, subscribed: &Subscribed) -> Option<Narrowed> {
    match condition {
        Condition::Expression(e) => expression(&e.parse().ok()?.ast(), subscribed),
        Condition::And(members) => members
            .iter()
            .map(|m| narrow(m, subscribed))
            .reduce(both)
            .flatten(),
        Condition::Or(members) => members
            .iter()
            .map(|m| narrow(m, subscribed))
            .reduce(either)
            .flatten(),
        _ => None,
    }
}

/// The triggers that can enter each clause of a `choose`, and at last its `else`: a clause also
/// excludes those that an earlier one takes for sure.
pub fn entering(
    branches: &[Branch],
    from: TriggerSet,
    subscribed: &Subscribed,
) -> (Vec<TriggerSet>, TriggerSet) {
    let said = branches.iter().map(|b| narrow(&b.when, subscribed));
    split(said, from)
}

/// The same for clauses of a document that may be half-typed.
pub(super) fn entering_values(
    clauses: &[Value],
    from: TriggerSet,
    subscribed: &Subscribed,
) -> (Vec<TriggerSet>, TriggerSet) {
    let said = clauses.iter().map(|clause| {
        let when = Condition::read_stored(clause.get("when")?)?;
        narrow(&when, subscribed)
    });
    split(said, from)
}

fn split(
    said: impl Iterator<Item = Option<Narrowed>>,
    from: TriggerSet,
) -> (Vec<TriggerSet>, TriggerSet) {
    let mut left = from;
    let mut sets = Vec::new();
    for said in said {
        sets.push(said.map_or(left, |n| left.and(n.triggers)));
        if let Some(taken) = said.filter(|n| n.exact) {
            left = left.without(taken.triggers);
        }
    }
    (sets, left)
}

fn both(a: Option<Narrowed>, b: Option<Narrowed>) -> Option<Narrowed> {
    match (a, b) {
        (Some(a), Some(b)) => Some(Narrowed {
            triggers: a.triggers.and(b.triggers),
            exact: a.exact && b.exact,
        }),
        (Some(one), None) | (None, Some(one)) => Some(Narrowed {
            exact: false,
            ..one
        }),
        (None, None) => None,
    }
}

fn either(a: Option<Narrowed>, b: Option<Narrowed>) -> Option<Narrowed> {
    let (a, b) = (a?, b?);
    Some(Narrowed {
        triggers: a.triggers.or(b.triggers),
        exact: a.exact && b.exact,
    })
}

/// Bottom up over the tree, whose children come before their parents.
fn expression(ast: &Ast, subscribed: &Subscribed) -> Option<Narrowed> {
    let mut said: HashMap<NodeId, Narrowed> = HashMap::new();
    for (id, node) in ast.nodes() {
        let here = match &node.kind {
            NodeKind::Binary {
                operator,
                left,
                right,
            } => match operator {
                BinaryOperator::And => both(said.get(left).copied(), said.get(right).copied()),
                BinaryOperator::Or => either(said.get(left).copied(), said.get(right).copied()),
                BinaryOperator::Equal | BinaryOperator::NotEqual => {
                    test(ast, *left, *right, subscribed).map(|triggers| Narrowed {
                        triggers: if *operator == BinaryOperator::Equal {
                            triggers
                        } else {
                            subscribed.all().without(triggers)
                        },
                        exact: true,
                    })
                }
                _ => None,
            },
            _ => None,
        };
        if let Some(here) = here {
            said.insert(id, here);
        }
    }
    said.get(ast.roots().first()?).copied()
}

/// The triggers of `trigger.event == "x"` or `trigger.id == "x"`, either side first.
fn test(ast: &Ast, left: NodeId, right: NodeId, subscribed: &Subscribed) -> Option<TriggerSet> {
    let kind = |id: NodeId| ast.get(id).map(|n| &n.kind);
    let (member, text) = match (kind(left)?, kind(right)?) {
        (member, NodeKind::String(text)) | (NodeKind::String(text), member) => (member, text),
        _ => return None,
    };
    let NodeKind::Member { object, name, .. } = member else {
        return None;
    };
    if !matches!(kind(*object)?, NodeKind::Identifier(root) if root == "trigger") {
        return None;
    }
    match name.as_str() {
        // An id with more dots never equals, and is reported as such.
        "event" | "eventId" if text.matches('.').count() > 1 => None,
        "event" | "eventId" => Some(subscribed.that(|_, event| event == text)),
        "id" => Some(subscribed.that(|id, _| id == text)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn definition(when: &Value) -> (Definition, Condition) {
        let stored = json!({
            "name": "A",
            "triggers": [{"event": "a.x"}, {"id": "two", "event": "a.x"}, {"event": "b.y"}],
            "conditions": [when],
        });
        let d = Definition::read_stored(&stored).unwrap().definition;
        let condition = d.conditions[0].clone();
        (d, condition)
    }

    #[track_caller]
    fn says(when: Value, expect: Option<(&[usize], bool)>) {
        let (d, condition) = definition(&when);
        let found = narrow(&condition, &Subscribed::new(&d));
        let found = found.map(|n| (n.triggers.iter().collect::<Vec<_>>(), n.exact));
        assert_eq!(
            found,
            expect.map(|(set, exact)| (set.to_vec(), exact)),
            "{when}"
        );
    }

    #[test]
    fn definition_14_5_tests_of_the_trigger_pin_it() {
        says(json!("trigger.event == 'a.x'"), Some((&[0, 1], true)));
        says(json!("'b.y' == trigger.event"), Some((&[2], true)));
        says(json!("trigger.id == \"two\""), Some((&[1], true)));
        says(json!("trigger.id != 'two'"), Some((&[0, 2], true)));
        says(json!("trigger.event == 'c.z'"), Some((&[], true)));
        for nothing in [
            "!(trigger.event == 'a.x')",
            "trigger.event == other.event",
            "trigger.payload.event == 'a.x'",
            "trigger.event == 'a.x' ? 1 : 0",
            "trigger.event",
            "a b",
        ] {
            says(json!(nothing), None);
        }
        says(json!({"not": "trigger.event == 'a.x'"}), None);
    }

    #[test]
    fn definition_14_5_and_intersects_and_or_unites() {
        says(
            json!("trigger.event == 'a.x' && trigger.id != 'two'"),
            Some((&[0], true)),
        );
        says(
            json!("trigger.event == 'a.x' && trigger.payload.n > 5"),
            Some((&[0, 1], false)),
        );
        says(
            json!({"and": ["trigger.event == 'a.x'", {"not": "x"}]}),
            Some((&[0, 1], false)),
        );
        says(
            json!("trigger.id == 'two' || trigger.event == 'b.y'"),
            Some((&[1, 2], true)),
        );
        says(json!("trigger.id == 'two' || trigger.payload.n"), None);
        says(
            json!({"or": ["trigger.id == 'two'", "trigger.event == 'b.y'"]}),
            Some((&[1, 2], true)),
        );
        says(json!({"or": ["trigger.id == 'two'", "x"]}), None);
    }

    #[test]
    fn definition_14_5_later_clauses_exclude_what_earlier_ones_take() {
        let stored = json!({
            "name": "A",
            "triggers": [{"event": "a.x"}, {"event": "b.y"}, {"event": "c.z"}],
            "actions": [{
                "choose": [
                    {"when": "trigger.event == 'a.x'", "sequence": [{"stop": {}}]},
                    {"when": "trigger.event == 'b.y' && trigger.payload.n", "sequence": [{"stop": {}}]},
                    {"when": "trigger.payload.m", "sequence": [{"stop": {}}]},
                ],
                "else": [],
            }],
        });
        let d = Definition::read_stored(&stored).unwrap().definition;
        let crate::definition::ActionKind::Choose { branches, .. } = &d.actions[0].kind else {
            panic!("a choose");
        };
        let subscribed = Subscribed::new(&d);
        assert_eq!(subscribed, Subscribed::of(&d.to_value()));
        let (sets, left) = entering(branches, subscribed.all(), &subscribed);
        let list = |s: TriggerSet| s.iter().collect::<Vec<_>>();
        assert_eq!(
            sets.into_iter().map(list).collect::<Vec<_>>(),
            [vec![0], vec![1], vec![1, 2]]
        );
        assert_eq!(list(left), [1, 2]);
    }
}
