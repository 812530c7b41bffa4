//! Hints and signals between nodes over Postgres: one sending task, one listening task.
//!
//! The sender takes whatever has gathered, sends it, then rests for [`REST`], so a busy node costs
//! the server at most one `NOTIFY` per rest however many hints it gives. The pace belongs to the
//! network, so it is kept in real time, also under a test's virtual clock.

use super::Topics;
use crate::signals::SignalTransport;
use plugin_api::{
    BoxError, Clock, Db, SystemClock,
    db::{DbError, Sql},
    signal::SentSignal,
};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgListener;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{sync::Notify, task::JoinHandle};

const REST: Duration = Duration::from_millis(5);
/// Between attempts to reach a server that is gone.
const RETRY: Duration = Duration::from_secs(1);
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
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Wire {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
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
        let sender = send(pools.clone(), node.to_owned(), outgoing);
        let listener = listen(pools, node.to_owned(), topics, receive);
        Self {
            tasks: [plugin_api::spawn(sender), plugin_api::spawn(listener)],
        }
    }
}

async fn send(db: Db, node: String, outgoing: Arc<Outgoing>) {
    let pace = SystemClock::new();
    loop {
        outgoing.wake.notified().await;
        let (topics, signals) = outgoing.take();
        for message in messages(&node, topics, signals) {
            let payload = serde_json::to_string(&message).expect("a message serialises");
            if let Err(error) = db.sql(NOTIFY).bind(payload).execute().await {
                // Nothing is lost for good: listeners scan, and clients refetch.
                tracing::warn!(%error, "Hints and signals could not be sent to other nodes.");
            }
        }
        pace.sleep(REST).await;
    }
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
    for topic in topics {
        // Quotes, comma and room for escapes.
        let size = topic.len() * 2 + 4;
        part_with(size, &mut |part| {
            part.topics.insert(topic.clone());
        });
    }
    for signal in signals {
        let size = serde_json::to_string(&signal).map_or(0, |text| text.len()) + 1;
        if size > most {
            tracing::warn!(
                bytes = size,
                "A signal is too large to reach clients of other nodes."
            );
        } else {
            part_with(size, &mut |part| part.signals.push(signal.clone()));
        }
    }
    parts
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
