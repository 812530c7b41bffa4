//! Writes whose effect on entities is computed: one change of settings, any number of entities.

use crate::{
    diff::State,
    error::MutateError,
    handle::{EntityHandle, checked},
    options::MutateOpts,
    state::{EntityState, read_many},
    write::{Place, Write, within_all},
};
use plugin_api::{BoxError, Conn, Tx};
use std::collections::HashMap;

/// What a write by [`EntityHandle::settle_with`] did.
#[derive(Clone, Debug)]
pub struct Settled<S, T> {
    /// What `apply` answered.
    pub value: T,
    /// Every entity named, in byte order of its id, changed or not.
    pub entities: Vec<SettledEntity<S>>,
}

/// One entity before and after.
#[derive(Clone, Debug)]
pub struct SettledEntity<S> {
    /// Its id.
    pub id: String,
    /// State before; none: it did not exist.
    pub prev: Option<S>,
    /// State after; none: it does not exist any more.
    pub next: Option<S>,
}

impl<S: EntityState> EntityHandle<S> {
    /// Waits until no other task of this process writes any of `ids`, for a caller of
    /// [`EntityHandle::settle_with`] that has not begun its transaction yet: who waits must not hold a
    /// connection that others need. The turns end when what is answered is dropped, which must be after
    /// the transaction. They are taken in byte order, so that two callers never wait for each other.
    ///
    /// # Errors
    /// See [`MutateError`]; `Busy` after 30 s.
    pub async fn turns(&self, ids: &[String]) -> Result<impl Send + use<S>, MutateError> {
        let mut ids: Vec<&String> = ids.iter().collect();
        ids.sort();
        ids.dedup();
        let mut turns = Vec::with_capacity(ids.len());
        for id in ids {
            let opts = MutateOpts::default();
            let write = Write::begin(&self.core, id, opts, Place::OwnTransaction)?;
            turns.push(write.turn().await?);
        }
        Ok(turns)
    }

    /// Writes what entities are computed from, inside a transaction the caller holds and commits: as
    /// [`EntityHandle::mutate_with`] for all of `ids` at once, with the state after read back instead
    /// of answered by `apply`. So one write may change several entities, create and remove them, and
    /// each real difference is recorded as its own change. The entities are locked in byte order and
    /// stay locked until the transaction ends. Without ids `apply` merely runs.
    ///
    /// # Errors
    /// See [`MutateError`]; the caller then drops the transaction.
    pub async fn settle_with<T>(
        &self,
        tx: &mut Tx,
        ids: &[String],
        opts: MutateOpts,
        apply: impl AsyncFnOnce(&mut Tx) -> Result<T, BoxError>,
    ) -> Result<Settled<S, T>, MutateError> {
        let mut ids = ids.to_vec();
        ids.sort();
        ids.dedup();
        let mut writes = Vec::with_capacity(ids.len());
        for id in &ids {
            let write = Write::begin(&self.core, id, opts.clone(), Place::GivenTransaction)?;
            write.lock_in(tx).await?;
            writes.push(write);
        }
        let mut before = self.states(tx, &ids).await?;
        let applied = within_all(&writes, apply(tx)).await;
        let value = applied.map_err(MutateError::Apply)?;
        let mut after = self.states(tx, &ids).await?;
        let mut entities = Vec::with_capacity(writes.len());
        for write in &writes {
            let (prev, next) = (before.remove(&write.id), after.remove(&write.id));
            let fields = |state: &Option<S>| -> Result<Option<State>, String> {
                state.as_ref().map(checked).transpose()
            };
            let old = fields(&prev).map_err(|e| MutateError::Read(e.into()))?;
            let new = fields(&next).map_err(|reason| write.invalid(reason))?;
            write.record_in(tx, old, new).await?;
            entities.push(SettledEntity {
                id: write.id.clone(),
                prev,
                next,
            });
        }
        Ok(Settled { value, entities })
    }

    async fn states(&self, tx: &mut Tx, ids: &[String]) -> Result<HashMap<String, S>, MutateError> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let read = read_many(&*self.read, Conn::Tx(tx), ids).await;
        read.map_err(MutateError::Read)
    }
}
