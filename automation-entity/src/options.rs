//! Options of kinds, writes and subscriptions.

use plugin_api::{Actor, queue::Retries};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How a kind is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KindOptions {
    /// `mutate` and `remove` store an intent before `apply`, so that a crash between the plugin's
    /// commit and the recording loses no change (`entity §8.8`). Writes by `mutate_in` need none.
    pub durable: bool,
    /// The owner already serialises the writes of one entity; the handle then takes no lock.
    pub serialised_by_owner: bool,
}

/// Who writes. What is absent comes from the running task's
/// [`RequestContext`](plugin_api::RequestContext): an action cannot forget its run.
#[derive(Clone, Debug, Default)]
pub struct MutateOpts {
    /// The actor of the change.
    pub actor: Option<Actor>,
    /// The run on whose behalf; what leaves the handle is masked with its secrets (`entity §9`).
    pub run_id: Option<Uuid>,
}

impl MutateOpts {
    /// A write by a known actor.
    pub fn by(actor: Actor) -> Self {
        Self {
            actor: Some(actor),
            run_id: None,
        }
    }
}

/// Who handles the changes of a kind (`entity §12`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// Every node, every change; an error is logged and not retried. Redundant at worst, so the default.
    #[default]
    Broadcast,
    /// One node per change; an error is retried, then dead-lettered.
    WorkQueue {
        /// The group, without the plugin's prefix; not blank, used once per plugin.
        worker_group: String,
        /// Limit of redeliveries; 3 is usual.
        retries: Retries,
    },
}

impl Delivery {
    /// A work queue with 3 retries.
    pub fn work_queue(group: impl Into<String>) -> Self {
        Self::WorkQueue {
            worker_group: group.into(),
            retries: Retries::Limited(3),
        }
    }
}

/// Why a table's content is not reactive (`entity §14`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NonReactive {
    /// A firehose; its aggregate is the entity.
    RawSample,
    /// Secret values.
    Sensitive,
    /// Cannot be observed without polling.
    ExternallyOwned,
    /// Cursors, caches, heartbeats, maps of live sockets.
    Bookkeeping,
}

/// A declaration that a table is not reactive; for the lint and the documentation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NonReactiveTable {
    /// The declaring plugin.
    pub plugin: String,
    /// The table.
    pub table: String,
    /// Why.
    pub reason: NonReactive,
    /// For people.
    pub note: String,
}

/// What to do when a read right after a write does not answer what was written (`entity §15.5`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerifyReads {
    /// Do not look; production.
    #[default]
    Off,
    /// Log a warning; development.
    Warn,
    /// Fail the write with `MutateError::Inconsistent`; tests.
    Fail,
}
