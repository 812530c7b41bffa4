//! Everything a plugin author sees.
//!
//! A plugin owns a domain: its tables, its entity kinds, its triggers and actions. It is compiled in
//! and handed to the host in a fixed order; three phases ([`plugin`], [`phases`]) let plugins meet
//! without knowing each other: extension points carry calls as data ([`extension`]), services are
//! typed references ([`service`]), events are typed hooks ([`hook`]), work goes through queues
//! ([`queue`]). State lives in one database behind one handle ([`db`]). Time and ids come from
//! [`Clock`], tasks are started with [`spawn`]. What runs plugins is the `plugin-runtime` crate.

#[allow(unused_extern_crates)] // exported macros name this crate, also when used inside it
extern crate self as plugin_api;

pub mod access;
pub mod actor;
mod cause;
pub mod clock;
pub mod config;
mod context;
pub mod core;
pub mod db;
pub mod dry_run;
mod error;
pub mod extension;
pub mod fail;
pub mod hints;
pub mod hook;
pub mod http;
pub mod locks;
pub mod migration;
pub mod phases;
pub mod plugin;
pub mod queue;
pub mod readiness;
pub mod secrets;
pub mod service;
pub mod signal;
pub mod skew;
pub mod status;
pub mod values;

pub use access::{AccessRule, Principal};
pub use actor::{Actor, ActorType};
pub use cause::Cause;
pub use clock::{Clock, SystemClock, timeout};
pub use context::{RequestContext, spawn};
pub use db::{Conn, Db, Tx};
pub use error::BoxError;
pub use masking::{self, Masked};
pub use migration::{Migration, migration_number};
pub use phases::{BootEvent, InitCtx, Kernel, ReadyCtx, RegisterEnv};
pub use plugin::{Plugin, PluginId, PluginMetadata, Registered};
pub use service::{ServiceRef, Services};
pub use status::{LoopReporter, StatusBoard};
pub use values::{Doc, Id, Text, Ts};

#[doc(hidden)]
pub use {serde, uuid};
