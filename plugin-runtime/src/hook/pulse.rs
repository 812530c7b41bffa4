//! A node's pulse, where nodes share a database.
//!
//! Every 20 s a node says that it lives. In the same breath it buries the nodes that have been silent
//! for 60 s, takes over the events that they left before their barrier, and looks for jobs whose hint
//! was lost: a node may die between its commit and its hint, and an idle lane, which waits for nothing,
//! would then sleep for a day. That is one write and three reads each time, whatever the number of
//! queues, and a lost hint costs 20 s; waking every lane blindly would cost a look of each.

use super::{
    barrier::{MoveError, Staging},
    broadcast::Broadcasts,
    sql,
};
use crate::queue::topic;
use plugin_api::{
    Ts,
    db::{DbError, Engine},
    hints::Hints,
};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::sync::{OnceCell, watch};

const BEAT: Duration = Duration::from_secs(20);
/// Who was silent for so long before our own last beat, so 60 s by now, is dead.
const SILENT_MS: i64 = 40_000;

pub(super) struct Pulse {
    broadcasts: Arc<Broadcasts>,
    staging: Arc<Staging>,
    /// How lanes are woken; empty where nobody may miss a hint.
    pub hints: OnceLock<Arc<dyn Hints>>,
    started: OnceCell<()>,
    stopped: watch::Sender<bool>,
}

impl Pulse {
    pub fn new(broadcasts: Arc<Broadcasts>, staging: Arc<Staging>) -> Arc<Self> {
        Arc::new(Self {
            broadcasts,
            staging,
            hints: OnceLock::new(),
            started: OnceCell::new(),
            stopped: watch::Sender::new(false),
        })
    }

    /// To be called before anything is stored that lives with this node. The first call starts the
    /// pulse, unless one process owns the database.
    pub async fn start(self: &Arc<Self>) -> Result<(), DbError> {
        let start = async || {
            if self.staging.db.engine() == Engine::Postgres {
                self.broadcasts.arrive().await?;
                plugin_api::spawn(self.clone().beat());
            }
            Ok(())
        };
        self.started.get_or_try_init(start).await.map(drop)
    }

    pub fn stop(&self) {
        self.stopped.send_replace(true);
    }

    async fn beat(self: Arc<Self>) {
        let clock = &self.staging.clock;
        let mut stopped = self.stopped.subscribe();
        let mut spoke = clock.now();
        loop {
            tokio::select! {
                () = clock.sleep(BEAT) => {}
                _ = stopped.wait_for(|s| *s) => return,
            }
            let now = clock.now();
            let done = match self.broadcasts.alive(now).await {
                Ok(()) => {
                    // Who was seen since we last spoke ourselves is alive, however long this process
                    // stood still or the database was away.
                    let silent_since = spoke.plus_millis(-SILENT_MS);
                    spoke = now;
                    self.take_over(silent_since).await
                }
                Err(error) => Err(error.into()),
            };
            if let Err(error) = done {
                tracing::warn!(node = self.staging.node, %error, "The node could not say that it lives, or not look after others; tried again in 20 s.");
            }
        }
    }

    async fn take_over(&self, silent_since: Ts) -> Result<(), MoveError> {
        let died = self.broadcasts.bury(silent_since).await?;
        if let Some(hints) = self.hints.get() {
            if died {
                // Whatever they had to say last, jobs or not.
                hints.wake_all();
            }
            let now = self.staging.clock.now();
            let due = self.staging.db.sql(sql::DUE_QUEUES).bind(now);
            for queue in due.all::<String>().await? {
                hints.wake(&topic(&queue));
            }
        }
        if self.staging.is_open() {
            self.staging.move_on().await?;
        }
        Ok(())
    }
}
