//! Data migrations: stored automations of older releases brought to what this one understands.
//!
//! Unlike a schema migration, one of these reads documents, so it is code. Each runs once per
//! database, at boot, before anything is dispatched: in one transaction that takes one lock, looks
//! whether it is recorded already, does its work and records itself beside the schema migrations.
//! Each is harmless to repeat nevertheless. A new one is a file and a line in [`MIGRATIONS`].

mod auto_incident;
mod flapping;

use super::{AutomationStore, StoreError, TOPIC};
use crate::ids::AutomationId;
use plugin_api::{Ts, Tx, db::DbError};

/// Whose rows these are in `signalbox.schema_migrations`.
const OWNER: &str = "automation-data";

/// Two nodes that start together take turns.
const LOCK: &str = "signalbox.automation-data";

plugin_api::statements! {
    APPLIED = "select count(*) from signalbox.schema_migrations where owner = $1 and number = $2";
    RECORD = "insert into signalbox.schema_migrations (owner, number, name, checksum, applied_at) values ($1, $2, $3, '', $4)";
}

/// The migrations in order; numbers are never given twice.
const MIGRATIONS: [(i64, Migration); 2] = [(1, Migration::Flapping), (2, Migration::AutoIncident)];

/// A data migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Migration {
    /// `definition §16`.
    Flapping,
    /// `domains §4.10`.
    AutoIncident,
}

impl Migration {
    fn name(self) -> &'static str {
        match self {
            Migration::Flapping => "0001_flapping",
            Migration::AutoIncident => "0002_auto_incident",
        }
    }
}

/// What a run of the data migrations did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataReport {
    /// Automations whose definition was rewritten.
    pub rewritten: Vec<AutomationId>,
    /// Those of them that lost a filter of their own to the rewrite.
    pub filters_replaced: Vec<AutomationId>,
    /// Enabled automations that still name an event that is gone.
    pub left: Vec<AutomationId>,
    /// Automations that were deleted.
    pub deleted: Vec<AutomationId>,
}

impl AutomationStore {
    /// Runs the data migrations this database has not seen. Cheap when there are none.
    ///
    /// # Errors
    /// When the database refuses; what one migration did is then undone, and the next boot tries
    /// again.
    pub async fn migrate_data(&self) -> Result<DataReport, StoreError> {
        let mut report = DataReport::default();
        for (number, migration) in MIGRATIONS {
            if self.is_applied(number).await? {
                continue;
            }
            let mut tx = self.db.begin().await?;
            let done = self.apply(&mut tx, number, migration, &mut report).await;
            match done {
                Ok(()) => {
                    let hints = self.hints.clone();
                    tx.after_commit(move || hints.notify(TOPIC));
                    tx.commit().await?;
                }
                Err(e) => {
                    tx.rollback().await.ok();
                    return Err(e.into());
                }
            }
        }
        Ok(report)
    }

    async fn is_applied(&self, number: i64) -> Result<bool, DbError> {
        let query = self.db.sql(APPLIED).bind(OWNER.to_owned()).bind(number);
        Ok(query.one::<i64>().await? > 0)
    }

    async fn apply(
        &self,
        tx: &mut Tx,
        number: i64,
        migration: Migration,
        report: &mut DataReport,
    ) -> Result<(), DbError> {
        tx.lock(LOCK).await?;
        let query = tx.sql(APPLIED).bind(OWNER.to_owned()).bind(number);
        if query.one::<i64>().await? > 0 {
            return Ok(());
        }
        let now: Ts = self.clock.now();
        match migration {
            Migration::Flapping => flapping::apply(tx, now, report).await?,
            Migration::AutoIncident => auto_incident::apply(tx, report).await?,
        }
        tx.sql(RECORD)
            .bind(OWNER.to_owned())
            .bind(number)
            .bind(migration.name().to_owned())
            .bind(now)
            .execute()
            .await?;
        Ok(())
    }
}

/// Every statement of the data migrations, for the test that prepares them on both engines.
pub fn statements() -> Vec<(&'static str, plugin_api::db::Sql)> {
    [ALL, flapping::ALL, auto_incident::ALL].concat()
}
