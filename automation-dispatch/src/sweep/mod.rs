//! The sweeper (`dispatch §21`): the backstop for every lost signal, and what recovers the runs of a
//! node that died. Every node sweeps, every 30 s; each item is isolated, and cycles of one node never
//! overlap. What it finds it hands to the same code that the signal would have reached.

mod sql;

pub use sql::ALL;

use crate::{
    cancel::{self, Cause},
    concurrency::queue,
    drive::{self, acquire},
    dwell,
    shared::Shared,
    waits::{RecheckAsk, recheck},
};
use automation_core::{DwellId, LockId, RunId};
use futures::FutureExt;
use plugin_api::{BoxError, LoopReporter, Ts, db::DbError, queue::JobError};
use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

/// Between cycles.
pub const INTERVAL: Duration = Duration::from_secs(30);
/// Topic of the hint that a stopping node gave its leases back.
pub const RELEASED: &str = "automation-released";
/// Items of one category a cycle, oldest deadline first.
const BATCH: i64 = 500;
/// `until` locks re-checked a cycle although nothing says they are due.
const RECHECKS: i64 = 100;
/// Items of one transaction; a failing one is split.
const CHUNK: usize = 50;

/// Sweeps until the task is stopped.
pub async fn run(shared: Arc<Shared>, status: LoopReporter) {
    let released = shared.hints.listen(RELEASED);
    // A listener starts woken; the first sweep comes one interval after the start.
    released.wait().await;
    loop {
        let next = next_look(&shared).await;
        tokio::select! {
            () = shared.clock.sleep_until(next) => {}
            () = released.wait() => {}
        }
        // The backstop must outlive whatever it meets.
        match AssertUnwindSafe(cycle(&shared)).catch_unwind().await {
            Ok(handled) => status.pass(shared.clock.now(), handled, None),
            Err(_) => status.failed(shared.clock.now(), &"the sweep panicked"),
        }
    }
}

/// One interval on, or sooner: when the lease of another node's walking run ends, it may be that
/// nobody renews it. Who sets leases shorter than the interval wants to notice a death sooner.
async fn next_look(shared: &Arc<Shared>) -> Ts {
    let now = shared.clock.now();
    let interval = INTERVAL.min(shared.applier.lease.ttl());
    let interval = now.plus_millis(interval.as_millis() as i64);
    let first: Result<Option<Ts>, DbError> = shared
        .db
        .sql(sql::FIRST_EXPIRY)
        .bind(shared.node.to_string())
        .one()
        .await;
    match first {
        Ok(Some(at)) => at.clamp(now.plus_millis(1000), interval),
        _ => interval,
    }
}

/// One cycle, categories in order; answers how many items it handled.
pub async fn cycle(shared: &Arc<Shared>) -> u64 {
    let mut handled = 0;
    macro_rules! category {
        ($name:literal, $pass:expr) => {
            match $pass.await {
                Ok(n) => handled += n,
                Err(error) => {
                    tracing::error!(category = $name, %error, "A category of the sweep failed; the next cycle tries again.");
                }
            }
        };
    }
    if let Err(error) = shared.automations.refresh().await {
        tracing::warn!(%error, "The automations could not be refreshed.");
    }
    category!("locks", expired_locks(shared));
    category!("fired locks", fired_locks(shared));
    category!("queues", queue::advance_all(shared));
    category!("dwells", expired_dwells(shared));
    category!("pruning", crate::retention::in_sweep(shared));
    category!("stalled runs", stalled(shared));
    category!("old runs", too_old(shared));
    shared.entities.wake();
    handled
}

async fn expired_locks(shared: &Arc<Shared>) -> Result<u64, BoxError> {
    let now = shared.clock.now();
    let mut due: Vec<LockId> = shared
        .db
        .sql(sql::DUE_LOCKS)
        .bind(now)
        .bind(BATCH)
        .all()
        .await?;
    for lock in unchecked_locks(shared, now).await? {
        if !due.contains(&lock) {
            due.push(lock);
        }
    }
    for chunk in due.chunks(CHUNK) {
        if recheck_in_tx(shared, chunk).await.is_ok() {
            continue;
        }
        for lock in chunk {
            if let Err(error) = recheck_in_tx(shared, std::slice::from_ref(lock)).await {
                tracing::error!(%lock, %error, "A wait could not be swept; the next cycle tries again.");
            }
        }
    }
    Ok(due.len() as u64)
}

/// `until` locks that were not looked at for long, the longest first (`entity §19.4.6`).
async fn unchecked_locks(shared: &Arc<Shared>, now: Ts) -> Result<Vec<LockId>, DbError> {
    let after = shared.limits.recheck_ms;
    if after == 0 {
        return Ok(Vec::new());
    }
    let before = now.plus_millis(-after);
    let query = shared.db.sql(sql::UNCHECKED_LOCKS).bind(before);
    query.bind(RECHECKS).all().await
}

async fn recheck_in_tx(shared: &Arc<Shared>, locks: &[LockId]) -> Result<(), JobError> {
    let asks: Vec<RecheckAsk> = locks
        .iter()
        .map(|lock| RecheckAsk {
            lock: *lock,
            changed: None,
        })
        .collect();
    let mut tx = shared.db.begin().await?;
    recheck(shared, &mut tx, &asks).await?;
    tx.commit().await?;
    Ok(())
}

/// Fired locks whose run nobody drives: the waker died between its mark and the lease.
async fn fired_locks(shared: &Arc<Shared>) -> Result<u64, BoxError> {
    let runs: Vec<RunId> = shared
        .db
        .sql(sql::FIRED_WITHOUT_DRIVER)
        .bind(shared.clock.now())
        .bind(BATCH)
        .all()
        .await?;
    take_over(shared, &runs).await?;
    Ok(runs.len() as u64)
}

async fn take_over(shared: &Arc<Shared>, runs: &[RunId]) -> Result<(), DbError> {
    for chunk in runs.chunks(CHUNK) {
        let acquired = shared
            .db
            .tx(async |tx| acquire(shared, tx, chunk).await)
            .await?;
        for run in acquired {
            tracing::info!(run_id = %run.run_id, "A run without a driver is taken over.");
            drive::resume(shared, run);
        }
    }
    Ok(())
}

async fn expired_dwells(shared: &Arc<Shared>) -> Result<u64, BoxError> {
    let due: Vec<DwellId> = shared
        .db
        .sql(dwell::DUE)
        .bind(shared.clock.now())
        .bind(BATCH)
        .all()
        .await?;
    for chunk in due.chunks(CHUNK) {
        if expire_in_tx(shared, chunk).await.is_ok() {
            continue;
        }
        for dwell in chunk {
            if let Err(error) = expire_in_tx(shared, std::slice::from_ref(dwell)).await {
                tracing::error!(%dwell, %error, "A dwell could not be swept; the next cycle tries again.");
            }
        }
    }
    Ok(due.len() as u64)
}

async fn expire_in_tx(shared: &Arc<Shared>, dwells: &[DwellId]) -> Result<(), JobError> {
    let mut tx = shared.db.begin().await?;
    dwell::expire(shared, &mut tx, dwells).await?;
    tx.commit().await?;
    Ok(())
}

/// Runs that were active for longer than a run may be.
async fn too_old(shared: &Arc<Shared>) -> Result<u64, BoxError> {
    let before = shared.clock.now().plus_millis(-shared.limits.age_ms);
    let runs: Vec<RunId> = shared
        .db
        .sql(sql::TOO_OLD)
        .bind(before)
        .bind(BATCH)
        .all()
        .await?;
    for chunk in runs.chunks(CHUNK) {
        let db = &shared.db;
        db.tx(async |tx| cancel::cancel_in(shared, tx, chunk, Cause::TooOld).await)
            .await?;
    }
    Ok(runs.len() as u64)
}

/// `running` runs whose lease is free or has run out, oldest heartbeat first: recovered from their
/// checkpoint. One without a state row cannot be, and fails.
async fn stalled(shared: &Arc<Shared>) -> Result<u64, BoxError> {
    let now = shared.clock.now();
    let lost = shared
        .db
        .sql(sql::FAIL_STATELESS)
        .bind(now)
        .bind(now.plus_millis(-shared.applier.lease.ttl_ms()))
        .execute()
        .await?;
    if lost > 0 {
        tracing::error!(
            runs = lost,
            "Runs without stored state could not be recovered and have failed."
        );
    }
    let runs: Vec<RunId> = shared
        .db
        .sql(sql::STALLED)
        .bind(now)
        .bind(BATCH)
        .all()
        .await?;
    take_over(shared, &runs).await?;
    Ok(lost + runs.len() as u64)
}

/// At start: what this node may take over at once, without waiting for a cycle.
pub async fn first(shared: &Arc<Shared>) -> Result<(), BoxError> {
    fired_locks(shared).await?;
    queue::advance_all(shared).await?;
    stalled(shared).await?;
    Ok(())
}
