//! The handle through which a plugin writes and reads one kind of entity (`entity §5`).

use crate::{
    canonical::field_text,
    diff::State,
    error::{MutateError, ReadError},
    kind::KindCore,
    options::{MutateOpts, VerifyReads},
    state::{EntityRead, EntityState, ErasedKind, on, read_many},
    store::Newest,
    write::{Place, Write, within},
};
use plugin_api::{BoxError, Conn, Text, Ts, Tx};
use serde_json::Value;
use std::{collections::HashMap, sync::Arc};

/// Writes and reads the entities of one kind. Cheap to clone, usable from any task; usable from the
/// engine's `init` on, also when it was made before the engine existed.
///
/// Every write is serialised per entity, compares the state before with the state after, and records
/// and emits the difference; an equal write leaves nothing. Who holds no handle emits no change.
pub struct EntityHandle<S> {
    pub(crate) core: Arc<KindCore>,
    pub(crate) read: Arc<dyn EntityRead<S>>,
}

impl<S> Clone for EntityHandle<S> {
    fn clone(&self) -> Self {
        Self {
            core: self.core.clone(),
            read: self.read.clone(),
        }
    }
}

impl<S: EntityState> EntityHandle<S> {
    pub(crate) fn new(core: Arc<KindCore>, read: Arc<dyn EntityRead<S>>) -> Self {
        Self { core, read }
    }

    /// The kind.
    pub fn kind(&self) -> &str {
        self.core.kind()
    }

    /// Writes state kept in the same database (decision 17): the entity's lock, the state before, the
    /// plugin's own write, the transitions and the outgoing change are one transaction on the owner's
    /// database handle, rolled back together. `apply` writes on the transaction it is given and
    /// answers the resulting state, which is returned unmasked.
    ///
    /// # Errors
    /// See [`MutateError`]; after any of them nothing was written. `Apply` holds the error of `apply`.
    pub async fn mutate_in(
        &self,
        id: &str,
        opts: MutateOpts,
        apply: impl AsyncFnOnce(&mut Tx) -> Result<S, BoxError>,
    ) -> Result<S, MutateError> {
        let write = Write::begin(&self.core, id, opts, Place::OwnTransaction)?;
        let _turn = write.turn().await?;
        let begun = write.bound.db.begin().await;
        let mut tx = begun.map_err(|e| write.before_apply(e))?;
        let done = async {
            let prev = self.lock_and_read(&mut tx, &write).await?;
            let next = within(&write, Place::OwnTransaction, apply(&mut tx)).await;
            let next = next.map_err(MutateError::Apply)?;
            self.finish_in(&mut tx, &write, prev, Some(&next)).await?;
            Ok(next)
        };
        let done = done.await;
        end(tx, &write, done).await
    }

    /// Removes an entity kept in the same database; otherwise as [`EntityHandle::mutate_in`]. Removing
    /// one that does not exist runs `apply` and emits nothing.
    ///
    /// # Errors
    /// As there.
    pub async fn remove_in(
        &self,
        id: &str,
        opts: MutateOpts,
        apply: impl AsyncFnOnce(&mut Tx) -> Result<(), BoxError>,
    ) -> Result<(), MutateError> {
        let write = Write::begin(&self.core, id, opts, Place::OwnTransaction)?;
        let _turn = write.turn().await?;
        let begun = write.bound.db.begin().await;
        let mut tx = begun.map_err(|e| write.before_apply(e))?;
        let done = async {
            let prev = self.lock_and_read(&mut tx, &write).await?;
            let applied = within(&write, Place::OwnTransaction, apply(&mut tx)).await;
            applied.map_err(MutateError::Apply)?;
            self.finish_in(&mut tx, &write, prev, None).await
        };
        let done = done.await;
        end(tx, &write, done).await
    }

    /// As [`EntityHandle::mutate_in`] inside a transaction the caller holds and commits: for writes
    /// that touch several entities or take other locks first. The entity stays locked until that
    /// transaction ends. A caller that goes on after an error must roll back what `apply` wrote.
    ///
    /// # Errors
    /// See [`MutateError`].
    pub async fn mutate_with(
        &self,
        tx: &mut Tx,
        id: &str,
        opts: MutateOpts,
        apply: impl AsyncFnOnce(&mut Tx) -> Result<S, BoxError>,
    ) -> Result<S, MutateError> {
        let write = Write::begin(&self.core, id, opts, Place::GivenTransaction)?;
        let prev = self.lock_and_read(tx, &write).await?;
        let next = within(&write, Place::GivenTransaction, apply(tx)).await;
        let next = next.map_err(MutateError::Apply)?;
        self.finish_in(tx, &write, prev, Some(&next)).await?;
        Ok(next)
    }

    /// As [`EntityHandle::remove_in`] inside a transaction the caller holds and commits.
    ///
    /// # Errors
    /// See [`MutateError`].
    pub async fn remove_with(
        &self,
        tx: &mut Tx,
        id: &str,
        opts: MutateOpts,
        apply: impl AsyncFnOnce(&mut Tx) -> Result<(), BoxError>,
    ) -> Result<(), MutateError> {
        let write = Write::begin(&self.core, id, opts, Place::GivenTransaction)?;
        let prev = self.lock_and_read(tx, &write).await?;
        let applied = within(&write, Place::GivenTransaction, apply(tx)).await;
        applied.map_err(MutateError::Apply)?;
        self.finish_in(tx, &write, prev, None).await
    }

    /// Writes state kept elsewhere, or computed from what is: `apply` commits on its own, history and
    /// change follow right after. Once `apply` has succeeded the write is reported as successful,
    /// whatever happens to history (`entity §6`, §22.1). Kinds whose changes must survive a crash in
    /// between are `durable`.
    ///
    /// # Errors
    /// See [`MutateError`]; after `InvalidState` and `Inconsistent` the plugin's write stands.
    pub async fn mutate(
        &self,
        id: &str,
        opts: MutateOpts,
        apply: impl AsyncFnOnce() -> Result<S, BoxError>,
    ) -> Result<S, MutateError> {
        let write = Write::begin(&self.core, id, opts, Place::Elsewhere)?;
        let _turn = write.turn().await?;
        let _cluster = write.lock_cluster().await?;
        let prev = self.state_before(on(&write.bound.db), &write).await?;
        let promise = write.promise(prev.as_ref()).await?;
        let next = match within(&write, Place::Elsewhere, apply()).await {
            Ok(next) => next,
            Err(e) => {
                if let Some(promise) = promise {
                    promise.withdraw().await;
                }
                return Err(MutateError::Apply(e));
            }
        };
        let state = match checked(&next) {
            Ok(state) => state,
            Err(reason) => {
                if let Some(promise) = promise {
                    promise.withdraw().await;
                }
                return Err(write.invalid(reason));
            }
        };
        let verified = self.verify(on(&write.bound.db), &write, Some(&state)).await;
        write.record_after(prev, Some(state), promise).await;
        verified.map(|()| next)
    }

    /// Removes an entity kept elsewhere; otherwise as [`EntityHandle::mutate`].
    ///
    /// # Errors
    /// As there.
    pub async fn remove(
        &self,
        id: &str,
        opts: MutateOpts,
        apply: impl AsyncFnOnce() -> Result<(), BoxError>,
    ) -> Result<(), MutateError> {
        let write = Write::begin(&self.core, id, opts, Place::Elsewhere)?;
        let _turn = write.turn().await?;
        let _cluster = write.lock_cluster().await?;
        let prev = self.state_before(on(&write.bound.db), &write).await?;
        let promise = write.promise(prev.as_ref()).await?;
        if let Err(e) = within(&write, Place::Elsewhere, apply()).await {
            if let Some(promise) = promise {
                promise.withdraw().await;
            }
            return Err(MutateError::Apply(e));
        }
        let verified = self.verify(on(&write.bound.db), &write, None).await;
        write.record_after(prev, None, promise).await;
        verified
    }

    /// The current state of one entity, unmasked.
    ///
    /// # Errors
    /// [`ReadError::NotReady`] and [`ReadError::Read`].
    pub async fn get(&self, id: &str) -> Result<Option<S>, ReadError> {
        Ok(self.get_many(&[id.to_owned()]).await?.remove(id))
    }

    /// The current states of those entities that exist.
    ///
    /// # Errors
    /// As [`EntityHandle::get`].
    pub async fn get_many(&self, ids: &[String]) -> Result<HashMap<String, S>, ReadError> {
        let kind = || self.kind().to_owned();
        let bound = self
            .core
            .bound()
            .ok_or_else(|| ReadError::NotReady { kind: kind() })?;
        let found = read_many(&*self.read, on(&bound.db), ids).await;
        found.map_err(|source| ReadError::Read {
            kind: kind(),
            source,
        })
    }

    /// Since when the field has the value it has now; none when the entity does not exist, or when
    /// the log does not tell for certain: an unknown age must never look old (`entity §8.3`).
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn in_state_since(&self, id: &str, field: &str) -> Result<Option<Ts>, ReadError> {
        self.known(field)?;
        let Some(state) = self.get(id).await? else {
            return Ok(None);
        };
        let state = serde_json::to_value(&state).map_err(|e| ReadError::Read {
            kind: self.kind().to_owned(),
            source: e.into(),
        })?;
        let now = Text::new(field_text(state.get(field)));
        let newest = self.store()?.newest(self.kind(), id, field).await;
        Ok(match newest.map_err(|e| self.store_error(e))? {
            Some(Newest::Value(text, at)) if text == now.as_str() => Some(at),
            _ => None,
        })
    }

    /// For how many milliseconds the field has had its value; 0 when that is not known.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn in_state_for_ms(&self, id: &str, field: &str) -> Result<i64, ReadError> {
        let since = self.in_state_since(id, field).await?;
        let now = self.shared()?.clock.now();
        Ok(since.map_or(0, |since| (now.millis() - since.millis()).max(0)))
    }

    /// How often the field changed within the last `window_ms` milliseconds, its creation included.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn transition_count(
        &self,
        id: &str,
        field: &str,
        window_ms: i64,
    ) -> Result<i64, ReadError> {
        self.known(field)?;
        let since = self.shared()?.clock.now().plus_millis(-window_ms);
        let counted = self.store()?.count(self.kind(), id, field, since).await;
        counted.map_err(|e| self.store_error(e))
    }

    async fn lock_and_read(
        &self,
        tx: &mut Tx,
        write: &Write<'_>,
    ) -> Result<Option<State>, MutateError> {
        write.lock_in(tx).await?;
        self.state_before(Conn::Tx(tx), write).await
    }

    async fn state_before(
        &self,
        at: Conn<'_>,
        write: &Write<'_>,
    ) -> Result<Option<State>, MutateError> {
        self.state_at(at, &write.id)
            .await
            .map_err(MutateError::Read)
    }

    async fn state_at(&self, at: Conn<'_>, id: &str) -> Result<Option<State>, BoxError> {
        let found = read_many(&*self.read, at, &[id.to_owned()])
            .await?
            .remove(id);
        found.map(|s| to_state(&s)).transpose().map_err(Into::into)
    }

    async fn finish_in(
        &self,
        tx: &mut Tx,
        write: &Write<'_>,
        prev: Option<State>,
        next: Option<&S>,
    ) -> Result<(), MutateError> {
        let next = next.map(checked).transpose();
        let next = next.map_err(|reason| write.invalid(reason))?;
        self.verify(Conn::Tx(tx), write, next.as_ref()).await?;
        write.record_in(tx, prev, next).await
    }

    async fn verify(
        &self,
        at: Conn<'_>,
        write: &Write<'_>,
        written: Option<&State>,
    ) -> Result<(), MutateError> {
        if write.bound.shared.verify == VerifyReads::Off {
            return Ok(());
        }
        let read = self.state_before(at, write).await?;
        write.verify(read.as_ref(), written)
    }

    fn known(&self, field: &str) -> Result<(), ReadError> {
        if self.core.has_field(field) {
            return Ok(());
        }
        Err(ReadError::UnknownField {
            kind: self.kind().to_owned(),
            field: field.to_owned(),
        })
    }

    fn shared(&self) -> Result<&crate::kind::Shared, ReadError> {
        let bound = self.core.bound().ok_or_else(|| ReadError::NotReady {
            kind: self.kind().to_owned(),
        })?;
        Ok(&bound.shared)
    }

    fn store(&self) -> Result<&dyn crate::store::TransitionStore, ReadError> {
        Ok(&*self.shared()?.store)
    }

    fn store_error(&self, source: BoxError) -> ReadError {
        ReadError::Store {
            kind: self.kind().to_owned(),
            source,
        }
    }
}

/// Commits or rolls back.
async fn end<T>(tx: Tx, write: &Write<'_>, done: Result<T, MutateError>) -> Result<T, MutateError> {
    match done {
        Ok(value) => tx.commit().await.map(|()| value).map_err(|e| write.db(e)),
        Err(e) => {
            tx.rollback().await.ok();
            Err(e)
        }
    }
}

/// The state as fields, if it is valid.
pub(crate) fn checked<S: EntityState>(next: &S) -> Result<State, String> {
    next.validate()?;
    to_state(next)
}

fn to_state<S: EntityState>(state: &S) -> Result<State, String> {
    match serde_json::to_value(state) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err("it does not serialise to an object".to_owned()),
        Err(e) => Err(format!("it does not serialise: {e}")),
    }
}
