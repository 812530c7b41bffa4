//! What runs plugins: boot order and barrier, services, hooks, queues, locks, configs, readiness.
//!
//! [`Runtime::builder`] takes a database, a clock and plugins; [`Builder::boot`] takes the plugins
//! through their phases and answers a running [`Runtime`], or a [`BootError`] that names plugin and
//! phase, and then nothing stays started. Plugins meet this crate only through `plugin-api`: its
//! [`Kernel`](plugin_api::Kernel) trait is implemented once, in `host`.
//!
//! | Module | Holds |
//! |---|---|
//! | `builder`, `boot`, `order`, `runtime` | putting together, starting, ordering, stopping |
//! | `services`, `rules`, `readiness` | registries |
//! | [`queue`], [`hook`] | jobs and events, in the database or in memory |
//! | `hints`, `signals` | wake-ups and nudges inside a process and between nodes |
//! | `locks`, [`config`], `clock_sync` | advisory locks, encrypted configs, one clock for all nodes |

mod boot;
mod builder;
mod clock_sync;
pub mod config;
mod error;
mod hints;
pub mod hook;
mod host;
mod locks;
mod order;
pub mod queue;
mod readiness;
mod rules;
mod runtime;
mod schema;
mod services;
mod signals;

pub use builder::Builder;
pub use config::{ConfigKey, KeyError};
pub use error::BootError;
pub use plugin_api::core::ShutdownReason;
pub use readiness::{Hold, ProbeReport, Readiness, ReadinessReport, health_routes};
pub use rules::AccessRuleError;
pub use runtime::Runtime;
pub use signals::SignalTransport;
