//! JSON Schemas of configs: walking a value beside its schema, and checking it.
//!
//! One walker ([`Cursor`]) answers everything that depends on annotations or on declared keys: which
//! texts are never rendered, where secrets may stand, which keys are unknown (`secrets §6`). The
//! checks themselves are jsonschema's; [`ConfigCheck`] turns its errors into diagnostics of the
//! config's own fields.

mod check;
mod cursor;
mod marks;

pub use check::{ConfigCheck, Problem};
pub use cursor::Cursor;
pub use marks::MarkedFields;
