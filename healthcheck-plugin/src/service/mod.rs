//! What people and automations can do with checks. Each operation validates, makes its change
//! through the gate of `health`, then tells the scheduler and other plugins.
//!
//! Operations on one configuration take its lock first, then those of the systems it checks, in
//! order of their ids: so the list of systems cannot change under a pause or a deletion. Operations
//! on one system wait for its turn in this process before all of that.

mod assignments;
mod checks;
mod queries;

pub use assignments::{AssignmentInput, NotificationPolicy};
pub use queries::{CheckStatus, SystemHealth};

use crate::{
    entity::Writer,
    events::{ASSIGNMENT_CHANGED, AssignmentChanged},
    executor::schedule::Scheduler,
    strategies::Strategies,
    validate::Issue,
};
use automation_entity::{MutateError, ReadError};
use plugin_api::{
    BoxError, Clock, Db, Id, Services, Tx, db::DbError, hook::Hooks, queue::QueueError,
};
use std::sync::Arc;

/// Why an operation was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// No configuration with this id or name.
    #[error("check {0:?} does not exist")]
    NotFound(String),
    /// The system is not assigned to the configuration.
    #[error("Assignment not found: {system_id} ↔ {configuration_id}")]
    NotAssigned {
        /// The system.
        system_id: String,
        /// The configuration, as it was named.
        configuration_id: String,
    },
    /// The catalog knows no such system.
    #[error("system {0:?} does not exist")]
    UnknownSystem(String),
    /// Another configuration has the name, perhaps in another case.
    #[error("a check named {0:?} exists already")]
    NameTaken(String),
    /// A run was asked for that the executor would skip.
    #[error("{0}")]
    NotRunning(String),
    /// The input does not validate.
    #[error("the check is not valid: {}", first(.0))]
    Invalid(Vec<Issue>),
    /// The database refused.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The write through the entity's handle failed.
    #[error(transparent)]
    Entity(MutateError),
    /// Health could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A run could not be enqueued.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The change is stored, but its schedule is not in step with it; the same request again, or a
    /// restart, makes up for it.
    #[error("the schedule of a check could not be brought in step: {0}")]
    Schedule(BoxError),
    /// A document of ours does not serialise or cannot be read back.
    #[error("a stored document cannot be handled: {0}")]
    Document(#[from] serde_json::Error),
    /// The catalog did not answer.
    #[error("the catalog did not answer: {0}")]
    Catalog(BoxError),
}

fn first(issues: &[Issue]) -> String {
    issues
        .first()
        .map_or(String::new(), |i| format!("{}: {}", i.pointer(), i.message))
}

impl From<MutateError> for CheckError {
    /// An operation's own error comes back as itself.
    fn from(e: MutateError) -> Self {
        match e {
            MutateError::Apply(own) => match own.downcast::<CheckError>() {
                Ok(own) => *own,
                Err(other) => match other.downcast::<DbError>() {
                    Ok(db) => CheckError::Db(*db),
                    Err(other) => CheckError::Entity(MutateError::Apply(other)),
                },
            },
            other => CheckError::Entity(other),
        }
    }
}

/// The operations. Cheap to clone.
#[derive(Clone)]
pub struct Checks {
    pub(crate) db: Db,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) strategies: Arc<Strategies>,
    pub(crate) writer: Writer,
    pub(crate) scheduler: Scheduler,
    pub(crate) hooks: Hooks,
    pub(crate) services: Services,
}

impl Checks {
    /// Makes concurrent operations on one configuration follow each other.
    async fn lock(tx: &mut Tx, configuration_id: Id) -> Result<(), DbError> {
        tx.lock(&format!("healthcheck.configuration:{configuration_id}"))
            .await
    }

    /// Brings the recurring job of an assignment in step with what is stored. A paused check keeps
    /// its schedule (`healthcheck §5.1.4`).
    async fn reschedule(&self, system_id: &str, id: Id) -> Result<(), CheckError> {
        let followed = self.scheduler.follow(system_id, id).await;
        followed.map_err(CheckError::Schedule)
    }

    /// Tells other plugins inside the transaction of the change.
    async fn announce(&self, tx: &mut Tx, system_id: &str, id: Id) -> Result<(), BoxError> {
        let payload = AssignmentChanged {
            system_id: system_id.to_owned(),
            configuration_id: id.to_string(),
        };
        self.hooks
            .emit_in(tx, &ASSIGNMENT_CHANGED, &payload)
            .await?;
        Ok(())
    }
}
