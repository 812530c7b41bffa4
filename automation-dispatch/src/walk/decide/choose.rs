//! `choose`: the first branch whose condition holds (`dispatch §13.2`).

use super::super::tree::Branch;
use super::{End, Failure, Node, Step, Walker};
use automation_core::compiled::CompiledBranch;
use serde_json::{Value, json};

impl Walker<'_> {
    pub(super) fn choose(
        &mut self,
        step: &Step,
        branches: &[CompiledBranch],
        otherwise: &[Step],
        node: &mut Node,
    ) -> Option<End> {
        if matches!(node, Node::New {}) {
            let id = self.new_step();
            let matched = self.first_true(branches);
            let branch = match matched {
                Ok(Some(b)) => Some(Branch::When(b)),
                Ok(None) if !otherwise.is_empty() => Some(Branch::Else {}),
                Ok(None) => None,
                Err(failure) => {
                    return Some(self.fail_step(step, id, 1, failure));
                }
            };
            let told = match branch {
                Some(Branch::When(b)) => json!(b),
                Some(Branch::Else {}) => json!("else"),
                None => Value::Null,
            };
            let status = if branch.is_some() {
                "running"
            } else {
                "success"
            };
            self.step(step, id, status).result = Some(json!({"matchedBranch": told}));
            let Some(branch) = branch else {
                return Some(End::Ok);
            };
            *node = Node::Body {
                step: id,
                branch: Some(branch),
                waiting: false,
                list: Box::new(Node::NEW),
            };
        }
        let steps = match node {
            Node::Body {
                branch: Some(Branch::When(b)),
                ..
            } => branches.get(*b).map(|b| b.sequence.as_slice()),
            Node::Body {
                branch: Some(Branch::Else {}),
                ..
            } => Some(otherwise),
            _ => None,
        };
        match steps {
            Some(steps) => self.body(step, steps, node),
            None => Some(super::list::corrupt("a choose has no such branch")),
        }
    }

    /// An error in a condition fails the step; no further branch is tried.
    fn first_true(&self, branches: &[CompiledBranch]) -> Result<Option<usize>, Failure> {
        for (b, branch) in branches.iter().enumerate() {
            match branch.when.test(&self.view(), &self.env()) {
                Ok(true) => return Ok(Some(b)),
                Ok(false) => {}
                Err(e) => {
                    return Err(Failure::new(
                        "condition_error",
                        format!("choose[{b}].when: {e}"),
                    ));
                }
            }
        }
        Ok(None)
    }
}
