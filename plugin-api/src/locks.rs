//! Advisory locks for plugins (`plugins §11`). Correctness across crashes never rests on them: it
//! comes from unique keys and conditional updates.

use crate::{
    db::{DbError, Tx},
    error::BoxError,
};
use sha2::{Digest, Sha256};
use std::{future::Future, pin::Pin, sync::Arc};

/// The 64-bit key of a lock text: the first eight bytes of its SHA-256.
pub fn key_hash(key: &str) -> i64 {
    let d = Sha256::digest(key.as_bytes());
    i64::from_be_bytes(d[..8].try_into().expect("32 bytes"))
}

/// Why a lock could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The database refused.
    #[error("lock {key}: {source}")]
    Db {
        /// The key.
        key: String,
        /// The cause.
        source: DbError,
    },
    /// Waited too long: 30 s for the lock, or 5 s for a connection of the lock pool.
    #[error("lock {key} is busy")]
    Busy {
        /// The key.
        key: String,
    },
    /// The running task already holds it; locks are not re-entrant.
    #[error("lock {key} is already held by this task")]
    Reentrant {
        /// The key.
        key: String,
    },
    /// The section itself failed; its transaction was rolled back.
    #[error("{0}")]
    Section(BoxError),
}

/// A held lock; released on [`LockGuard::release`], on drop, or when its connection dies.
#[async_trait::async_trait]
pub trait LockGuard: Send + Sync {
    /// Ends when the lock was lost (its connection died): the holder must stop.
    async fn lost(&self);
    /// Releases now.
    async fn release(self: Box<Self>);
}

/// A section run under [`AdvisoryLocks::with_xact_lock`].
pub type Section<'a> = Box<
    dyn for<'t> FnOnce(
            &'t mut Tx,
        ) -> Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send + 't>>
        + Send
        + 'a,
>;

/// The lock service. Keys are texts with the plugin id in front (`incident.dedupe:<system>`).
#[async_trait::async_trait]
pub trait AdvisoryLocks: Send + Sync {
    /// At once: a guard, or none when somebody holds it. For long sections (elections).
    async fn try_acquire(&self, key: &str) -> Result<Option<Box<dyn LockGuard>>, LockError>;
    /// Waits, runs the section in one transaction, releases at its end. Short sections only; the
    /// section reads and writes on its `tx`.
    async fn with_xact_lock(&self, key: &str, section: Section<'_>) -> Result<(), LockError>;
}

/// Shared handle.
pub type Locks = Arc<dyn AdvisoryLocks>;
