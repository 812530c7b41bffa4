//! The plugin's tables. Reading is in `read`, and every write goes through the kind's handle in
//! `write`, one transaction each.

mod read;
mod sql;
mod write;

pub use read::{ListFilter, by_ids};
pub use sql::ALL as STATEMENTS;
pub use write::{Created, Store};
