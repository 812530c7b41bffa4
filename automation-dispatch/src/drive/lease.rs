//! Leases: who may walk a run, proved by an epoch that grows with every taking.

use crate::{commit::apply::LEASE_MS, shared::Shared};
use automation_core::RunId;
use plugin_api::{Doc, Ts, Tx, db::DbError};
use std::collections::HashSet;

plugin_api::statements! {
    /// Takes free or expired leases. `$4` are the runs.
    pub ACQUIRE = {
        sqlite: "update automation_run_state set lease_owner = $1, lease_expires_at = $2, last_heartbeat_at = $3, lease_epoch = lease_epoch + 1 where (lease_owner is null or lease_expires_at <= $3) and run_id in (select value from json_each($4)) returning run_id, lease_epoch, scope_snapshot, last_action_path",
        postgres: "update signalbox.automation_run_state set lease_owner = $1, lease_expires_at = $2, last_heartbeat_at = $3, lease_epoch = lease_epoch + 1 where (lease_owner is null or lease_expires_at <= $3) and run_id = any($4) returning run_id, lease_epoch, scope_snapshot, last_action_path",
    };
    pub RENEW = {
        sqlite: "update automation_run_state set lease_expires_at = $2, last_heartbeat_at = $3 where lease_owner = $1 and exists (select 1 from json_each($4) r where r.value->>'run_id' = run_id and r.value->>'epoch' = lease_epoch) returning run_id",
        postgres: "with r as (select * from unnest($4::uuid[], $5::bigint[]) as r(run_id, epoch)), held as (select s.run_id from signalbox.automation_run_state s join r on s.run_id = r.run_id and s.lease_epoch = r.epoch where s.lease_owner = $1 order by s.run_id for update of s) update signalbox.automation_run_state s set lease_expires_at = $2, last_heartbeat_at = $3 from held where s.run_id = held.run_id returning s.run_id",
    };
    pub EXPIRIES = {
        sqlite: "select run_id, lease_expires_at from automation_run_state where lease_owner = $1",
        postgres: "select run_id, lease_expires_at from signalbox.automation_run_state where lease_owner = $1",
    };
    pub RELEASE_ALL = "update signalbox.automation_run_state set lease_owner = null, lease_expires_at = null where lease_owner = $1";
    /// SQLite only: no other process can share the file's runs, so every lease is of a dead one.
    pub RELEASE_DEAD = "update signalbox.automation_run_state set lease_owner = null, lease_expires_at = null where lease_owner is not null and lease_owner <> $1";
}

plugin_api::row! {
    struct AcquiredRow { run_id: RunId, lease_epoch: i64, scope_snapshot: Doc, last_action_path: Option<String> }
}

/// A lease just taken, with the checkpoint that goes with it.
#[derive(Clone, Debug)]
pub struct Acquired {
    /// The run.
    pub run_id: RunId,
    /// The fence of everything its driver writes.
    pub epoch: i64,
    /// When it was taken.
    pub at: Ts,
    /// The walk tree with its variables.
    pub snapshot: Doc,
    /// `dispatch §9.4`.
    pub last_path: Option<String>,
}

/// Takes what is free of these runs' leases.
pub async fn acquire(
    shared: &Shared,
    tx: &mut Tx,
    runs: &[RunId],
) -> Result<Vec<Acquired>, DbError> {
    if runs.is_empty() || shared.drivers.is_closing() {
        return Ok(Vec::new());
    }
    let now = shared.clock.now();
    let mut ids: Vec<uuid::Uuid> = runs.iter().map(|r| r.uuid()).collect();
    ids.sort_unstable();
    ids.dedup();
    let rows: Vec<AcquiredRow> = tx
        .sql(ACQUIRE)
        .bind(shared.node.to_string())
        .bind(now.plus_millis(LEASE_MS))
        .bind(now)
        .ids(&ids)
        .all()
        .await?;
    Ok(rows
        .into_iter()
        .map(|r| Acquired {
            run_id: r.run_id,
            epoch: r.lease_epoch,
            at: now,
            snapshot: r.scope_snapshot,
            last_path: r.last_action_path,
        })
        .collect())
}

/// Extends leases; answers the runs that are still held.
pub async fn renew(shared: &Shared, held: &[(RunId, i64)]) -> Result<HashSet<RunId>, DbError> {
    let now = shared.clock.now();
    let rows: Vec<crate::commit::rows::FenceRow> = held
        .iter()
        .map(|(run_id, epoch)| crate::commit::rows::FenceRow {
            run_id: *run_id,
            epoch: *epoch,
        })
        .collect();
    let kept: Vec<RunId> = shared
        .batch
        .sql(RENEW)
        .bind(shared.node.to_string())
        .bind(now.plus_millis(LEASE_MS))
        .bind(now)
        .rows(&rows)
        .all()
        .await?;
    Ok(kept.into_iter().collect())
}

/// After a failed renewal: a driver whose lease may have run out must not act any more, whether the
/// database can be asked or not.
pub async fn stop_expired(shared: &Shared, held: &[(RunId, i64)]) {
    let rows: Result<Vec<ExpiryRow>, DbError> = shared
        .db
        .sql(EXPIRIES)
        .bind(shared.node.to_string())
        .all()
        .await;
    let now: Ts = shared.clock.now();
    match rows {
        Ok(rows) => {
            for r in rows
                .iter()
                .filter(|r| r.lease_expires_at.is_none_or(|at| at <= now))
            {
                shared.drivers.stop(r.run_id);
            }
        }
        Err(_) => {
            for (run, _) in held {
                shared.drivers.stop(*run);
            }
        }
    }
}

plugin_api::row! {
    struct ExpiryRow { run_id: RunId, lease_expires_at: Option<Ts> }
}

/// Gives every lease of this process back.
pub async fn release_all(shared: &Shared) -> Result<(), DbError> {
    shared
        .db
        .sql(RELEASE_ALL)
        .bind(shared.node.to_string())
        .execute()
        .await
        .map(drop)
}

/// At start on a database that only this process can use: leases left by a crash are free.
pub async fn release_dead(shared: &Shared) -> Result<(), DbError> {
    shared
        .db
        .sql(RELEASE_DEAD)
        .bind(shared.node.to_string())
        .execute()
        .await
        .map(drop)
}
