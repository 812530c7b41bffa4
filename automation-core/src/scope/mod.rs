//! Names in scope, by position (`definition §14`).
//!
//! Two questions are answered here. [`narrow`]: which triggers can a run have been started by when a
//! `choose` clause is entered? Validation asks it which payload fields can be there. [`entries`]: what
//! can an author type at a place? Editors ask that while a document is being written, so it takes one
//! that is half-typed.

mod contributions;
mod entry;
mod health;
mod narrow;
mod resolve;
mod trigger;

pub use entry::Entry;
pub use narrow::{Narrowed, Subscribed, TriggerSet, entering, narrow};
pub use resolve::entries;
