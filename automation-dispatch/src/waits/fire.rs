//! Firing locks (`dispatch §9.3.5, §14.1`).

use crate::{
    drive::{self, acquire},
    shared::Shared,
    store::locks::{self, FireRow},
    walk::decide::FireReason,
};
use automation_core::{LockId, RunId};
use plugin_api::{Doc, Tx, db::DbError, fail};
use serde_json::Value;
use std::sync::Arc;

/// Topic of the hint that a lock was fired whose run another node is driving.
pub const FIRED: &str = "automation-fired";

/// A lock whose wait is over.
#[derive(Clone, Debug)]
pub struct Mark {
    /// Its run.
    pub run_id: RunId,
    /// The lock.
    pub lock: LockId,
    /// Why.
    pub reason: FireReason,
    /// What the event carried.
    pub payload: Option<Value>,
}

/// Marks locks as fired and takes the leases that are free; those runs are driven once `tx` commits.
/// A lock that somebody fired before stays theirs.
pub async fn fire(shared: &Arc<Shared>, tx: &mut Tx, marks: Vec<Mark>) -> Result<(), DbError> {
    if marks.is_empty() {
        return Ok(());
    }
    fail::point("dispatch.fire").await?;
    let mut runs: Vec<uuid::Uuid> = marks.iter().map(|m| m.run_id.uuid()).collect();
    runs.sort_unstable();
    runs.dedup();
    // The state row before the mark, as the holder locks it before it looks for marks: either it
    // sees this one, or the lease is found free below.
    let alive: Vec<RunId> = tx.sql(locks::LOCK_STATES).ids(&runs).all().await?;
    let rows: Vec<FireRow> = marks
        .into_iter()
        .filter(|m| alive.contains(&m.run_id))
        .map(|m| FireRow {
            id: m.lock,
            reason: m.reason.name().to_owned(),
            payload: m.payload.map(|payload| {
                let masks = shared.secrets.set(m.run_id.uuid().as_u128());
                Doc(masks.mask_json(payload).into_inner())
            }),
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let fired: Vec<RunId> = tx
        .sql(locks::FIRE)
        .bind(shared.clock.now())
        .rows(&rows)
        .all()
        .await?;
    let acquired = acquire(shared, tx, &fired).await?;
    let shared = shared.clone();
    tx.after_commit(move || {
        let mut elsewhere = false;
        for run in fired {
            // Somebody holds the lease: it sees the mark before it rests, and with this at once.
            let here = acquired.iter().any(|a| a.run_id == run) || shared.drivers.nudge(run);
            elsewhere |= !here;
        }
        if elsewhere {
            shared.hints.notify(FIRED);
        }
        for run in acquired {
            drive::resume(&shared, run);
        }
    });
    Ok(())
}
