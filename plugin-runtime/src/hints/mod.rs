//! Wake-up hints inside a process and between nodes (design §3.3).
//!
//! [`Topics`] wakes the listeners of this process. On Postgres a [`wire::Wire`] also tells the other
//! nodes by `NOTIFY`, coalesced and outside any transaction, and wakes *every* topic after its own
//! connection was lost, because what was said meanwhile is unknown: the rows are the truth.

#[cfg(feature = "postgres")]
pub(crate) mod wire;

use plugin_api::hints::{HintListener, Hints};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, Weak},
};
use tokio::sync::Notify;

/// The listeners of this process.
#[derive(Default)]
pub(crate) struct Topics(Mutex<HashMap<String, Vec<Weak<Notify>>>>);

impl Topics {
    pub fn wake(&self, topic: &str) {
        let topics = self.0.lock().expect("topics");
        for listener in topics.get(topic).into_iter().flatten() {
            if let Some(listener) = listener.upgrade() {
                listener.notify_one();
            }
        }
    }

    /// After something may have been missed.
    pub fn wake_all(&self) {
        let topics = self.0.lock().expect("topics");
        for listener in topics.values().flatten() {
            if let Some(listener) = listener.upgrade() {
                listener.notify_one();
            }
        }
    }

    fn listen(&self, topic: &str) -> HintListener {
        let notify = Arc::new(Notify::new());
        notify.notify_one();
        let mut topics = self.0.lock().expect("topics");
        let listeners = topics.entry(topic.to_owned()).or_default();
        listeners.retain(|l| l.strong_count() > 0);
        listeners.push(Arc::downgrade(&notify));
        HintListener { notify }
    }
}

/// The hint service of one node.
pub(crate) struct NodeHints {
    topics: Arc<Topics>,
    #[cfg(feature = "postgres")]
    outgoing: Option<Arc<wire::Outgoing>>,
}

impl NodeHints {
    /// Hints that stay in this process.
    pub fn local() -> Self {
        Self {
            topics: Arc::default(),
            #[cfg(feature = "postgres")]
            outgoing: None,
        }
    }

    /// Hints that also reach other nodes.
    #[cfg(feature = "postgres")]
    pub fn wired(topics: Arc<Topics>, outgoing: Arc<wire::Outgoing>) -> Self {
        Self {
            topics,
            outgoing: Some(outgoing),
        }
    }
}

impl Hints for NodeHints {
    fn notify(&self, topic: &str) {
        self.topics.wake(topic);
        #[cfg(feature = "postgres")]
        if let Some(outgoing) = &self.outgoing {
            outgoing.hint(topic);
        }
    }
    fn wake(&self, topic: &str) {
        self.topics.wake(topic);
    }
    fn wake_all(&self) {
        self.topics.wake_all();
    }
    fn listen(&self, topic: &str) -> HintListener {
        self.topics.listen(topic)
    }
}
