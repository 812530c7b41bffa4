//! Tests of the language against its specification: recorded cases, rules by number, properties and fuzzing.

mod cases;
mod explain;
mod fuzz;
mod limits;
mod properties;
mod registry;
mod rules;
mod support;
