//! Leases: who may walk a run, proved by an epoch that grows with every taking.

use super::times::Proof;
use crate::{commit::rows::FenceRow, shared::Shared};
use automation_core::RunId;
use plugin_api::{Db, Doc, Ts, Tx, db::DbError, fail};
use std::collections::HashSet;

plugin_api::statements! {
    /// Takes free or expired leases. `$4` are the runs.
    pub ACQUIRE = {
        sqlite: "update automation_run_state set lease_owner = $1, lease_expires_at = $2, last_heartbeat_at = $3, lease_epoch = lease_epoch + 1 where (lease_owner is null or lease_expires_at <= $3) and run_id in (select value from json_each($4)) returning run_id, lease_epoch, scope_snapshot, last_action_path",
        postgres: "update signalbox.automation_run_state set lease_owner = $1, lease_expires_at = $2, last_heartbeat_at = $3, lease_epoch = lease_epoch + 1 where (lease_owner is null or lease_expires_at <= $3) and run_id = any($4) returning run_id, lease_epoch, scope_snapshot, last_action_path",
    };
    /// Extends leases, never shortens one that a checkpoint has extended further meanwhile. `$4` are
    /// [`FenceRow`]s. A row that somebody has locked – a checkpoint, a waker – is left out rather than
    /// waited for, so that one run cannot keep the others from being renewed.
    pub RENEW = {
        sqlite: "update automation_run_state set lease_expires_at = max(lease_expires_at, $2), last_heartbeat_at = $3 from jsonb_each($4) r where automation_run_state.run_id = r.value->>'run_id' and automation_run_state.lease_epoch = r.value->>'epoch' and automation_run_state.lease_owner = $1 returning run_id",
        postgres: "with r as (select * from unnest($4::uuid[], $5::bigint[]) as r(run_id, epoch)), held as (select s.run_id from signalbox.automation_run_state s join r on s.run_id = r.run_id and s.lease_epoch = r.epoch where s.lease_owner = $1 order by s.run_id for update of s skip locked) update signalbox.automation_run_state s set lease_expires_at = greatest(s.lease_expires_at, $2), last_heartbeat_at = $3 from held where s.run_id = held.run_id returning s.run_id",
    };
    /// Which of these leases are this node's, whoever has their rows locked.
    pub OURS = {
        sqlite: "select s.run_id from jsonb_each($2) r join automation_run_state s on s.run_id = r.value->>'run_id' and s.lease_epoch = r.value->>'epoch' where s.lease_owner = $1",
        postgres: "select s.run_id from signalbox.automation_run_state s join unnest($2::uuid[], $3::bigint[]) as r(run_id, epoch) on s.run_id = r.run_id and s.lease_epoch = r.epoch where s.lease_owner = $1",
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
    /// The walk tree with its variables.
    pub snapshot: Doc,
    /// `dispatch §9.4`.
    pub last_path: Option<String>,
    /// From when it is held.
    pub proof: Proof,
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
    let proof = Proof::now(&*shared.clock);
    let mut ids: Vec<uuid::Uuid> = runs.iter().map(|r| r.uuid()).collect();
    ids.sort_unstable();
    ids.dedup();
    let rows: Vec<AcquiredRow> = tx
        .sql(ACQUIRE)
        .bind(shared.node.to_string())
        .bind(proof.at.plus_millis(shared.applier.lease.ttl_ms()))
        .bind(proof.at)
        .ids(&ids)
        .all()
        .await?;
    Ok(rows
        .into_iter()
        .map(|r| Acquired {
            run_id: r.run_id,
            epoch: r.lease_epoch,
            snapshot: r.scope_snapshot,
            last_path: r.last_action_path,
            proof,
        })
        .collect())
}

fn rows(leases: &[(RunId, i64)]) -> Vec<FenceRow> {
    leases
        .iter()
        .map(|(run_id, epoch)| FenceRow {
            run_id: *run_id,
            epoch: *epoch,
        })
        .collect()
}

/// Extends leases, counted from `now`; answers the runs whose lease was extended.
pub(super) async fn renew(
    shared: &Shared,
    db: &Db,
    leases: &[(RunId, i64)],
    now: Ts,
) -> Result<HashSet<RunId>, DbError> {
    fail::point("dispatch.renew").await?;
    let kept: Vec<RunId> = db
        .sql(RENEW)
        .bind(shared.node.to_string())
        .bind(now.plus_millis(shared.applier.lease.ttl_ms()))
        .bind(now)
        .rows(&rows(leases))
        .all()
        .await?;
    Ok(kept.into_iter().collect())
}

/// Those of the leases that are this node's.
pub(super) async fn ours(
    shared: &Shared,
    db: &Db,
    leases: &[(RunId, i64)],
) -> Result<HashSet<RunId>, DbError> {
    let ours: Vec<RunId> = db
        .sql(OURS)
        .bind(shared.node.to_string())
        .rows(&rows(leases))
        .all()
        .await?;
    Ok(ours.into_iter().collect())
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
