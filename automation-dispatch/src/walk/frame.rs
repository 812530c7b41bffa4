//! A run between decisions: its tree, its variables, and what names mean at a place of the tree.
//!
//! Variables live in frames (`dispatch §10`). Top level, branches of `choose` and sequences share
//! the run's own; a `repeat` iteration and a branch of `parallel` have one each, of which the tree
//! keeps only what was set in it. The frames on the way to a place, laid over each other, are what
//! an expression there sees.

use super::tree::{Node, Walk};
use automation_core::StepId;
use serde_json::{Map, Value, json};
use std::{borrow::Cow, sync::Arc};

/// Everything but live state that an expression at one place sees, owned.
#[derive(Clone, Debug, PartialEq)]
pub struct Locals {
    /// `variables`
    pub variables: Value,
    /// `artifacts`
    pub artifacts: Value,
    /// `repeat`
    pub repeat: Option<Value>,
    /// `resume`
    pub resume: Option<Value>,
}

/// `repeat` inside an iteration (`dispatch §10`).
pub fn repeat_scope(index: u32, item: Option<&Value>) -> Value {
    match item {
        Some(item) => json!({"index": index, "item": item}),
        None => json!({"index": index}),
    }
}

/// Artifacts without those that `hidden` actions made: what a branch sees of its siblings before
/// the join.
pub fn visible<'a>(artifacts: &'a Value, hidden: &[String]) -> Cow<'a, Value> {
    match artifacts {
        Value::Object(all) if hidden.iter().any(|h| all.contains_key(h)) => {
            let seen = all.iter().filter(|(id, _)| !hidden.contains(id));
            Cow::Owned(Value::Object(
                seen.map(|(k, v)| (k.clone(), v.clone())).collect(),
            ))
        }
        _ => Cow::Borrowed(artifacts),
    }
}

/// Lays the variables of an inner frame over those of the outer.
pub fn lay_over(variables: &mut Value, set: &Map<String, Value>) {
    if let Value::Object(all) = variables {
        all.extend(set.iter().map(|(k, v)| (k.clone(), v.clone())));
    }
}

impl Walk {
    /// Adds an artifact to the scope.
    pub fn expose(&mut self, action_id: &str, local: &str, data: Value) {
        if let Value::Object(all) = &mut self.artifacts {
            let entry = all
                .entry(action_id)
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(of_action) = entry {
                of_action.insert(local.to_owned(), data);
            }
        }
    }

    /// What an expression of the action at a path sees. The tree has one live child a list, so the
    /// path only decides between the branches of a `parallel`.
    pub fn locals(&self, path: &str) -> Locals {
        let mut variables = self.variables.clone();
        let mut hidden: Vec<String> = Vec::new();
        let mut repeat = None;
        let mut node = &self.tree;
        let mut at = String::from("actions");
        loop {
            match node {
                Node::List { at: i, child } => {
                    at.push_str(&format!("[{i}]"));
                    node = child;
                }
                Node::Body { branch, list, .. } => {
                    at.push('.');
                    at.push_str(&super::decide::body_key(*branch));
                    node = list;
                }
                Node::Repeat {
                    index,
                    item,
                    vars,
                    list,
                    ..
                } => {
                    at.push_str(&format!(".repeat[{index}].sequence"));
                    lay_over(&mut variables, vars);
                    repeat = Some(repeat_scope(*index, item.as_ref()));
                    node = list;
                }
                Node::Parallel { forks, .. } => {
                    let below = |b: usize| format!("{at}.parallel[{b}][0]");
                    let inside = |b: usize| {
                        path.strip_prefix(&below(b))
                            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                    };
                    let Some(mine) = (0..forks.len()).find(|b| inside(*b)) else {
                        break;
                    };
                    for (b, fork) in forks.iter().enumerate() {
                        if b != mine {
                            hidden.extend(fork.made.iter().cloned());
                        }
                    }
                    lay_over(&mut variables, &forks[mine].vars);
                    at = below(mine);
                    node = &forks[mine].node;
                }
                _ => break,
            }
        }
        Locals {
            variables,
            artifacts: visible(&self.artifacts, &hidden).into_owned(),
            repeat,
            resume: self.resume.clone(),
        }
    }

    /// The step rows that hold the lists of `for_each` loops in progress.
    pub fn lists_wanted(&self) -> Vec<StepId> {
        let mut wanted = Vec::new();
        visit(&self.tree, &mut |node| {
            if let Node::Repeat {
                step,
                item: Some(_),
                items: None,
                ..
            } = node
            {
                wanted.push(*step);
            }
        });
        wanted
    }

    /// Gives a `for_each` its list back.
    pub fn give_list(&mut self, of: StepId, list: Vec<Value>) {
        let list = Arc::new(list);
        visit_mut(&mut self.tree, &mut |node| {
            if let Node::Repeat { step, items, .. } = node
                && *step == of
            {
                *items = Some(list.clone());
            }
        });
    }

    /// The last completed path of each live branch (`dispatch §3.7`).
    pub fn cursors(&self) -> Vec<String> {
        let mut cursors = Vec::new();
        visit(&self.tree, &mut |node| {
            if let Node::Parallel { forks, .. } = node {
                let live = forks.iter().filter(|f| f.end.is_none());
                cursors.extend(live.filter_map(|f| f.last.clone()));
            }
        });
        cursors
    }

    /// True when some part of it rests although another part may be walking.
    pub fn rests_in_part(&self) -> bool {
        let mut rests = false;
        visit(&self.tree, &mut |node| {
            rests |= matches!(node, Node::Waiting { .. } | Node::Retrying { .. });
        });
        rests
    }
}

fn visit(node: &Node, f: &mut impl FnMut(&Node)) {
    f(node);
    match node {
        Node::List { child: below, .. }
        | Node::Body { list: below, .. }
        | Node::Repeat { list: below, .. } => visit(below, f),
        Node::Parallel { forks, .. } => {
            for fork in forks.iter().filter(|f| f.end.is_none()) {
                visit(&fork.node, f);
            }
        }
        _ => {}
    }
}

fn visit_mut(node: &mut Node, f: &mut impl FnMut(&mut Node)) {
    f(node);
    match node {
        Node::List { child: below, .. }
        | Node::Body { list: below, .. }
        | Node::Repeat { list: below, .. } => visit_mut(below, f),
        Node::Parallel { forks, .. } => {
            for fork in forks.iter_mut().filter(|f| f.end.is_none()) {
                visit_mut(&mut fork.node, f);
            }
        }
        _ => {}
    }
}
