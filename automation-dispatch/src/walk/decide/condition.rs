//! `condition`: a guard. False ends the run `success` with `guard_false` as its reason; with
//! `continue_on_error` the step is skipped and the walk goes on (`dispatch §13.7`).

use super::{End, Failure, Step, Walker};
use template_engine::condition::Condition;

const REASON: &str = "guard_false";

impl Walker<'_> {
    pub(super) fn guard(&mut self, step: &Step, condition: &Condition) -> End {
        let id = self.new_step();
        match condition.test(&self.view(), &self.env()) {
            Ok(true) => {
                self.step(step, id, "success");
                End::Ok
            }
            Ok(false) if step.continue_on_error => {
                self.step(step, id, "skipped").error =
                    Some((REASON, "the condition does not hold".into()));
                End::Ok
            }
            Ok(false) => {
                self.step(step, id, "failed").error =
                    Some((REASON, "the condition does not hold".into()));
                End::Stopped {
                    code: Some(REASON),
                    reason: Some(REASON.into()),
                    error: false,
                }
            }
            Err(e) => {
                let failure = Failure::new("condition_error", format!("condition: {e}"));
                self.fail_step(step, id, 1, failure)
            }
        }
    }
}
