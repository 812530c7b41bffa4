//! How much a run has read and produced so far ([`Limits::work_bytes`](crate::Limits::work_bytes)).

use serde_json::Value as Json;

use super::Machine;
use crate::error::{Detail, Error};
use crate::span::Span;
use crate::view::View;

/// What every value in an array or an object counts beside its text.
const ELEMENT: usize = 8;

impl Machine<'_, '_> {
    /// Counts what is about to be read or has been produced.
    #[inline]
    pub(super) fn spend(&mut self, bytes: usize, span: Span) -> Result<(), Error> {
        self.spent = self.spent.saturating_add(bytes);
        if self.spent > self.program.limits.work {
            return Err(self.too_much_work(span));
        }
        Ok(())
    }

    #[cold]
    fn too_much_work(&self, span: Span) -> Error {
        let message = format!(
            "This takes too much work: filters, comparisons and `+` have handled more than {} bytes by here",
            self.program.limits.work
        );
        self.error(Detail::Work, message, span)
    }
}

/// The bytes of a value, roughly. Numbers and the like are free: a program has few instructions.
#[inline]
pub(super) fn weight(value: View<'_>) -> usize {
    match value {
        View::String(s) => s.len(),
        View::Array(items) => of_all(items.iter().collect()),
        View::Object(map) => of_all(map.values().collect()),
        View::Undefined | View::Null | View::Bool(_) | View::Number(_) => 0,
    }
}

/// The list of what is still to be looked at is on the heap, so deep documents cost no stack.
fn of_all(mut open: Vec<&Json>) -> usize {
    let mut bytes = 0;
    while let Some(value) = open.pop() {
        bytes += ELEMENT;
        match value {
            Json::String(s) => bytes += s.len(),
            Json::Array(items) => open.extend(items),
            Json::Object(map) => open.extend(map.values()),
            Json::Null | Json::Bool(_) | Json::Number(_) => {}
        }
    }
    bytes
}
