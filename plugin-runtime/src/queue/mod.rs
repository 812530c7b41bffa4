//! Queues on the framework's own database, and in memory for tests (`plugins §7`).
//!
//! A job is one row per consumer group, fanned out when it is enqueued, so groups never share
//! attempts, back-off or fate. Rows are the truth; a hint on the topic `queue:<name>` only says "look
//! now". Every (queue, group) that this process consumes is a *lane*, a loop that claims until the
//! queue is empty, then reads once what it has to wait for (the next delay, lease or tick) and sleeps
//! until then or until a hint: an idle queue costs no statement.
//!
//! ```text
//!  enqueue ──▶ row per group ──▶ ready ──claim──▶ leased ──▶ gone
//!                    │             ▲                │ ▲ renewed every 10 s
//!                    └─▶ delayed ──┴── back-off ◀───┤
//!                                                   └─▶ dead letter (7 days)
//! ```
//!
//! [`Handler::Each`](plugin_api::queue::Handler) holds jobs under leases whose fence is
//! `(seq, attempt)`; finished ones are acknowledged together.
//! [`Handler::Batch`](plugin_api::queue::Handler) deletes the rows it takes at the start of its
//! transaction and has no lease: a crash or an error rolls back. What a result means for a job is
//! decided in `decide`, when recurring jobs tick in `schedule`; both are pure.

mod batch;
mod decide;
mod each;
mod housekeeping;
mod lane;
mod manager;
mod memory;
mod recurring;
mod schedule;
mod settle;
mod sql;
mod stop;

pub(crate) use each::panic_text;
pub use manager::SqlQueues;
pub use memory::MemoryQueues;
pub use sql::ALL as STATEMENTS;
pub(crate) use sql::REGISTER_GROUP;

/// Queues of hooks begin with this. They keep no job for a queue without any group: an event is
/// stored for those who subscribed before it (`plugins §6.5`).
pub(crate) const HOOK_PREFIX: &str = "hook:";

/// The hint topic of a queue.
pub(crate) fn topic(queue: &str) -> String {
    format!("queue:{queue}")
}
