//! Live state for expressions (`dispatch §10`, `entity §20`), read in batches.
//!
//! Expressions are synchronous, so what they may look at is read up front. Each site says what its
//! expressions read ([`ReadSet`], told from their texts once per version); the asks of a whole batch
//! of firings, runs or waits become one health call per window and one read per kind. Expressions
//! that look at no live state cost no read at all.

mod read;
mod reads;

pub use read::{Ask, for_program, nothing, read};
pub use reads::{ReadSet, Reads};
