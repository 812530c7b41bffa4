//! What can go wrong when a kind is defined or an entity written.

use plugin_api::{
    BoxError, PluginId,
    db::{DbError, is_lock_timeout, is_unavailable},
    http::Problem,
};
use std::error::Error;

/// Why a kind was refused; the boot fails (`entity §3`).
#[derive(Debug, thiserror::Error)]
pub enum DefineError {
    /// Empty, blank, or not of the form a kind has.
    #[error("plugin {plugin}: entity kind {kind:?} must match ^[a-z][a-z0-9_-]{{0,63}}$")]
    InvalidKind {
        /// Who defined it.
        plugin: PluginId,
        /// The kind.
        kind: String,
    },
    /// Defined before.
    #[error("plugin {plugin}: entity kind {kind} is already defined by plugin {owner}")]
    DuplicateKind {
        /// Who came second.
        plugin: PluginId,
        /// The kind.
        kind: String,
        /// Who came first.
        owner: PluginId,
    },
    /// The state has no named top-level fields.
    #[error(
        "plugin {plugin}: the state of entity kind {kind} must be an object with named fields, but it is {got}"
    )]
    StateNotObject {
        /// Who defined it.
        plugin: PluginId,
        /// The kind.
        kind: String,
        /// What the schema says instead.
        got: String,
    },
    /// Names that begin with `@@` belong to the transition log.
    #[error("plugin {plugin}: field {field:?} of entity kind {kind} begins with the reserved @@")]
    ReservedField {
        /// Who defined it.
        plugin: PluginId,
        /// The kind.
        kind: String,
        /// The field.
        field: String,
    },
    /// Kinds must be known before the first dispatch.
    #[error("plugin {plugin}: entity kind {kind} must be defined in `register` or `init`")]
    TooLate {
        /// Who defined it.
        plugin: PluginId,
        /// The kind.
        kind: String,
    },
    /// A subscription, deriver or mapper was refused.
    #[error("plugin {plugin}, entity kind {kind:?}: {reason}")]
    Registration {
        /// The caller.
        plugin: PluginId,
        /// The kind it named.
        kind: String,
        /// What is wrong.
        reason: String,
    },
}

/// Why a write through a handle failed (`entity §6`).
///
/// Except for `InvalidState`, `Inconsistent` and `Db` of a write whose plugin commits on its own,
/// every error means that nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum MutateError {
    /// Before the engine's `init`; `apply` was not called.
    #[error("entity kind {kind} cannot be written before `init`")]
    NotReady {
        /// The kind.
        kind: String,
    },
    /// Empty or `*`.
    #[error("{id:?} cannot be the id of an entity of kind {kind}")]
    InvalidId {
        /// The kind.
        kind: String,
        /// The id.
        id: String,
    },
    /// Another writer held the entity for 30 s; `apply` was not called.
    #[error("entity {kind}:{id} is busy")]
    Busy {
        /// The kind.
        kind: String,
        /// The id.
        id: String,
    },
    /// The running task is inside a write of this very entity.
    #[error("entity {kind}:{id} is being written by the code that now writes it again")]
    Reentrant {
        /// The kind.
        kind: String,
        /// The id.
        id: String,
    },
    /// A transaction of another write is open in this task; a second one could wait for it for ever.
    #[error(
        "entity {kind}:{id} is written inside the transaction of another write: pass that transaction to `mutate_with` or `remove_with`"
    )]
    Nested {
        /// The kind.
        kind: String,
        /// The id.
        id: String,
    },
    /// The id contains a secret of the run; ids are never masked.
    #[error("the id of an entity of kind {kind} contains a secret of the run")]
    SecretInId {
        /// The kind.
        kind: String,
    },
    /// The kind's reader failed.
    #[error("reading the state before the write: {0}")]
    Read(#[source] BoxError),
    /// `apply` failed; the plugin's own error, to be downcast.
    #[error("{0}")]
    Apply(#[source] BoxError),
    /// The new state was refused. By `mutate` the plugin's write stands; nothing was recorded.
    #[error("the new state of entity {kind}:{id} is invalid: {reason}")]
    InvalidState {
        /// The kind.
        kind: String,
        /// The id.
        id: String,
        /// What is wrong.
        reason: String,
    },
    /// Reading right after the write answered something else (only with `VerifyReads::Fail`).
    #[error(
        "entity {kind}:{id} reads differently from what was just written (fields {fields:?}): its reader does not answer from where `apply` writes"
    )]
    Inconsistent {
        /// The kind.
        kind: String,
        /// The id.
        id: String,
        /// Fields that differ.
        fields: Vec<String>,
    },
    /// The database refused.
    #[error("entity {kind}:{id}: {source}")]
    Db {
        /// The kind.
        kind: String,
        /// The id.
        id: String,
        /// The cause.
        source: DbError,
    },
}

impl MutateError {
    /// True when the same write may well go through in a moment: the database is away, or others hold
    /// what it needs. Says nothing about whether it did: the answer of a commit can be lost.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Busy { .. })
            || self
                .database()
                .is_some_and(|e| is_unavailable(e) || is_lock_timeout(e))
    }

    /// The error of the database that is behind it, also of one that a reader or `apply` met, if
    /// their own errors name it as their source.
    fn database(&self) -> Option<&DbError> {
        let mut cause = self.source();
        while let Some(e) = cause {
            if let Some(e) = e.downcast_ref() {
                return Some(e);
            }
            cause = e.source();
        }
        None
    }
}

impl From<MutateError> for Problem {
    /// 503 for what passes, 500 for the rest: what a plugin's own error means is for the plugin to say.
    fn from(e: MutateError) -> Self {
        if !e.is_passing() {
            return Self::internal(&e);
        }
        match e.database() {
            Some(db) if is_unavailable(db) => Self::unavailable("The database does not answer."),
            _ => Self::unavailable("This is being written by others; try again."),
        }
    }
}

/// Why a question about an entity could not be answered.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Before the engine's `init`.
    #[error("entity kind {kind} cannot be read before `init`")]
    NotReady {
        /// The kind.
        kind: String,
    },
    /// The kind's state has no such field.
    #[error("entity kind {kind} has no field {field:?}")]
    UnknownField {
        /// The kind.
        kind: String,
        /// The field.
        field: String,
    },
    /// The kind's reader failed.
    #[error("reading entities of kind {kind}: {source}")]
    Read {
        /// The kind.
        kind: String,
        /// The cause.
        source: BoxError,
    },
    /// The transition log could not be read.
    #[error("transitions of kind {kind}: {source}")]
    Store {
        /// The kind.
        kind: String,
        /// The cause.
        source: BoxError,
    },
}
