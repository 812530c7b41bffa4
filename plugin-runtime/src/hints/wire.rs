//! Hints and signals between nodes over Postgres: one sending task, one listening task.
//!
//! The sender takes whatever has gathered, sends it, then rests for [`REST`], so a busy node costs
//! the server at most one `NOTIFY` per rest however many hints it gives. The pace belongs to the
//! network, so it is kept in real time, also under a test's virtual clock. Hints that could not be sent
//! are sent again until they are; who stops says its last words first. What is lost nevertheless, by a
//! node that dies, is found by the others (see `hook`'s pulse).

use super::Topics;
use crate::signals::SignalTransport;
use plugin_api::{
    BoxError, Clock, Db, SystemClock,
    db::{DbError, Sql},
    signal::SentSignal,
    timeout,
};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgListener;
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Notify, task::JoinHandle};

const REST: Duration = Duration::from_millis(5);
/// Between attempts to reach a server that is gone.
const RETRY: Duration = Duration::from_secs(1);
/// How long a stopping node tries to send what is queued.
const LAST_WORDS: Duration = Duration::from_secs(5);
const CHANNEL: &str = "signalbox";
/// Postgres refuses payloads of 8 000 bytes and more.
const MAX_PAYLOAD: usize = 7800;

const NOTIFY: Sql = Sql {
    sqlite: "select $1",
    postgres: "select pg_notify('signalbox', $1)",
};

#[derive(Serialize, Deserialize)]
struct Message {
    /// The sending node, which ignores its own words.
    node: String,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    topics: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    signals: Vec<SentSignal>,
}

/// What waits to be sent.
#[derive(Default)]
pub(crate) struct Outgoing {
    topics: Mutex<BTreeSet<String>>,
    signals: Mutex<Vec<SentSignal>>,
    wake: Notify,
    /// What is queued now is the last.
    ending: AtomicBool,
}

impl Outgoing {
    pub fn hint(&self, topic: &str) {
        let mut topics = self.topics.lock().expect("outgoing hints");
        if !topics.contains(topic) {
            topics.insert(topic.to_owned());
            self.wake.notify_one();
        }
    }
    pub fn signal(&self, signal: SentSignal) {
        self.signals.lock().expect("outgoing signals").push(signal);
        self.wake.notify_one();
    }
    fn end(&self) {
        self.ending.store(true, Ordering::Release);
        self.wake.notify_one();
    }
    fn take(&self) -> (BTreeSet<String>, Vec<SentSignal>) {
        (
            std::mem::take(&mut *self.topics.lock().expect("outgoing hints")),
            std::mem::take(&mut *self.signals.lock().expect("outgoing signals")),
        )
    }
}

impl SignalTransport for Arc<Outgoing> {
    fn publish(&self, signal: &SentSignal) -> Result<(), BoxError> {
        self.signal(signal.clone());
        Ok(())
    }
}

/// The connection of one node to the others.
pub(crate) struct Wire {
    outgoing: Arc<Outgoing>,
    sender: JoinHandle<()>,
    listener: JoinHandle<()>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.sender.abort();
        self.listener.abort();
    }
}

impl Wire {
    /// Starts both tasks. `receive` gets the signals of other nodes.
    pub fn start(
        db: &Db,
        node: &str,
        topics: Arc<Topics>,
        outgoing: Arc<Outgoing>,
        receive: impl Fn(SentSignal) + Send + Sync + 'static,
    ) -> Self {
        let pools = db.separate(2);
        let sender = send(pools.clone(), node.to_owned(), outgoing.clone());
        let listener = listen(pools, node.to_owned(), topics, receive);
        Self {
            outgoing,
            sender: plugin_api::spawn(sender),
            listener: plugin_api::spawn(listener),
        }
    }

    /// Sends what is queued and ends.
    pub async fn close(mut self) {
        self.outgoing.end();
        let pace = SystemClock::new();
        if timeout(&*pace, LAST_WORDS, &mut self.sender).await.is_err() {
            tracing::warn!(
                "The last hints could not be sent within 5 s; other nodes look for themselves."
            );
        }
    }
}

async fn send(db: Db, node: String, outgoing: Arc<Outgoing>) {
    let pace = SystemClock::new();
    loop {
        outgoing.wake.notified().await;
        // Asked first, so that what was queued before the end is among what is taken.
        let last = outgoing.ending.load(Ordering::Acquire);
        let rest = match send_queued(&db, &node, &outgoing).await {
            Ok(()) => REST,
            Err(error) => {
                tracing::warn!(%error, "Hints could not be sent to other nodes, and are sent again; signals are left: clients refetch.");
                RETRY
            }
        };
        if last {
            return;
        }
        pace.sleep(rest).await;
    }
}

/// Sends what has gathered; the topics that could not be sent are queued again.
async fn send_queued(db: &Db, node: &str, outgoing: &Outgoing) -> Result<(), DbError> {
    let (topics, signals) = outgoing.take();
    let mut messages = messages(node, topics, signals).into_iter();
    while let Some(message) = messages.next() {
        let payload = serde_json::to_string(&message).expect("a message serialises");
        if let Err(error) = db.sql(NOTIFY).bind(payload).execute().await {
            for unsent in std::iter::once(message).chain(messages) {
                unsent.topics.iter().for_each(|t| outgoing.hint(t));
            }
            return Err(error);
        }
    }
    Ok(())
}

/// Topics and signals in as few messages as fit.
fn messages(node: &str, topics: BTreeSet<String>, signals: Vec<SentSignal>) -> Vec<Message> {
    let most = MAX_PAYLOAD - 200 - node.len();
    let mut parts: Vec<Message> = Vec::new();
    let mut room = 0;
    let mut part_with = |size: usize, put: &mut dyn FnMut(&mut Message)| {
        if size > room || parts.is_empty() {
            parts.push(Message {
                node: node.to_owned(),
                topics: BTreeSet::new(),
                signals: Vec::new(),
            });
            room = most;
        }
        room = room.saturating_sub(size);
        if let Some(part) = parts.last_mut() {
            put(part);
        }
    };
    // What the server would refuse must not be tried again for ever.
    let fits = |what: &'static str, size: usize| {
        if size > most {
            tracing::warn!(
                what,
                bytes = size,
                "A message is too large to reach other nodes."
            );
        }
        size <= most
    };
    for topic in topics {
        let size = length(&topic);
        if fits("hint", size) {
            part_with(size, &mut |part| {
                part.topics.insert(topic.clone());
            });
        }
    }
    for signal in signals {
        let size = length(&signal);
        if fits("signal", size) {
            part_with(size, &mut |part| part.signals.push(signal.clone()));
        }
    }
    parts
}

/// Of a value in a list.
fn length(value: &impl Serialize) -> usize {
    serde_json::to_string(value).map_or(0, |text| text.len()) + 1
}

async fn listen(
    db: Db,
    node: String,
    topics: Arc<Topics>,
    receive: impl Fn(SentSignal) + Send + Sync,
) {
    let pace = SystemClock::new();
    loop {
        if let Err(error) = hear(&db, &node, &topics, &receive).await {
            tracing::warn!(%error, "The connection that hears other nodes was lost; it is made again.");
        }
        pace.sleep(RETRY).await;
    }
}

async fn hear(
    db: &Db,
    node: &str,
    topics: &Topics,
    receive: &(impl Fn(SentSignal) + Send + Sync),
) -> Result<(), DbError> {
    let Some(pool) = db.postgres() else {
        return Ok(());
    };
    let mut listener = PgListener::connect_with(pool).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    topics.wake_all();
    while let Some(notification) = listener.try_recv().await? {
        match serde_json::from_str::<Message>(notification.payload()) {
            Ok(message) if message.node == node => {}
            Ok(message) => {
                for topic in &message.topics {
                    topics.wake(topic);
                }
                message.signals.into_iter().for_each(receive);
            }
            Err(error) => tracing::warn!(%error, "A message of another node cannot be read."),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_topics_are_split_over_messages_that_fit() {
        let topics: BTreeSet<String> = (0..2000).map(|i| format!("queue:number-{i}")).collect();
        let parts = messages("n", topics.clone(), Vec::new());
        assert!(parts.len() > 1);
        let sizes = parts
            .iter()
            .map(|m| serde_json::to_string(m).unwrap().len());
        assert!(sizes.max().unwrap() <= MAX_PAYLOAD);
        let all: BTreeSet<String> = parts.into_iter().flat_map(|m| m.topics).collect();
        assert_eq!(all, topics);
    }

    #[test]
    fn a_topic_that_no_message_can_hold_is_left_out() {
        let topics = BTreeSet::from(["x".repeat(MAX_PAYLOAD), "\u{1}".repeat(2000), "q".into()]);
        let parts = messages("n", topics, Vec::new());
        assert_eq!(parts.len(), 1);
        assert_eq!(parts[0].topics, BTreeSet::from(["q".to_owned()]));
    }

    #[test]
    fn signals_travel_together_and_one_that_does_not_fit_stays_here() {
        let signal = |n: usize, text: &str| SentSignal {
            audience: plugin_api::signal::Audience::Everyone,
            signal: plugin_api::signal::Signal {
                signal_id: format!("test.{n}"),
                plugin_id: "test".into(),
                payload: text.into(),
                timestamp: plugin_api::Ts::from_millis(0),
            },
        };
        let mut signals: Vec<SentSignal> = (0..200).map(|n| signal(n, "changed")).collect();
        signals.insert(100, signal(999, &"x".repeat(MAX_PAYLOAD)));
        let topics = BTreeSet::from(["queue:q".to_owned()]);
        let parts = messages("n", topics.clone(), signals.clone());
        assert!((2..20).contains(&parts.len()), "{} messages", parts.len());
        assert_eq!(parts[0].topics, topics);
        let sizes = parts
            .iter()
            .map(|m| serde_json::to_string(m).unwrap().len());
        assert!(sizes.max().unwrap() <= MAX_PAYLOAD);
        signals.remove(100);
        let sent: Vec<SentSignal> = parts.into_iter().flat_map(|m| m.signals).collect();
        assert_eq!(sent, signals, "all others, in their order");
    }
}
