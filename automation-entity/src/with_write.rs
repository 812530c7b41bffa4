//! Writes of services that are also built without the engine, in tests and tools (`entity §14.2`).

use crate::{error::MutateError, handle::EntityHandle, options::MutateOpts, state::EntityState};
use plugin_api::BoxError;
use std::{
    collections::HashSet,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

/// True once an engine of this process is bound: from then on a missing handle is a mistake.
static ENGINE: AtomicBool = AtomicBool::new(false);

pub(crate) fn engine_is_here() {
    ENGINE.store(true, Ordering::Relaxed);
}

/// [`EntityHandle::mutate`] with a handle; `apply` alone without one.
///
/// # Errors
/// See [`MutateError`]; without a handle only `Apply`.
pub async fn with_entity_write<S: EntityState>(
    handle: Option<&EntityHandle<S>>,
    id: &str,
    opts: MutateOpts,
    apply: impl AsyncFnOnce() -> Result<S, BoxError>,
) -> Result<S, MutateError> {
    match handle {
        Some(handle) => handle.mutate(id, opts, apply).await,
        None => {
            warn_once::<S>();
            apply().await.map_err(MutateError::Apply)
        }
    }
}

/// [`EntityHandle::remove`] with a handle; `apply` alone without one.
///
/// # Errors
/// As [`with_entity_write`].
pub async fn with_entity_remove<S: EntityState>(
    handle: Option<&EntityHandle<S>>,
    id: &str,
    opts: MutateOpts,
    apply: impl AsyncFnOnce() -> Result<(), BoxError>,
) -> Result<(), MutateError> {
    match handle {
        Some(handle) => handle.remove(id, opts, apply).await,
        None => {
            warn_once::<S>();
            apply().await.map_err(MutateError::Apply)
        }
    }
}

fn warn_once<S: EntityState>() {
    static WARNED: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
    if !ENGINE.load(Ordering::Relaxed) {
        return;
    }
    let mut warned = WARNED.lock().expect("warned kinds");
    if warned.get_or_insert_default().insert(S::KIND) {
        tracing::warn!(
            kind = S::KIND,
            "An entity is written without its handle although the engine is present: its changes reach nobody."
        );
    }
}
