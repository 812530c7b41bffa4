//! The engine over HTTP (`api §3–5`): one file per group of routes.
//!
//! Handlers translate and nothing else: what may be stored, started or read is decided by the store,
//! the engine and the entity layer. Access rules are checked by the router before a handler runs.

mod automations;
mod bodies;
mod decisions;
mod definitions;
mod entities;
mod plugin;
mod problems;
mod registry;
mod runs;
mod starters;
mod status;
mod templates;
mod timers;

pub use plugin::AutomationApiPlugin;

use automation_dispatch::Engine;
use plugin_api::{StatusBoard, queue::QueueManager};
use std::sync::Arc;

/// What handlers work with.
#[derive(Clone)]
pub(crate) struct Api {
    engine: Arc<Engine>,
    queues: Arc<dyn QueueManager>,
    board: StatusBoard,
    starters: Arc<starters::Judged>,
}
