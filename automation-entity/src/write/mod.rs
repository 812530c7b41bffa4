//! The write pipeline that every handle shares (`entity §6`), without the type of the state.
//!
//! Two orders of the same steps. A write *in the database* does lock, `prev`, the plugin's write and
//! the recording in one transaction: nothing can be lost. A write *elsewhere* is committed by the
//! plugin; recording follows, is retried, and for durable kinds an intent covers a crash in between.

mod deferred;
mod held;
mod locks;
mod patience;
mod recovery;

pub(crate) use deferred::Deferred;
pub(crate) use held::{within, within_all};
pub(crate) use locks::{EntityLocks, Turn};
pub use recovery::Reseed;
pub(crate) use recovery::{Recovery, recover};

use crate::{
    diff::{State, diff},
    error::MutateError,
    intent::Intent,
    kind::{Bound, KindCore},
    options::{MutateOpts, VerifyReads},
    recording::{Recording, Stamp},
    state::ErasedKind,
};
use plugin_api::{
    Actor, BoxError, RequestContext, Tx,
    db::{DbError, is_lock_timeout},
    masking::MaskSet,
};
use std::sync::Arc;
use uuid::Uuid;

/// One write of one entity, from its first check on.
pub(crate) struct Write<'k> {
    pub kind: &'k KindCore,
    pub bound: &'k Bound,
    pub id: String,
    actor: Actor,
    cause: Option<Arc<plugin_api::Cause>>,
    run_id: Option<Uuid>,
    change_id: Uuid,
}

/// Where the plugin writes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a transaction that the handle opens.
    OwnTransaction,
    /// In a transaction that the caller holds.
    GivenTransaction,
    /// Somewhere else; the plugin commits.
    Elsewhere,
}

impl<'k> Write<'k> {
    /// Everything that can be refused before anything is read.
    pub fn begin(
        kind: &'k KindCore,
        id: &str,
        opts: MutateOpts,
        place: Place,
    ) -> Result<Self, MutateError> {
        let bound = kind.bound().ok_or_else(|| MutateError::NotReady {
            kind: kind.kind().to_owned(),
        })?;
        if id.is_empty() || id == "*" {
            return Err(MutateError::InvalidId {
                kind: kind.kind().to_owned(),
                id: id.to_owned(),
            });
        }
        let context = RequestContext::current();
        let write = Self {
            kind,
            bound,
            id: id.to_owned(),
            actor: opts.actor.unwrap_or(context.actor),
            run_id: opts.run_id.or(context.run_id),
            cause: context.cause,
            change_id: bound.shared.clock.new_uuid(),
        };
        if write.masks().finds_in(id) {
            return Err(MutateError::SecretInId {
                kind: kind.kind().to_owned(),
            });
        }
        held::check(&write, place)?;
        Ok(write)
    }

    pub fn lock_key(&self) -> String {
        lock_key(self.kind.kind(), &self.id)
    }

    /// The run's secrets at this moment; a set taken earlier misses later ones.
    fn masks(&self) -> Arc<MaskSet> {
        self.bound
            .shared
            .secrets
            .set_for(self.run_id.map(|run| run.as_u128()))
    }

    /// Waits for this process's other writers of the entity, before a connection is taken: who waits
    /// must not hold what the work inside needs.
    pub async fn turn(&self) -> Result<Option<Turn>, MutateError> {
        if self.kind.options().serialised_by_owner {
            return Ok(None);
        }
        let shared = &self.bound.shared;
        match EntityLocks::take(&shared.locks, &*shared.clock, self.lock_key()).await {
            Some(turn) => Ok(Some(turn)),
            None => Err(self.busy()),
        }
    }

    /// Serialises the transaction with every other writer of the entity, on any node.
    pub async fn lock_in(&self, tx: &mut Tx) -> Result<(), MutateError> {
        if self.kind.options().serialised_by_owner {
            return Ok(());
        }
        let locked = tx.lock(&self.lock_key()).await;
        locked.map_err(|e| self.before_apply(e))
    }

    /// The same for a write whose plugin commits on its own: a transaction on a pool of its own holds
    /// the lock until dropped. None when no other node can exist.
    pub async fn lock_cluster(&self) -> Result<Option<Tx>, MutateError> {
        let Some(db) = &self.bound.shared.lock_db else {
            return Ok(None);
        };
        if self.kind.options().serialised_by_owner {
            return Ok(None);
        }
        let mut tx = db.begin().await.map_err(|e| self.before_apply(e))?;
        self.lock_in(&mut tx).await?;
        Ok(Some(tx))
    }

    fn busy(&self) -> MutateError {
        MutateError::Busy {
            kind: self.kind.kind().to_owned(),
            id: self.id.clone(),
        }
    }

    /// Names the entity in a database error.
    pub fn db(&self, source: DbError) -> MutateError {
        MutateError::Db {
            kind: self.kind.kind().to_owned(),
            id: self.id.clone(),
            source,
        }
    }

    /// As [`Write::db`], but waiting too long for a lock means that somebody else is writing. A pool
    /// without a connection does not: that is how a database shows that it is away.
    pub fn before_apply(&self, e: DbError) -> MutateError {
        if is_lock_timeout(&e) {
            self.busy()
        } else {
            self.db(e)
        }
    }

    pub fn invalid(&self, reason: String) -> MutateError {
        tracing::error!(kind = self.kind.kind(), id = %self.id, %reason, "The new state of an entity is invalid; nothing was recorded.");
        MutateError::InvalidState {
            kind: self.kind.kind().to_owned(),
            id: self.id.clone(),
            reason,
        }
    }

    /// What the change leaves behind; none without a difference.
    fn recording(&self, prev: Option<State>, next: Option<State>) -> Option<Recording> {
        let stamp = Stamp {
            kind: self.kind.kind().to_owned(),
            id: self.id.clone(),
            actor: self.actor.clone(),
            at: self.bound.shared.clock.now(),
            change_id: self.change_id,
            cause: self.cause.as_deref().cloned(),
            settles_intent: false,
        };
        Recording::of(stamp, prev, next, &self.masks())
    }

    /// Records inside the transaction of the plugin's write; the outbox is hinted when it commits.
    pub async fn record_in(
        &self,
        tx: &mut Tx,
        prev: Option<State>,
        next: Option<State>,
    ) -> Result<(), MutateError> {
        let Some(recording) = self.recording(prev, next) else {
            return Ok(());
        };
        let shared = &self.bound.shared;
        let stored = shared.store.record_in(tx, &recording).await;
        stored.map_err(|e| self.db(e))?;
        let hints = shared.hints.clone();
        tx.after_commit(move || hints.notify(crate::OUTBOX_HINT));
        Ok(())
    }

    /// Stores the intent of a durable kind, after settling one that a crash left (`entity §6.3`).
    pub async fn promise(
        &self,
        prev: Option<&State>,
    ) -> Result<Option<recovery::Promise<'_>>, MutateError> {
        if !self.kind.options().durable {
            return Ok(None);
        }
        let shared = &self.bound.shared;
        let (masked, hidden) = Intent::conceal(prev, &self.masks());
        let intent = Intent {
            kind: self.kind.kind().to_owned(),
            id: self.id.clone(),
            change_id: self.change_id,
            prev: masked,
            hidden,
            actor: self.actor.clone(),
            run_id: self.run_id,
            created_at: shared.clock.now(),
        };
        let stored = async {
            while let Some(old) = shared.store.begin_intent(&intent).await? {
                recovery::settle(shared, &old, prev.cloned()).await?;
            }
            Ok::<_, BoxError>(())
        };
        stored.await.map_err(MutateError::Read)?;
        Ok(Some(recovery::Promise::new(
            shared,
            &self.id,
            self.kind.kind(),
            self.change_id,
        )))
    }

    /// Records after the plugin committed. Never fails the caller: the write stands (`entity §22.1`).
    pub async fn record_after(
        &self,
        prev: Option<State>,
        next: Option<State>,
        promise: Option<recovery::Promise<'_>>,
    ) {
        let Some(mut recording) = self.recording(prev, next) else {
            if let Some(promise) = promise {
                promise.withdraw().await;
            }
            return;
        };
        if let Some(promise) = promise {
            recording.settle_intent();
            promise.handed_over();
        }
        self.bound
            .shared
            .deferred
            .store(&self.bound.shared, recording)
            .await;
    }

    /// The development and test switch of `entity §15.5`: `read` must answer what was just written.
    pub fn verify(&self, read: Option<&State>, written: Option<&State>) -> Result<(), MutateError> {
        let found = diff(read, written);
        if read.is_some() == written.is_some() && found.changed_fields.is_empty() {
            return Ok(());
        }
        let fields = found.changed_fields;
        if self.bound.shared.verify == VerifyReads::Fail {
            return Err(MutateError::Inconsistent {
                kind: self.kind.kind().to_owned(),
                id: self.id.clone(),
                fields,
            });
        }
        tracing::warn!(kind = self.kind.kind(), id = %self.id, ?fields, "An entity reads differently from what was just written.");
        Ok(())
    }
}

/// The key of the lock that serialises the writers of one entity.
pub(crate) fn lock_key(kind: &str, id: &str) -> String {
    format!("automation.entity:{kind}:{id}")
}
