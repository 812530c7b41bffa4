//! Writing although the database is away for a moment.

use crate::{handle::EntityHandle, state::EntityState};
use automation_core::registry::Cancel;
use std::{fmt::Display, time::Duration};

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);

impl<S: EntityState> EntityHandle<S> {
    /// For actions: writes, and writes again while the error is a `passing` one and nobody cancels.
    /// A run must not fail because of a restart of the database that others get over. An error of a
    /// commit may only mean that its answer was lost, so `write` must be one that may be repeated.
    ///
    /// # Errors
    /// The first that does not pass; the last one when cancelled.
    pub async fn patiently<T, E: Display, F>(
        &self,
        cancel: &Cancel,
        passing: impl Fn(&E) -> bool + Send,
        mut write: impl FnMut() -> F + Send,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>> + Send,
    {
        let mut cancel = cancel.clone();
        loop {
            let error = match write().await {
                Err(error) if passing(&error) => error,
                done => return done,
            };
            let Some(bound) = self.core.bound() else {
                return Err(error);
            };
            tracing::warn!(kind = self.kind(), %error, "A write of a run does not go through; it is tried again.");
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(error),
                () = bound.shared.clock.sleep(PAUSE) => {}
            }
        }
    }
}
