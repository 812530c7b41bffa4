//! Recording after the plugin has committed, when the database may not be there.
//!
//! Four tries, then the change waits in memory and is stored when the database answers again. A
//! later change of the same entity never overtakes it. If the process dies first, a durable kind's
//! change comes back from its intent; another kind's is lost, as `entity §6` says.

use crate::{kind::Shared, recording::Recording};
use plugin_api::BoxError;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

const RETRIES: [Duration; 3] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(800),
];
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Recording>,
    draining: bool,
}

/// Changes whose recording failed.
#[derive(Clone, Default)]
pub(crate) struct Deferred(Arc<Mutex<Queue>>);

impl Deferred {
    /// Stores now if possible, else later. Called under the entity's lock.
    pub async fn store(&self, shared: &Arc<Shared>, recording: Recording) {
        if self.behind_older(&recording) {
            self.push(shared, recording);
            return;
        }
        let mut error = match attempt(shared, &recording).await {
            Ok(()) => return,
            Err(e) => e,
        };
        for pause in RETRIES {
            shared.clock.sleep(pause).await;
            error = match attempt(shared, &recording).await {
                Ok(()) => return,
                Err(e) => e,
            };
        }
        let change = recording.change();
        tracing::error!(kind = %change.kind, id = %change.id, change_id = %change.change_id, %error,
            "A committed change could not be recorded; it is kept in memory until the database answers.");
        shared.recordings.failed(shared.clock.now(), &error);
        self.push(shared, recording);
    }

    fn behind_older(&self, recording: &Recording) -> bool {
        let (kind, id) = (&recording.change().kind, &recording.change().id);
        let queue = self.0.lock().expect("deferred");
        let mut waiting = queue.waiting.iter().map(Recording::change);
        waiting.any(|c| c.kind == *kind && c.id == *id)
    }

    fn push(&self, shared: &Arc<Shared>, recording: Recording) {
        let mut queue = self.0.lock().expect("deferred");
        queue.waiting.push_back(recording);
        if !queue.draining {
            queue.draining = true;
            plugin_api::spawn(self.clone().drain(shared.clone()));
        }
    }

    async fn drain(self, shared: Arc<Shared>) {
        let mut pause = Duration::from_secs(1);
        loop {
            let Some(first) = self.first_or_end() else {
                return;
            };
            match attempt(&shared, &first).await {
                Ok(()) => {
                    let left = self.done();
                    shared.recordings.pass(shared.clock.now(), 1, Some(left));
                    pause = Duration::from_secs(1);
                }
                Err(error) => {
                    tracing::warn!(%error, pause_seconds = pause.as_secs(), "Deferred changes still cannot be recorded.");
                    shared.clock.sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Takes the stored change out; answers how many still wait.
    fn done(&self) -> u64 {
        let mut queue = self.0.lock().expect("deferred");
        queue.waiting.pop_front();
        queue.waiting.len() as u64
    }

    /// The oldest waiting change; it leaves the queue only once it is stored.
    fn first_or_end(&self) -> Option<Recording> {
        let mut queue = self.0.lock().expect("deferred");
        let first = queue.waiting.front().cloned();
        queue.draining = first.is_some();
        first
    }
}

async fn attempt(shared: &Shared, recording: &Recording) -> Result<(), BoxError> {
    plugin_api::fail::point("entity.record").await?;
    shared.store.record(recording).await?;
    shared.hints.notify(crate::OUTBOX_HINT);
    Ok(())
}
