//! `sequence`: a list as one action (`dispatch §13.9`), and what all containers share.

use super::super::tree::Branch;
use super::{End, Node, Step, Walker, body_key};
use automation_core::StepId;

impl Walker<'_> {
    pub(super) fn sequence(&mut self, step: &Step, steps: &[Step], node: &mut Node) -> Option<End> {
        if matches!(node, Node::New {}) {
            let id = self.new_step();
            self.step(step, id, "running");
            *node = Node::Body {
                step: id,
                branch: None,
                waiting: false,
                list: Box::new(Node::NEW),
            };
        }
        self.body(step, steps, node)
    }

    /// Walks the one live list of a container and turns its end into the container's own
    /// (`dispatch §12.1`).
    pub(super) fn body(&mut self, step: &Step, steps: &[Step], node: &mut Node) -> Option<End> {
        let Node::Body {
            step: id,
            branch,
            waiting,
            list,
        } = node
        else {
            return Some(super::list::corrupt("a container has no list"));
        };
        let (id, branch): (StepId, Option<Branch>) = (*id, *branch);
        let end = self.below(&format!(".{}", body_key(branch)), |w| w.list(steps, list));
        let Some(end) = end else {
            // A container is waiting while it is suspended, running while something in it runs.
            let suspended = super::suspended(list);
            if *waiting != suspended {
                *waiting = suspended;
                self.step(step, id, if suspended { "waiting" } else { "running" });
            }
            return None;
        };
        self.close(step, id, &end);
        Some(end)
    }

    /// Closes a container's row with the end of its list.
    pub(super) fn close(&mut self, step: &Step, id: StepId, end: &End) {
        match end {
            End::Ok => {
                self.step(step, id, "success");
            }
            End::Stopped { error: false, .. } => {
                self.step(step, id, "success");
            }
            End::Stopped { reason, code, .. } => {
                let text = reason.clone().unwrap_or_else(|| "stopped".into());
                let code = code.unwrap_or("stopped");
                self.step(step, id, "failed").error = Some((code, text));
            }
            End::Failed(f) => {
                self.step(step, id, "failed").error = Some((f.code, f.message.clone()));
            }
        }
    }
}
