//! `parallel`: all branches at once (`dispatch §13.3`).
//!
//! A failing branch never stops its siblings. How each branch ended is written in the transaction
//! that ends it, so a crash resumes exactly the branches that were not over. What a branch sets or
//! makes is its own until the join, where it is merged in the order of the branches.

use super::{End, Failure, Node, Step, Walker};
use crate::walk::tree::{Fork, ForkEnd};
use serde_json::{Map, Value, json};

/// The code of a branch that a `stop` with error ended; nothing else fails with it.
const STOPPED: &str = "stopped";

impl Walker<'_> {
    pub(super) fn parallel(
        &mut self,
        step: &Step,
        branches: &[Step],
        node: &mut Node,
    ) -> Option<End> {
        if matches!(node, Node::New {}) {
            let id = self.new_step();
            self.step(step, id, "running");
            *node = Node::Parallel {
                step: id,
                waiting: false,
                forks: branches.iter().map(|_| Fork::new()).collect(),
            };
        }
        let Node::Parallel {
            step: id,
            waiting,
            forks,
        } = node
        else {
            return Some(super::list::corrupt("a parallel has no branches"));
        };
        let id = *id;
        if forks.len() != branches.len() {
            let failure = Failure::new(
                "resume_target_missing",
                "the stored branches are not those of the definition",
            );
            return Some(self.fail_step(step, id, 1, failure));
        }
        let before = outcomes(forks);
        for (b, branch) in branches.iter().enumerate() {
            self.walk_branch(branch, b, forks);
        }
        let after = outcomes(forks);
        if forks.iter().all(|f| f.end.is_some()) {
            let forks = std::mem::take(forks);
            return Some(self.join(step, id, forks, after));
        }
        let suspended = super::suspended_forks(forks);
        if *waiting != suspended || before != after {
            *waiting = suspended;
            let status = if suspended { "waiting" } else { "running" };
            self.step(step, id, status).result = Some(after);
        }
        None
    }

    fn walk_branch(&mut self, branch: &Step, b: usize, forks: &mut [Fork]) {
        let key = format!(".parallel[{b}][0]");
        let fork = &forks[b];
        let begun = !matches!(fork.node, Node::New {});
        if fork.end.is_some() || (begun && !self.concerns(&format!("{}{key}", self.path))) {
            return;
        }
        let siblings = forks.iter().enumerate().filter(|(other, _)| *other != b);
        let hidden: Vec<String> = siblings.flat_map(|(_, f)| f.made.clone()).collect();
        let fork = &mut forks[b];
        let end = self.in_branch(fork, &hidden, |w, node| {
            w.below(&key, |w| w.action_in_list(branch, node))
        });
        fork.end = end.map(|end| match end {
            End::Ok => ForkEnd::Completed {},
            End::Stopped {
                error: false,
                reason,
                ..
            } => ForkEnd::Stopped { reason },
            End::Stopped { code, reason, .. } => {
                let text = reason.unwrap_or_else(|| "stopped".into());
                ForkEnd::Failed(Failure::new(code.unwrap_or(STOPPED), text).to_entry())
            }
            End::Failed(failure) => ForkEnd::Failed(failure.to_entry()),
        });
        if fork.end.is_some() {
            // Nothing of it is needed but what it leaves for the join.
            fork.node = Node::NEW;
        }
    }

    /// Merges what the branches wrote, later ones over earlier ones, and tells how all of it ended. The
    /// step fails with the reason of the lowest failing branch. A `stop` with error in any branch ends
    /// the run: nothing but this parallel's own `continue_on_error` absorbs it (`dispatch §13.3`,
    /// `§13.8`).
    fn join(
        &mut self,
        step: &Step,
        id: automation_core::StepId,
        forks: Vec<Fork>,
        told: Value,
    ) -> End {
        let (mut failure, mut stopped) = (None, None);
        for (b, fork) in forks.into_iter().enumerate() {
            self.set_variables(fork.vars);
            if let Some(ForkEnd::Failed(entry)) = &fork.end {
                let ended = Failure::from_entry(entry);
                if ended.code == STOPPED && stopped.is_none() {
                    stopped = Some(ended.message.clone());
                }
                failure.get_or_insert((b, ended));
            }
        }
        match failure {
            Some((_, failure)) if !step.continue_on_error => {
                let end = self.fail_step(step, id, 1, failure);
                self.step(step, id, "failed").result = Some(told);
                match stopped {
                    Some(reason) => End::Stopped {
                        code: Some(STOPPED),
                        reason: Some(reason),
                        error: true,
                    },
                    None => end,
                }
            }
            failed => {
                if let Some((b, failure)) = failed {
                    self.warn(format!(
                        "Branch {b} failed and the run goes on (continue_on_error): {}",
                        failure.message
                    ));
                }
                self.step(step, id, "success").result = Some(told);
                End::Ok
            }
        }
    }
}

/// `branchOutcomes` of the step row (`dispatch §12.2`): branches that are walking are not in it.
fn outcomes(forks: &[Fork]) -> Value {
    let mut told = Map::new();
    for (b, fork) in forks.iter().enumerate() {
        let outcome = match &fork.end {
            Some(ForkEnd::Completed {}) => json!({"status": "completed"}),
            Some(ForkEnd::Stopped { reason: None }) => json!({"status": "stopped"}),
            Some(ForkEnd::Stopped {
                reason: Some(reason),
            }) => json!({"status": "stopped", "reason": reason}),
            Some(ForkEnd::Failed(entry)) => {
                json!({"status": "failed", "error": Failure::from_entry(entry).message})
            }
            None if super::suspended(&fork.node) => json!({"status": "suspended"}),
            None => continue,
        };
        told.insert(b.to_string(), outcome);
    }
    json!({"branchOutcomes": told})
}
