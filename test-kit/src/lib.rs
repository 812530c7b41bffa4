//! What tests of plugins and of the framework stand on.
//!
//! A test gets a database of its own ([`TestDb`], [`both_engines!`]), owns time ([`VirtualClock`]),
//! boots plugins on a real runtime ([`Kit`], [`Node`]), calls their routes ([`Call`]), waits on predicates instead of sleeping ([`eventually`],
//! [`advance_until`]), reads the log ([`Logs`]) and makes named places fail
//! ([`plugin_api::fail`]).

#[cfg(feature = "automation")]
mod automation;
mod clock;
mod db;
#[cfg(feature = "entity")]
pub mod entity;
mod http;
mod kit;
mod logs;
mod plugin;
mod wait;

#[cfg(feature = "automation")]
pub use automation::Events;
pub use clock::VirtualClock;
pub use db::{POSTGRES_VARIABLE, TestDb, prepare_all};
pub use http::{Answer, Call};
pub use kit::{Kit, Node};
pub use logs::{Line, Logs};
pub use plugin::{PhaseFuture, TestPlugin};
pub use wait::{LIMIT, advance_until, eventually, eventually_within, stays, until, within};
