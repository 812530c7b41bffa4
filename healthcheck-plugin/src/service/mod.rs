//! What people and automations can do with checks. Each operation validates, makes its change
//! through the gate of `health`, then tells the scheduler and other plugins.
//!
//! Operations on one configuration take its lock first, then those of the systems it checks, in
//! order of their ids: so the list of systems cannot change under a pause or a deletion.

mod assignments;
mod checks;
mod queries;

pub use assignments::{AssignmentInput, NotificationPolicy};
pub use queries::{CheckStatus, SystemHealth};

use crate::{
    entity::Writer,
    events::{ASSIGNMENT_CHANGED, AssignmentChanged},
    executor::schedule::Scheduler,
    store::{
        assignments::{self as rows, Schedulable},
        configurations::Configuration,
    },
    strategies::Strategies,
    validate::Issue,
};
use automation_entity::{MutateError, ReadError};
use plugin_api::{
    BoxError, Clock, Conn, Db, Id, Services, Tx, db::DbError, hook::Hooks, queue::QueueError,
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
    /// The scheduler could not be told; a restart makes up for it.
    #[error(transparent)]
    Queue(#[from] QueueError),
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
    async fn reschedule(&self, system_id: &str, c: &Configuration) -> Result<(), CheckError> {
        let stored = rows::get(Conn::Db(&self.db), system_id, c.id).await?;
        let Some(assignment) = stored.filter(|a| a.enabled) else {
            return Ok(self.scheduler.cancel(system_id, c.id).await?);
        };
        let runs = crate::store::runs::newest(Conn::Db(&self.db), system_id, c.id).await?;
        let schedulable = Schedulable {
            system_id: assignment.system_id,
            configuration_id: c.id,
            interval_seconds: c.interval_seconds,
            last_run_at: runs.first().map(|r| r.1),
        };
        Ok(self.scheduler.ensure(&schedulable).await?)
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
