//! The plugin's own promises, on both engines.

mod store;
mod trigger;
