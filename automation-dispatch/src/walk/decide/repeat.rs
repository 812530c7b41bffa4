//! `repeat`: iterations one after another, each in a frame of its own (`dispatch §13.5`).
//!
//! The list of a `for_each` is evaluated once and kept in the step row. A test that fails counts as
//! false: `while` ends, `until` goes on.

use super::{End, Failure, Node, Step, Walker};
use automation_core::{StepId, compiled::CompiledRepeat};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use template_engine::Expression;

/// Elements of a `for_each` at most (`dispatch §1`).
const LONGEST_LIST: usize = 10_000;

/// What an iteration ended with.
enum Turn {
    /// Something in it is awaited.
    Awaiting,
    /// The loop is over after this iteration.
    Last,
    /// On to the next.
    Next,
    /// It ended otherwise, and so does the loop.
    Over(End),
}

impl Walker<'_> {
    pub(super) fn repeat(
        &mut self,
        step: &Step,
        mode: &CompiledRepeat,
        steps: &[Step],
        node: &mut Node,
    ) -> Option<End> {
        if matches!(node, Node::New {}) {
            let id = self.new_step();
            let items = match self.elements(mode) {
                Ok(items) => items,
                Err(failure) => return Some(self.fail_step(step, id, 1, failure)),
            };
            self.step(step, id, "running").result = Some(result(0, items.as_deref(), false));
            match self.may_begin(mode, 0, items.as_deref()) {
                Begin::Yes => *node = iteration(id, 0, items),
                no => return Some(self.end_loop(step, id, 0, items.as_deref(), no, End::Ok)),
            }
        }
        loop {
            let Node::Repeat {
                step: id,
                index,
                items,
                waiting,
                ..
            } = node
            else {
                return Some(super::list::corrupt("a repeat has no iteration"));
            };
            let (id, index, items) = (*id, *index, items.clone());
            if matches!(mode, CompiledRepeat::ForEach(_)) && items.is_none() {
                let failure = Failure::new(
                    "resume_state_missing",
                    "the list of the loop is missing from its step",
                );
                return Some(self.fail_step(step, id, 1, failure));
            }
            let was_waiting = *waiting;
            let list = items.as_deref();
            match self.turn(mode, steps, node) {
                Turn::Awaiting => {
                    let suspended = super::suspended(node);
                    if let Node::Repeat { waiting, .. } = node {
                        *waiting = suspended;
                    }
                    if was_waiting != suspended {
                        let status = if suspended { "waiting" } else { "running" };
                        self.step(step, id, status).result = Some(result(index, list, false));
                    }
                    return None;
                }
                Turn::Over(end) => {
                    return Some(self.end_loop(step, id, index + 1, list, Begin::Done, end));
                }
                Turn::Last => {
                    return Some(self.end_loop(step, id, index + 1, list, Begin::Done, End::Ok));
                }
                Turn::Next => match self.may_begin(mode, index + 1, list) {
                    Begin::Yes => *node = iteration(id, index + 1, items),
                    no => return Some(self.end_loop(step, id, index + 1, list, no, End::Ok)),
                },
            }
        }
    }

    /// Walks one iteration.
    fn turn(&mut self, mode: &CompiledRepeat, steps: &[Step], node: &mut Node) -> Turn {
        let Node::Repeat {
            index,
            item,
            vars,
            list,
            ..
        } = node
        else {
            return Turn::Over(super::list::corrupt("a repeat has no iteration"));
        };
        let key = format!(".repeat[{index}].sequence");
        let (turn, set) = self.in_iteration((*index, item.as_ref()), std::mem::take(vars), |w| {
            match w.below(&key, |w| w.list(steps, list)) {
                None => Turn::Awaiting,
                Some(End::Ok) => match mode {
                    CompiledRepeat::Until { test, .. } if w.holds_now("until", test) => Turn::Last,
                    _ => Turn::Next,
                },
                Some(end) => Turn::Over(end),
            }
        });
        *vars = set;
        turn
    }

    fn elements(&mut self, mode: &CompiledRepeat) -> Result<Option<Arc<Vec<Value>>>, Failure> {
        let CompiledRepeat::ForEach(expression) = mode else {
            return Ok(None);
        };
        let view = self.view();
        let value = expression.evaluate(&view, &self.env());
        match value.map(|v| v.into_json()) {
            Ok(Some(Value::Array(list))) if list.len() <= LONGEST_LIST => Ok(Some(Arc::new(list))),
            Ok(Some(Value::Array(list))) => Err(Failure::new(
                "for_each_too_long",
                format!(
                    "for_each gives {} elements; at most {LONGEST_LIST} are allowed",
                    list.len()
                ),
            )),
            Ok(_) => Err(Failure::new("for_each_not_list", "for_each gives no list")),
            Err(e) => Err(Failure::new("for_each_not_list", format!("for_each: {e}"))),
        }
    }

    fn may_begin(
        &mut self,
        mode: &CompiledRepeat,
        index: u32,
        items: Option<&Vec<Value>>,
    ) -> Begin {
        match mode {
            CompiledRepeat::Count(n) if index < *n => Begin::Yes,
            CompiledRepeat::ForEach(_) if (index as usize) < items.map_or(0, Vec::len) => {
                Begin::Yes
            }
            CompiledRepeat::Count(_) | CompiledRepeat::ForEach(_) => Begin::Done,
            CompiledRepeat::While { max_iterations, .. }
            | CompiledRepeat::Until { max_iterations, .. }
                if index >= *max_iterations =>
            {
                Begin::Limit
            }
            CompiledRepeat::Until { .. } => Begin::Yes,
            CompiledRepeat::While { test, .. } => {
                // In a fresh frame: what an iteration set is gone.
                let fresh = (index, None);
                let (holds, _) =
                    self.in_iteration(fresh, Map::new(), |w| w.holds_now("while", test));
                if holds { Begin::Yes } else { Begin::Done }
            }
        }
    }

    fn holds_now(&mut self, what: &str, test: &Expression) -> bool {
        match test.test(&self.view(), &self.env()) {
            Ok(holds) => holds,
            Err(e) => {
                self.warn(format!("The test `{what}` fails and counts as false: {e}"));
                false
            }
        }
    }

    fn end_loop(
        &mut self,
        step: &Step,
        id: StepId,
        iterations: u32,
        items: Option<&Vec<Value>>,
        how: Begin,
        end: End,
    ) -> End {
        let limit = how == Begin::Limit;
        if limit {
            self.warn(format!(
                "The loop ended at its limit of {iterations} iterations."
            ));
        }
        self.close(step, id, &end);
        let status = match &end {
            End::Ok | End::Stopped { error: false, .. } => "success",
            _ => "failed",
        };
        self.step(step, id, status).result = Some(result(iterations, items, limit));
        end
    }
}

/// Whether an iteration begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begin {
    Yes,
    /// The loop is done.
    Done,
    /// `max_iterations` is reached.
    Limit,
}

fn iteration(step: StepId, index: u32, items: Option<Arc<Vec<Value>>>) -> Node {
    Node::Repeat {
        step,
        index,
        item: items
            .as_ref()
            .and_then(|list| list.get(index as usize).cloned()),
        items,
        vars: Map::new(),
        waiting: false,
        list: Box::new(Node::NEW),
    }
}

/// `result_payload` of the step row (`dispatch §12.2`).
fn result(iterations: u32, items: Option<&Vec<Value>>, limit: bool) -> Value {
    let mut told = json!({"iterations": iterations});
    if let Some(list) = items {
        told["forEachList"] = json!(list);
    }
    if limit {
        told["limitReached"] = json!(true);
    }
    told
}
