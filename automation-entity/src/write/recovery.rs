//! Settling the intents that a crash left (`entity §8.8`).

use super::{EntityLocks, lock_key};
use crate::{
    diff::State,
    intent::Intent,
    kind::{KindCore, Shared},
    recording::{Recording, Stamp},
};
use plugin_api::{BoxError, Ts};
use std::sync::Arc;
use uuid::Uuid;

/// Captures a run's secrets again before something of it is masked (`secrets §12`).
#[async_trait::async_trait]
pub trait Reseed: Send + Sync + 'static {
    /// Must not fail: what cannot be resolved is skipped.
    async fn reseed(&self, run: Uuid);
}

/// The stored intent of a running write. If the write ends in any way that says nothing of it – a
/// panic, a dropped future – recovery is woken.
pub(crate) struct Promise<'w> {
    shared: &'w Arc<Shared>,
    kind: &'w str,
    id: &'w str,
    change_id: Uuid,
    open: bool,
}

impl<'w> Promise<'w> {
    pub fn new(shared: &'w Arc<Shared>, id: &'w str, kind: &'w str, change_id: Uuid) -> Self {
        Self {
            shared,
            kind,
            id,
            change_id,
            open: true,
        }
    }

    /// Nothing happened: the intent goes. If that fails, recovery will find no difference.
    pub async fn withdraw(mut self) {
        let ended = self
            .shared
            .store
            .end_intent(self.kind, self.id, self.change_id);
        match ended.await {
            Ok(()) => self.open = false,
            Err(error) => {
                tracing::warn!(kind = self.kind, id = self.id, %error, "An intent could not be withdrawn; recovery will.");
            }
        }
    }

    /// The recording will delete the intent.
    pub fn handed_over(mut self) {
        self.open = false;
    }
}

impl Drop for Promise<'_> {
    fn drop(&mut self) {
        if self.open {
            self.shared.recovery.wake();
        }
    }
}

/// Records what an intent's write did, if anything; `current` is the unmasked state now. The caller
/// holds the entity's lock.
pub(super) async fn settle(
    shared: &Shared,
    intent: &Intent,
    current: Option<State>,
) -> Result<bool, BoxError> {
    if let (Some(run), Some(reseed)) = (intent.run_id, shared.recovery.reseed.get()) {
        reseed.reseed(run).await;
    }
    let stamp = Stamp {
        kind: intent.kind.clone(),
        id: intent.id.clone(),
        actor: intent.actor.clone(),
        // Not stored with an intent: a change that a crash delayed begins a chain of its own.
        cause: None,
        at: shared.clock.now(),
        change_id: intent.change_id,
        settles_intent: true,
    };
    let masks = shared
        .secrets
        .set_for(intent.run_id.map(|run| run.as_u128()));
    let prev = intent.prev_against(current.as_ref());
    let Some(recording) = Recording::of(stamp, prev, current, &masks) else {
        let ended = shared
            .store
            .end_intent(&intent.kind, &intent.id, intent.change_id);
        ended.await?;
        return Ok(false);
    };
    shared.store.record(&recording).await?;
    shared.hints.notify(crate::OUTBOX_HINT);
    tracing::info!(kind = %intent.kind, id = %intent.id, change_id = %intent.change_id, "A change that a crash had cut off was recorded.");
    Ok(true)
}

/// What a pass of recovery found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// Changes recorded.
    pub recorded: u64,
    /// Intents that could not be settled now.
    pub left: u64,
}

/// Wakes recovery, and what it needs of others.
#[derive(Default)]
pub(crate) struct Recovery {
    woken: tokio::sync::Notify,
    pub reseed: std::sync::OnceLock<Arc<dyn Reseed>>,
}

impl Recovery {
    pub fn wake(&self) {
        self.woken.notify_one();
    }
    pub async fn woken(&self) {
        self.woken.notified().await;
    }
}

/// Settles the intents stored before `before`.
pub(crate) async fn recover(
    shared: &Arc<Shared>,
    kind_of: impl Fn(&str) -> Option<Arc<KindCore>>,
    before: Ts,
) -> Result<Recovered, BoxError> {
    const LIMIT: i64 = 500;
    let mut pass = Recovered::default();
    for intent in shared.store.intents(before, LIMIT).await? {
        let Some(kind) = kind_of(&intent.kind) else {
            tracing::warn!(kind = %intent.kind, id = %intent.id, "An intent names a kind that nobody defines now; it is kept.");
            pass.left += 1;
            continue;
        };
        match recover_one(shared, &kind, &intent).await {
            Ok(recorded) => pass.recorded += u64::from(recorded),
            Err(error) => {
                tracing::warn!(kind = %intent.kind, id = %intent.id, %error, "An intent could not be settled; it is tried again.");
                pass.left += 1;
            }
        }
    }
    Ok(pass)
}

async fn recover_one(
    shared: &Arc<Shared>,
    kind: &KindCore,
    intent: &Intent,
) -> Result<bool, BoxError> {
    let key = lock_key(&intent.kind, &intent.id);
    let turn = EntityLocks::take(&shared.locks, &*shared.clock, key.clone()).await;
    let _turn = turn.ok_or("the entity is busy")?;
    let mut lock = match &shared.lock_db {
        Some(db) => Some(db.begin().await?),
        None => None,
    };
    if let Some(tx) = &mut lock {
        tx.lock(&key).await?;
    }
    // Whoever held the lock may have settled it, and even have promised something else.
    let still = shared.store.intent(&intent.kind, &intent.id).await?;
    if still.is_none_or(|now| now.change_id != intent.change_id) {
        return Ok(false);
    }
    let current = kind.read_state(&intent.id).await?;
    settle(shared, intent, current).await
}
