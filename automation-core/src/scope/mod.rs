//! Names in scope, by position (`definition §14`).
//!
//! [`narrow`] tells which triggers a run can have been started by when a `choose` clause is entered,
//! [`TriggerSet`] holds the answer. Validation asks it which payload fields can be there, and so does
//! whoever offers names to an author.

mod narrow;

pub use narrow::{Narrowed, TriggerSet, entering, narrow};
