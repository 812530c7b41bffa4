//! The rows of one decision. A path has one row: a step that begins and ends in one decision is
//! written once, and a decision of many thousand steps finds it without searching.

use super::{StepWrite, Write};
use std::collections::HashMap;

#[derive(Default)]
pub(super) struct Rows {
    writes: Vec<Write>,
    steps: HashMap<String, usize>,
}

impl Rows {
    /// Adds a row that is no step.
    pub fn push(&mut self, write: Write) {
        self.writes.push(write);
    }

    /// The row of the step at a path, brought to a status; `make` makes it when it is not there yet.
    pub fn step(
        &mut self,
        path: &str,
        status: &'static str,
        attempts: u32,
        make: impl FnOnce() -> StepWrite,
    ) -> &mut StepWrite {
        let at = match self.steps.get(path) {
            Some(at) => *at,
            None => {
                self.writes.push(Write::Step(make()));
                self.steps.insert(path.to_owned(), self.writes.len() - 1);
                self.writes.len() - 1
            }
        };
        let Write::Step(row) = &mut self.writes[at] else {
            unreachable!("the index holds step rows only")
        };
        row.status = status;
        row.attempts = row.attempts.max(attempts);
        row.finished = matches!(status, "success" | "failed" | "skipped");
        row
    }

    /// All, in order.
    pub fn done(self) -> Vec<Write> {
        self.writes
    }
}
