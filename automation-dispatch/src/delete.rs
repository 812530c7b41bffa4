//! Deleting an automation while its runs walk.

use crate::{cancel, shared::Shared, store::locks::LOCK_STATES};
use automation_core::{AutomationId, RunId, store::StoreError};
use plugin_api::db::{DbError, is_deadlock};
use std::sync::Arc;

/// Transactions that are tried when each is ended because it and another waited for each other.
const TRIES: u32 = 5;

/// Deletes an automation with everything that belongs to it. Drivers of its runs stop here at once, and
/// elsewhere with their next commit, which finds nothing to write to (`dispatch §3.12`).
pub async fn delete(
    shared: &Arc<Shared>,
    id: AutomationId,
    expected: Option<i64>,
) -> Result<(), StoreError> {
    let mut tried = 0;
    loop {
        tried += 1;
        match once(shared, id, expected).await {
            // A run that starts or is replaced in this very moment holds what this wants, and the
            // other way round: that cannot be ordered, only repeated.
            Err(StoreError::Db(error)) if is_deadlock(&error) && tried < TRIES => {
                tracing::debug!(automation = %id, %error, "The deletion of an automation is tried again.");
            }
            done => return done,
        }
    }
}

async fn once(
    shared: &Arc<Shared>,
    id: AutomationId,
    expected: Option<i64>,
) -> Result<(), StoreError> {
    let store = shared.automations.store();
    let mut tx = shared.db.begin().await?;
    let runs = lock_runs(&mut tx, id).await?;
    if let Err(error) = store.delete_in(&mut tx, id, expected).await {
        tx.rollback().await.ok();
        return Err(error);
    }
    let drivers = shared.clone();
    tx.after_commit(move || runs.into_iter().for_each(|run| drivers.drivers.stop(run)));
    tx.commit().await?;
    Ok(())
}

/// State rows first, like everybody (`dispatch §9.3.5`): a commit of a run holds its state while it writes
/// steps, which need the run that the deletion is about to take.
async fn lock_runs(
    tx: &mut plugin_api::Tx,
    automation: AutomationId,
) -> Result<Vec<RunId>, DbError> {
    let active: Vec<RunId> = tx
        .sql(cancel::ACTIVE)
        .bind(automation)
        .bind(None::<String>)
        .all()
        .await?;
    let ids: Vec<uuid::Uuid> = active.iter().map(|r| r.uuid()).collect();
    let _: Vec<RunId> = tx.sql(LOCK_STATES).ids(&ids).all().await?;
    Ok(active)
}
