//! Signals to connected clients (`plugins §13`): one in-process bus per node, and on Postgres the same
//! wire that carries hints. Sending never fails and never waits.

use plugin_api::{
    BoxError, Clock, Masked,
    signal::{Audience, SentSignal, Signal, Signals},
};
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::broadcast;

/// Takes signals to other nodes.
pub trait SignalTransport: Send + Sync + 'static {
    /// Hands the signal on without waiting.
    fn publish(&self, signal: &SentSignal) -> Result<(), BoxError>;
}

/// How many signals a slow reader may fall behind.
const BUFFER: usize = 1000;

/// The bus of one node.
pub struct SignalBus {
    clock: Arc<dyn Clock>,
    here: broadcast::Sender<Arc<SentSignal>>,
    transport: Option<Box<dyn SignalTransport>>,
}

impl SignalBus {
    pub(crate) fn new(clock: Arc<dyn Clock>, transport: Option<Box<dyn SignalTransport>>) -> Self {
        Self {
            clock,
            here: broadcast::Sender::new(BUFFER),
            transport,
        }
    }

    /// Delivers a signal to the clients of this node.
    pub(crate) fn deliver(here: &broadcast::Sender<Arc<SentSignal>>, signal: SentSignal) {
        // Nobody listening is fine.
        let _ = here.send(Arc::new(signal));
    }

    /// Where signals of other nodes are put in.
    #[cfg(feature = "postgres")]
    pub(crate) fn here(&self) -> broadcast::Sender<Arc<SentSignal>> {
        self.here.clone()
    }
}

impl Signals for SignalBus {
    fn send(&self, audience: Audience, signal_id: &str, payload: Masked<Value>) {
        let nobody = match &audience {
            Audience::Everyone => false,
            Audience::Users(users) | Audience::Authorized { users, .. } => users.is_empty(),
        };
        if nobody {
            return;
        }
        let Some((plugin_id, _)) = signal_id.split_once('.') else {
            tracing::warn!(
                signal_id,
                "A signal without a plugin in front of its id was not sent."
            );
            return;
        };
        let signal = SentSignal {
            audience,
            signal: Signal {
                signal_id: signal_id.to_owned(),
                plugin_id: plugin_id.to_owned(),
                payload: payload.into_inner(),
                timestamp: self.clock.now(),
            },
        };
        if let Some(Err(error)) = self.transport.as_ref().map(|t| t.publish(&signal)) {
            tracing::warn!(signal_id, %error, "A signal did not reach other nodes.");
        }
        Self::deliver(&self.here, signal);
    }

    fn subscribe(&self) -> broadcast::Receiver<Arc<SentSignal>> {
        self.here.subscribe()
    }
}
