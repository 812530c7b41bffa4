//! The `health` entity: a system's aggregate, computed on read, written through one gate.
//!
//! There is no row to write: health follows from runs, assignments and pauses. So whatever changes
//! one of these goes through [`Writer`], which locks the systems it touches, reads their health,
//! lets the change happen, reads again, and records every difference together with the system's
//! history, all in one transaction (`healthcheck §7–8`).

use crate::{
    evaluate::decide::{self, Aggregate},
    status::Status,
    store::{health, transitions},
};
use async_trait::async_trait;
use automation_entity::{EntityHandle, EntityRead, EntityState, MutateError, MutateOpts};
use plugin_api::{
    BoxError, Clock, Conn, Db, Id, Tx,
    db::{DbError, is_lock_timeout},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, sync::Arc};

/// State of kind `health`; the id is the system's. Exists while the system has a check to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// The worst status of its checks.
    pub status: Status,
    /// Checks that are healthy.
    pub healthy_checks: u32,
    /// Enabled checks that are not paused.
    pub total_checks: u32,
}

impl EntityState for Health {
    const KIND: &'static str = "health";
    fn validate(&self) -> Result<(), String> {
        if self.total_checks == 0 || self.healthy_checks > self.total_checks {
            return Err(format!(
                "{} of {} checks are healthy",
                self.healthy_checks, self.total_checks
            ));
        }
        Ok(())
    }
}

impl From<Aggregate> for Health {
    fn from(a: Aggregate) -> Self {
        Self {
            status: a.status,
            healthy_checks: a.healthy,
            total_checks: a.total,
        }
    }
}

/// Computes the health of any number of systems in one query.
pub struct HealthRead;

#[async_trait]
impl EntityRead<Health> for HealthRead {
    async fn read(
        &self,
        at: Conn<'_>,
        ids: &[String],
    ) -> Result<HashMap<String, Health>, BoxError> {
        let counted = health::counted(at, ids).await?;
        Ok(counted
            .into_iter()
            .filter_map(|(id, checks)| Some((id, health::of(&checks)?.into())))
            .collect())
    }
}

/// Why something is written.
#[derive(Clone, Debug)]
pub struct Cause {
    /// Who acts; none is the caller of the running task.
    pub opts: MutateOpts,
    /// The configuration whose run or change it is.
    pub configuration_id: Option<Id>,
    /// A run, as opposed to a change of settings.
    pub is_run: bool,
}

impl Cause {
    /// A change of settings by whoever calls.
    pub fn change(configuration_id: Option<Id>) -> Self {
        Self {
            opts: MutateOpts::default(),
            configuration_id,
            is_run: false,
        }
    }
}

/// The gate through which health changes.
#[derive(Clone)]
pub struct Writer {
    db: Db,
    clock: Arc<dyn Clock>,
    handle: EntityHandle<Health>,
}

impl Writer {
    /// A gate over the plugin's database.
    pub fn new(db: Db, clock: Arc<dyn Clock>, handle: EntityHandle<Health>) -> Self {
        Self { db, clock, handle }
    }

    /// The kind's handle, for reading.
    pub fn handle(&self) -> &EntityHandle<Health> {
        &self.handle
    }

    /// Makes a change that may touch the health of `system_ids`, in a transaction of its own.
    ///
    /// # Errors
    /// See [`MutateError`]; nothing was written then.
    pub async fn write<T>(
        &self,
        system_ids: &[String],
        cause: Cause,
        apply: impl AsyncFnOnce(&mut Tx) -> Result<T, BoxError>,
    ) -> Result<T, MutateError> {
        let _turns = self.turns(system_ids).await?;
        let mut tx = self.begin().await?;
        let done = self.write_with(&mut tx, system_ids, cause, apply).await?;
        tx.commit().await.map_err(db_error)?;
        Ok(done)
    }

    /// Waits for this process's other writes of `system_ids`, until the answer is dropped. Taken before
    /// [`Writer::begin`]: however many runs of a system wait for each other, they occupy one connection.
    ///
    /// # Errors
    /// See [`MutateError`]; `Busy` after 30 s.
    pub async fn turns(&self, system_ids: &[String]) -> Result<impl Send + use<>, MutateError> {
        self.handle.turns(system_ids).await
    }

    /// Begins a transaction for [`Writer::write_with`].
    ///
    /// # Errors
    /// When the database refuses; `Busy` when it had no connection, or no turn to write, for 30 s.
    pub async fn begin(&self) -> Result<Tx, MutateError> {
        self.db.begin().await.map_err(before_write)
    }

    /// As [`Writer::write`], in a transaction that the caller commits, or drops after an error.
    ///
    /// # Errors
    /// See [`MutateError`].
    pub async fn write_with<T>(
        &self,
        tx: &mut Tx,
        system_ids: &[String],
        cause: Cause,
        apply: impl AsyncFnOnce(&mut Tx) -> Result<T, BoxError>,
    ) -> Result<T, MutateError> {
        let settled = self
            .handle
            .settle_with(tx, system_ids, cause.opts.clone(), apply)
            .await?;
        for change in &settled.entities {
            self.record(
                tx,
                &change.id,
                change.prev.map(|h| h.status),
                change.next.map(|h| h.status),
                &cause,
            )
            .await
            .map_err(db_error)?;
        }
        Ok(settled.value)
    }

    /// Writes the rows of the system's history that are due.
    async fn record(
        &self,
        tx: &mut Tx,
        system_id: &str,
        prev: Option<Status>,
        next: Option<Status>,
        cause: &Cause,
    ) -> plugin_api::db::Result<()> {
        let recorded = transitions::recorded(Conn::Tx(tx), system_id).await?;
        for transition in decide::transitions(recorded, prev, next, cause.is_run) {
            transitions::insert(
                Conn::Tx(tx),
                Id(self.clock.new_uuid()),
                system_id,
                cause.configuration_id,
                transition,
                self.clock.now(),
            )
            .await?;
        }
        Ok(())
    }
}

/// A database error before anything was written: waiting too long means that others are writing.
pub(crate) fn before_write(source: DbError) -> MutateError {
    if is_lock_timeout(&source) || matches!(source, DbError::PoolTimedOut) {
        return MutateError::Busy {
            kind: Health::KIND.into(),
            id: "*".into(),
        };
    }
    db_error(source)
}

/// A database error of the gate itself, named for the kind.
fn db_error(source: DbError) -> MutateError {
    MutateError::Db {
        kind: Health::KIND.into(),
        id: "*".into(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_in_vain_for_a_connection_means_that_others_are_writing() {
        let busy = before_write(DbError::PoolTimedOut);
        assert!(matches!(busy, MutateError::Busy { .. }), "{busy}");
        let gone = before_write(DbError::PoolClosed);
        assert!(matches!(gone, MutateError::Db { .. }), "{gone}");
    }
}
