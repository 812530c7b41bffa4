//! Lists, and what an ending action means for the list it is in (`dispatch §12.1`).

use super::{End, Failure, Node, Step, Walker};
use automation_core::compiled::CompiledKind as Kind;

impl Walker<'_> {
    /// Walks a list from where it is. `None`: something in it is awaited.
    pub(super) fn list(&mut self, steps: &[Step], node: &mut Node) -> Option<End> {
        if matches!(node, Node::New {}) {
            *node = Node::List {
                at: 0,
                child: Box::new(Node::NEW),
            };
        }
        let Node::List { at, child } = node else {
            return Some(corrupt("a list has no position"));
        };
        while let Some(step) = steps.get(*at) {
            if self.walk.steps > self.cx.step_budget {
                self.exhausted = true;
                return Some(End::Stopped {
                    code: Some("step_budget_exceeded"),
                    reason: None,
                    error: true,
                });
            }
            let key = format!("[{at}]");
            match self.below(&key, |w| w.action_in_list(step, child))? {
                End::Ok => {}
                other => return Some(other),
            }
            *at += 1;
            **child = Node::NEW;
        }
        Some(End::Ok)
    }

    /// One action of a list: records its end, and lets `continue_on_error` absorb a failure.
    pub(super) fn action_in_list(&mut self, step: &Step, node: &mut Node) -> Option<End> {
        if !step.enabled {
            let id = self.new_step();
            let row = self.step(step, id, "skipped");
            row.error = Some(("disabled", "the action is disabled".into()));
            return Some(End::Ok);
        }
        let end = match self.action(step, node) {
            Some(end) => end,
            None => {
                if matches!(node, Node::Waiting { .. }) {
                    self.walk.last_path = Some(self.path.clone());
                }
                return None;
            }
        };
        match end {
            End::Ok => {
                self.passed();
                Some(End::Ok)
            }
            End::Failed(failure) if step.continue_on_error => {
                self.warn(format!(
                    "The step failed and the run goes on (continue_on_error): {}",
                    failure.message
                ));
                // Recovery must not repeat a step that was continued over (`dispatch §9.4`).
                self.passed();
                Some(End::Ok)
            }
            other => Some(other),
        }
    }

    fn action(&mut self, step: &Step, node: &mut Node) -> Option<End> {
        match &step.kind {
            Kind::Provider(provider) => self.provider(step, provider, node),
            Kind::Choose {
                branches,
                otherwise,
            } => self.choose(
                step,
                branches,
                otherwise.as_deref().unwrap_or_default(),
                node,
            ),
            Kind::Sequence(steps) => self.sequence(step, steps, node),
            Kind::Variables(values) => Some(self.variables(step, values)),
            Kind::Condition(condition) => Some(self.guard(step, condition)),
            Kind::Stop { reason, error } => Some(self.stop(step, reason.as_deref(), *error)),
            Kind::Delay(seconds) => self.delay(step, seconds, node),
            Kind::WaitUntil {
                condition,
                timeout_seconds,
                continue_on_timeout,
            } => self.wait_until(
                step,
                &super::wait_until::Wait {
                    condition,
                    timeout_seconds: *timeout_seconds,
                    continue_on_timeout: *continue_on_timeout,
                },
                node,
            ),
            Kind::Parallel(branches) => self.parallel(step, branches, node),
            Kind::Repeat { mode, sequence } => self.repeat(step, mode, sequence, node),
            Kind::WaitForTrigger {
                event,
                filter,
                timeout_seconds,
                context_key,
            } => self.wait_for_trigger(
                step,
                &super::wait_for_trigger::Wait {
                    event,
                    filter: filter.as_ref(),
                    timeout_seconds: *timeout_seconds,
                    context_key: context_key.as_ref(),
                },
                node,
            ),
        }
    }
}

/// A tree that does not fit the definition it belongs to: only a damaged checkpoint gets here.
pub(super) fn corrupt(what: &str) -> End {
    End::Failed(Failure::new(
        "corrupt_path",
        format!("the stored state of the run does not fit its definition: {what}"),
    ))
}
