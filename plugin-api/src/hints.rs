//! Wake-up hints (design §3.3): they say "look now", the rows are the truth. Losing one costs time
//! until the next deadline or scan, never correctness. Inside a process a hint is a notify; on
//! Postgres it also travels by `NOTIFY`, outside the writing transaction and coalesced.

use std::sync::Arc;

/// Sends and receives hints by topic.
pub trait Hints: Send + Sync {
    /// Wakes this process's listeners of a topic, and, coalesced, those of other nodes.
    fn notify(&self, topic: &str);
    /// Wakes this process's listeners of a topic, when a hint of another node may have been lost.
    fn wake(&self, topic: &str) {
        self.notify(topic);
    }
    /// As [`Hints::wake`], for every topic; nothing to do where no other node is.
    fn wake_all(&self) {}
    /// A listener; it starts woken, so that the first wait returns at once.
    fn listen(&self, topic: &str) -> HintListener;
}

/// Waits for hints of one topic.
#[derive(Clone)]
pub struct HintListener {
    /// Shared by all listeners of the topic created through one call.
    pub notify: Arc<tokio::sync::Notify>,
}

impl HintListener {
    /// Ends at the next hint; at once when one arrived since the last call.
    pub async fn wait(&self) {
        self.notify.notified().await;
    }
}
