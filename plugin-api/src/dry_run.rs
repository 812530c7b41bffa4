//! Trying a request without keeping what it writes: the same code on the same database, every
//! transaction rolled back where it would have been committed.
//!
//! The mark is task-local, carried by [`spawn`](crate::spawn), and looked at by the one place that
//! commits ([`Tx::commit`](crate::Tx::commit)) and the one that writes without a transaction
//! ([`Query`](crate::db::Query)): code inside needs to know nothing of it. What code reads back after
//! its own commit is not there. Only routes that say so take a dry run
//! ([`Routes::rehearsable`](crate::http::Routes::rehearsable)): one that did more than write to the
//! database could not be taken back.

use std::future::Future;

tokio::task_local! {
    static DRY_RUN: bool;
}

/// Runs a future none of whose writes stay.
pub async fn dry_run<F: Future>(future: F) -> F::Output {
    DRY_RUN.scope(true, future).await
}

/// True inside [`dry_run`].
pub fn is_dry_run() -> bool {
    DRY_RUN.try_with(|dry| *dry).unwrap_or(false)
}

/// A future for another task that stays inside the dry run of this one, if there is one.
pub(crate) fn inherit<F: Future>(future: F) -> impl Future<Output = F::Output> {
    DRY_RUN.scope(is_dry_run(), future)
}
