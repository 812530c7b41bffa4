//! Driving runs: performing what the walker decided, under a lease (`dispatch §9.3`).
//!
//! A run that rests costs nothing in this process. While it walks it has one task here, which loops:
//! perform acts, hand each answer to the walker, commit what it decided, perform what that allows.
//! Every commit proves the lease, so a driver that lost it – to a cancellation, a deletion, another
//! node after a long pause – finds out before its next action and stops without writing.

mod call;
mod lease;
mod load;
mod task;
mod world;

pub use crate::commit::apply::LEASE_MS;
pub use lease::{ALL, Acquired, acquire, release_dead};
pub(crate) use task::internal_error;
pub(crate) use world::World;
#[cfg(any(test, feature = "sim"))]
pub(crate) use {
    call::RunFacts,
    task::drive,
    world::{Calling, Looking},
};
pub use task::{First, LiveRun, base_of};

use crate::shared::Shared;
use automation_core::{RunId, registry::Cancel};
use plugin_api::{Clock, Ts, db::DbError, fail};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};

/// How long drivers may take to a checkpoint at shutdown (`dispatch §2`).
const GRACE: Duration = Duration::from_secs(10);

/// The runs this process is driving.
pub struct Drivers {
    live: Mutex<HashMap<RunId, Handle>>,
    /// Told when the first run arrives, so that renewing sleeps while there is none.
    arrived: Notify,
    /// Told when a run leaves.
    left: Notify,
    /// True: take nothing new and stop at the next checkpoint.
    closing: watch::Sender<bool>,
}

struct Handle {
    epoch: i64,
    stop: watch::Sender<bool>,
    nudge: Arc<Notify>,
    task: Option<JoinHandle<()>>,
}

impl Default for Drivers {
    fn default() -> Self {
        Self {
            live: Mutex::default(),
            arrived: Notify::new(),
            left: Notify::new(),
            closing: watch::Sender::new(false),
        }
    }
}

impl Drivers {
    /// Runs being driven now.
    pub fn count(&self) -> usize {
        self.live.lock().expect("drivers").len()
    }

    /// True while the process is stopping.
    pub fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// True when this process drives the run.
    pub fn has(&self, run: RunId) -> bool {
        self.live.lock().expect("drivers").contains_key(&run)
    }

    /// Ends when a run leaves, or after `limit`.
    pub async fn leaving(&self, clock: &dyn Clock, limit: Duration) {
        let left = self.left.notified();
        tokio::select! {
            () = left => {}
            () = clock.sleep(limit) => {}
        }
    }

    /// Tells the driver of a run, if it is here, that the run is no longer its business: the action
    /// in flight hears of it through its [`Cancel`] token.
    pub fn stop(&self, run: RunId) {
        if let Some(handle) = self.live.lock().expect("drivers").get(&run) {
            handle.stop.send_replace(true);
        }
    }

    /// Tells the driver of a run, if it is here, that a lock of the run was fired.
    pub fn nudge(&self, run: RunId) -> bool {
        let live = self.live.lock().expect("drivers");
        let here = live.get(&run);
        if let Some(handle) = here {
            handle.nudge.notify_one();
        }
        here.is_some()
    }

    /// Some node fired a lock whose run it does not drive: every driver looks.
    pub fn nudge_all(&self) {
        for handle in self.live.lock().expect("drivers").values() {
            handle.nudge.notify_one();
        }
    }

    pub(crate) fn enter(
        &self,
        run: RunId,
        epoch: i64,
    ) -> Option<(watch::Receiver<bool>, Cancel, Arc<Notify>)> {
        let mut live = self.live.lock().expect("drivers");
        if let Some(old) = live.get(&run) {
            if old.epoch >= epoch {
                return None;
            }
            // A lease that ran out and was taken again here: the older driver must not act.
            old.stop.send_replace(true);
        }
        let (stop, cancel) = Cancel::new();
        let stopped = stop.subscribe();
        let nudge = Arc::new(Notify::new());
        live.insert(
            run,
            Handle {
                epoch,
                stop,
                nudge: nudge.clone(),
                task: None,
            },
        );
        self.arrived.notify_one();
        Some((stopped, cancel, nudge))
    }

    pub(crate) fn leave(&self, run: RunId, epoch: i64) {
        let mut live = self.live.lock().expect("drivers");
        if live.get(&run).is_some_and(|h| h.epoch == epoch) {
            live.remove(&run);
        }
        drop(live);
        self.left.notify_waiters();
    }

    fn attach(&self, run: RunId, epoch: i64, task: JoinHandle<()>) {
        if let Some(handle) = self.live.lock().expect("drivers").get_mut(&run)
            && handle.epoch == epoch
        {
            handle.task = Some(task);
        }
    }

    pub(crate) fn held(&self) -> Vec<(RunId, i64)> {
        let live = self.live.lock().expect("drivers");
        live.iter().map(|(run, h)| (*run, h.epoch)).collect()
    }
}

/// Starts driving a run whose lease this process holds.
pub fn launch(shared: &Arc<Shared>, run: LiveRun) {
    let (id, epoch) = (run.head.run_id, run.epoch);
    let Some((stopped, cancel, nudge)) = shared.drivers.enter(id, epoch) else {
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
    let Some((stopped, cancel, nudge)) = shared.drivers.enter(id, epoch) else {
        return;
    };
    let shared2 = shared.clone();
    let task = plugin_api::spawn(async move {
        match load::load(&shared2, &acquired).await {
            Ok(Some(run)) => task::drive(shared2, run, stopped, cancel, nudge).await,
            Ok(None) => shared2.drivers.leave(id, epoch),
            Err(error) => {
                tracing::error!(run_id = %id, %error, "A run could not be loaded; its lease runs out and it is tried again.");
                shared2.drivers.leave(id, epoch);
            }
        }
    });
    shared.drivers.attach(id, epoch, task);
}

/// Renews the leases of this process every 20 s, in one statement, while it drives any run. A
/// driver whose lease is gone is told to stop.
pub async fn renew(shared: Arc<Shared>) {
    loop {
        if shared.drivers.count() == 0 {
            shared.drivers.arrived.notified().await;
        }
        shared.clock.sleep(Duration::from_secs(20)).await;
        let held = shared.drivers.held();
        if held.is_empty() {
            continue;
        }
        match lease::renew(&shared, &held).await {
            Ok(kept) => {
                for (run, _) in held.iter().filter(|h| !kept.contains(&h.0)) {
                    shared.drivers.stop(*run);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "Leases could not be renewed.");
                lease::stop_expired(&shared, &held).await;
            }
        }
    }
}

/// Lets drivers reach a checkpoint, then gives every lease of this process back, so that other
/// nodes go on at once.
pub async fn close(shared: &Shared) -> Result<(), DbError> {
    shared.drivers.closing.send_replace(true);
    let deadline: Ts = shared.clock.now().plus_millis(GRACE.as_millis() as i64);
    loop {
        let left = shared.drivers.left.notified();
        if shared.drivers.count() == 0 || shared.clock.now() >= deadline {
            break;
        }
        tokio::select! {
            () = left => {}
            () = shared.clock.sleep_until(deadline) => {}
        }
    }
    let stuck: Vec<JoinHandle<()>> = {
        let mut live = shared.drivers.live.lock().expect("drivers");
        live.drain().filter_map(|(_, h)| h.task).collect()
    };
    for task in stuck {
        task.abort();
    }
    fail::point("dispatch.close.before_release").await?;
    lease::release_all(shared).await?;
    shared.hints.notify(crate::sweep::RELEASED);
    Ok(())
}
