//! Keeping leases while their runs walk, and giving up in time when that fails (`dispatch §9.3.2`).
//!
//! Two loops that share nothing but the list of drivers. One renews: a single statement for all runs of
//! this process, on a connection of its own, with a time limit, tried again every few seconds. A failed
//! attempt stops nobody. The other knows no database at all: it stops the drivers whose lease was last
//! known to be held too long ago, so that a database which is gone, hangs or answers nonsense cannot
//! keep this node acting on runs that another one may have taken over.

use super::{
    lease,
    times::{LeaseTimes, Proof},
};
use crate::shared::Shared;
use automation_core::RunId;
use plugin_api::{Db, LoopReporter, db::DbError, timeout};
use std::{collections::HashSet, sync::Arc};

/// Keeps the leases of this process for as long as it is polled; reports renewals, with the runs driven
/// now as backlog.
pub async fn keep(shared: Arc<Shared>, report: LoopReporter) {
    tokio::join!(renewing(&shared, &report), lapsing(&shared));
}

async fn lapsing(shared: &Arc<Shared>) {
    loop {
        shared.drivers.until_lapse(&*shared.clock).await;
        let stopped = shared.drivers.stop_lapsed(&*shared.clock);
        tracing::error!(
            runs = stopped,
            "Leases could not be renewed; their drivers stop before another node can take the runs over."
        );
    }
}

async fn renewing(shared: &Arc<Shared>, report: &LoopReporter) {
    let times = shared.applier.lease;
    let clock = &*shared.clock;
    let mut db = connection(shared);
    loop {
        shared.drivers.until_renewal(clock).await;
        let begun = clock.monotonic();
        let proven = match timeout(clock, times.attempt(), attempt(shared, &db, times)).await {
            Ok(Ok(renewal)) => {
                let driven = shared.drivers.count() as u64;
                report.pass(clock.now(), renewal.kept, Some(driven));
                renewal.complete
            }
            Ok(Err(error)) => {
                report.failed(clock.now(), &error);
                tracing::warn!(%error, "Leases could not be renewed; it is tried again.");
                false
            }
            Err(limit) => {
                report.failed(clock.now(), &limit);
                tracing::warn!(%limit, "Leases could not be renewed; it is tried again on another connection.");
                db = connection(shared);
                false
            }
        };
        if !proven {
            let spent = clock.monotonic().saturating_sub(begun);
            clock.sleep(times.attempt().saturating_sub(spent)).await;
        }
    }
}

/// A connection that nothing else uses: a committer that is stuck must not keep leases from being
/// renewed, nor one renewal that hangs the next.
fn connection(shared: &Shared) -> Db {
    shared.db.pinned(1)
}

struct Renewal {
    kept: u64,
    /// Every lease is now known to be held or lost.
    complete: bool,
}

async fn attempt(shared: &Arc<Shared>, db: &Db, times: LeaseTimes) -> Result<Renewal, DbError> {
    let held = shared.drivers.held();
    let proof = Proof::now(&*shared.clock);
    let kept: HashSet<RunId> = lease::renew(shared, db, &held, proof.at).await?;
    let (kept, rest): (Vec<_>, Vec<_>) = held.into_iter().partition(|(run, _)| kept.contains(run));
    shared.drivers.renewed(&kept, proof);
    let mut renewal = Renewal {
        kept: kept.len() as u64,
        complete: true,
    };
    if rest.is_empty() {
        return Ok(renewal);
    }
    shared.clock.sleep(times.settle()).await;
    let rest = shared.drivers.still(&rest);
    if rest.is_empty() {
        return Ok(renewal);
    }
    let ours = lease::ours(shared, db, &rest).await?;
    let (busy, lost): (Vec<_>, Vec<_>) = rest.into_iter().partition(|(run, _)| ours.contains(run));
    shared.drivers.lost(&lost.into_iter().collect());
    renewal.complete = busy.is_empty();
    Ok(renewal)
}
