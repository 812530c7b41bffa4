//! Driving runs: performing what the walker decided, under a lease (`dispatch §9.3`).
//!
//! A run that rests costs nothing in this process. While it walks it has one task here, which loops:
//! perform acts, hand each answer to the walker, commit what it decided, perform what that allows.
//! Every commit proves the lease, so a driver that lost it – to a cancellation, a deletion, another
//! node after a long pause – finds out before its next action and stops without writing.

mod call;
mod drivers;
mod lease;
mod load;
mod patience;
mod renew;
mod task;
mod times;
mod world;

pub use drivers::Drivers;
pub use lease::{ALL, Acquired, acquire, release_dead};
pub(crate) use load::read_walk;
pub(crate) use patience::{for_good, patiently};
pub use renew::keep;
pub(crate) use task::internal_error;
pub use task::{First, LiveRun, base_of};
pub use times::{LeaseTimes, Proof};
pub(crate) use world::World;
#[cfg(any(test, feature = "sim"))]
pub(crate) use {
    call::RunFacts,
    task::drive,
    world::{Calling, Looking},
};

use crate::shared::Shared;
use plugin_api::{Ts, db::DbError, fail};
use std::{sync::Arc, time::Duration};
use tokio::task::JoinHandle;

/// How long drivers may take to a checkpoint at shutdown (`dispatch §2`).
const GRACE: Duration = Duration::from_secs(10);

/// Starts driving a run whose lease this process took in a statement that began at `proof`.
pub fn launch(shared: &Arc<Shared>, run: LiveRun, proof: Proof) {
    let (id, epoch) = (run.head.run_id, run.epoch);
    let entered = shared.drivers.enter(id, epoch, proof, &*shared.clock);
    let Some((stopped, cancel, nudge)) = entered else {
        return;
    };
    let task = plugin_api::spawn(task::drive(shared.clone(), run, stopped, cancel, nudge));
    shared.drivers.attach(id, epoch, task);
}

/// Starts driving a run whose lease was just acquired: loads it first.
pub fn resume(shared: &Arc<Shared>, acquired: Acquired) {
    if shared.drivers.is_closing() {
        // Its lease is released with all others of this process.
        return;
    }
    let (id, epoch) = (acquired.run_id, acquired.epoch);
    let entered = shared
        .drivers
        .enter(id, epoch, acquired.proof, &*shared.clock);
    let Some((stopped, cancel, nudge)) = entered else {
        return;
    };
    let shared2 = shared.clone();
    let task = plugin_api::spawn(async move {
        match load::or_fail(&shared2, &acquired).await {
            Some(run) => task::drive(shared2, run, stopped, cancel, nudge).await,
            None => shared2.drivers.leave(id, epoch),
        }
    });
    shared.drivers.attach(id, epoch, task);
}

/// Lets drivers reach a checkpoint, then gives every lease of this process back, so that other
/// nodes go on at once.
pub async fn close(shared: &Shared) -> Result<(), DbError> {
    shared.drivers.begin_closing();
    fail::point("dispatch.close.begun").await?;
    let deadline: Ts = shared.clock.now().plus_millis(GRACE.as_millis() as i64);
    loop {
        let left = shared.drivers.left();
        if shared.drivers.count() == 0 || shared.clock.now() >= deadline {
            break;
        }
        tokio::select! {
            () = left => {}
            () = shared.clock.sleep_until(deadline) => {}
        }
    }
    let stuck: Vec<JoinHandle<()>> = shared.drivers.drain();
    for task in stuck {
        task.abort();
    }
    fail::point("dispatch.close.before_release").await?;
    lease::release_all(shared).await?;
    shared.hints.notify(crate::sweep::RELEASED);
    Ok(())
}
