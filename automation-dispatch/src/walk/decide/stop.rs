//! `stop`: ends the run; no container's `continue_on_error` absorbs it (`dispatch §13.8`).

use super::{End, Step, Walker};
use serde_json::json;

impl Walker<'_> {
    pub(super) fn stop(&mut self, step: &Step, reason: Option<&str>, error: bool) -> End {
        let id = self.new_step();
        self.step(step, id, "success").result = Some(match reason {
            Some(reason) => json!({"reason": reason, "error": error}),
            None => json!({"error": error}),
        });
        End::Stopped {
            code: error.then_some("stopped"),
            reason: reason.map(str::to_owned),
            error,
        }
    }
}
