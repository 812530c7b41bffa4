//! What an evaluation needs besides its scope.

use jiff::Timestamp;

use crate::filters::Filters;

/// The surroundings of one evaluation.
#[derive(Clone, Copy, Debug)]
pub struct Env<'e> {
    /// The filters that may be called.
    pub filters: &'e Filters,
    /// The injected clock's instant: what `duration_since` and `older_than` measure from. Callers read their clock
    /// freshly for each evaluation; the `now` string in a scope is ordinary data (template §1.3).
    pub now: Timestamp,
    /// Missing names, and members of nothing, are errors instead of Undefined (template §11). Dispatch never uses it.
    pub strict: bool,
}

impl<'e> Env<'e> {
    /// A lenient environment.
    pub fn new(filters: &'e Filters, now: Timestamp) -> Self {
        Env {
            filters,
            now,
            strict: false,
        }
    }

    /// The same in strict mode.
    pub fn strict(self) -> Self {
        Env {
            strict: true,
            ..self
        }
    }
}
