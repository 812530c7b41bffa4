//! Hooks: typed events between plugins, on top of the queues (`plugins §6`).
//!
//! The events of a hook are jobs of the queue `hook:<id>`. A work-queue subscription is a durable
//! consumer group, a broadcast subscription a group that lives with its node, so "one node per event"
//! and "every node" are the queue's own rules. Each group of a node handles its events one at a time,
//! in order. Instance-local subscribers are closures in memory.
//!
//! Until the boot barrier opens, subscribing only registers the group, and what is emitted is staged
//! in `hook_staged`: every group of this boot exists before the first event moves on, so none is
//! missed (`plugins §3.4`). What a boot that died has staged goes with the next one, or with a node that
//! is up and finds it dead.

mod barrier;
mod broadcast;
mod bus;
mod envelope;
mod local;
mod pulse;
mod sql;

pub use bus::SqlHookBus;
pub use sql::ALL as STATEMENTS;

use crate::queue::HOOK_PREFIX;
use plugin_api::hook::HookError;

/// The queue of a hook.
fn queue_of(hook: &str) -> String {
    format!("{HOOK_PREFIX}{hook}")
}

fn store_error<E: std::error::Error + Send + Sync + 'static>(
    hook: &str,
) -> impl FnOnce(E) -> HookError {
    let hook = hook.to_owned();
    |e| HookError::Store {
        hook,
        source: Box::new(e),
    }
}
