//! Filters: `value | name(args)`.
//!
//! Seventeen are built in and known by name when a source is parsed. Plugins add more to a [`Filters`] registry, which
//! dispatch, validation and the playground share; those are looked up by name when they are called, so a plugin may
//! arrive after an automation has been parsed (template §8 and §9).

mod builtin;
mod registry;
mod text;
mod time;

pub(crate) use builtin::Builtin;
pub use registry::{Contribution, Filter, FilterEnv, FilterFailure, FilterInfo, Filters, Refused};
