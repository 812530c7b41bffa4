//! The server: one listener that answers `/healthz` and `/readyz` from the first moment, and the API
//! once the boot is complete.

mod auth;
mod database;
mod http;
mod key;
mod log;
mod migrate;
mod signal;
mod start;

pub use database::{connect_existing, open};
pub use key::{Keys, keys, replace_key};
pub use log::logging;
pub use migrate::migrations;
pub use signal::stop_signal;
pub use start::{Running, start};
