//! Which entities the running task is writing: a nested write of the same one is an error, never a
//! deadlock (`entity §6.2`).

use super::{Place, Write, lock_key};
use crate::{error::MutateError, state::ErasedKind};
use std::{future::Future, sync::Arc};

struct Frame {
    key: String,
    in_transaction: bool,
    outer: Option<Arc<Frame>>,
}

tokio::task_local! {
    static FRAME: Arc<Frame>;
}

fn current() -> Option<Arc<Frame>> {
    FRAME.try_with(Arc::clone).ok()
}

/// Refuses a write that could only wait for the one it is inside of: of the same entity, or one that
/// opens a second transaction while the first is open (SQLite has one writer).
pub(super) fn check(write: &Write<'_>, place: Place) -> Result<(), MutateError> {
    let (kind, id) = (write.kind.kind().to_owned(), write.id.clone());
    let key = lock_key(&kind, &id);
    let mut in_transaction = false;
    let mut frame = current();
    while let Some(f) = frame {
        if f.key == key {
            return Err(MutateError::Reentrant { kind, id });
        }
        in_transaction |= f.in_transaction;
        frame = f.outer.clone();
    }
    if in_transaction && place != Place::GivenTransaction {
        return Err(MutateError::Nested { kind, id });
    }
    Ok(())
}

/// Runs `apply` as part of a write.
pub(crate) async fn within<F: Future>(write: &Write<'_>, place: Place, apply: F) -> F::Output {
    let frame = Frame {
        key: write.lock_key(),
        in_transaction: place != Place::Elsewhere,
        outer: current(),
    };
    FRAME.scope(Arc::new(frame), apply).await
}

/// Runs `apply` as part of several writes in one transaction that the caller holds.
pub(crate) async fn within_all<F: Future>(writes: &[Write<'_>], apply: F) -> F::Output {
    let innermost = writes.iter().fold(current(), |outer, write| {
        Some(Arc::new(Frame {
            key: write.lock_key(),
            in_transaction: true,
            outer,
        }))
    });
    match innermost {
        Some(frame) => FRAME.scope(frame, apply).await,
        None => apply.await,
    }
}
