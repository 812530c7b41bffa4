//! The runs this process is driving, each with the proof of its lease.

use super::times::{LeaseTimes, Proof};
use automation_core::{RunId, registry::Cancel};
use plugin_api::Clock;
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, futures::Notified, watch},
    task::JoinHandle,
};

/// The runs this process is driving.
pub struct Drivers {
    times: LeaseTimes,
    live: Mutex<HashMap<RunId, Handle>>,
    /// Drivers since the process started.
    begun: AtomicU64,
    /// Each told when a run arrives whose proof is the oldest: what keeps leases, and what watches
    /// them, sleeps until then.
    to_renew: Notify,
    to_watch: Notify,
    /// Told when a run leaves.
    left: Notify,
    /// True: take nothing new and stop at the next checkpoint.
    closing: watch::Sender<bool>,
}

struct Handle {
    epoch: i64,
    proof: Proof,
    stop: watch::Sender<bool>,
    nudge: Arc<Notify>,
    task: Option<JoinHandle<()>>,
}

impl Handle {
    fn stopped(&self) -> bool {
        *self.stop.borrow()
    }
}

impl Drivers {
    /// None yet.
    pub fn new(times: LeaseTimes) -> Self {
        Self {
            times,
            live: Mutex::default(),
            begun: AtomicU64::new(0),
            to_renew: Notify::new(),
            to_watch: Notify::new(),
            left: Notify::new(),
            closing: watch::Sender::new(false),
        }
    }

    fn live(&self) -> MutexGuard<'_, HashMap<RunId, Handle>> {
        self.live.lock().expect("drivers")
    }

    /// Runs being driven now.
    pub fn count(&self) -> usize {
        self.live().len()
    }

    /// How often this process has taken a run up since it started.
    pub fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// True while the process is stopping.
    pub fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// From now on nothing is taken, and drivers stop at their next checkpoint.
    pub(super) fn begin_closing(&self) {
        self.closing.send_replace(true);
    }

    /// True when this process drives the run.
    pub fn has(&self, run: RunId) -> bool {
        self.live().contains_key(&run)
    }

    /// Tells the driver of a run, if it is here, that the run is no longer its business: the action
    /// in flight hears of it through its [`Cancel`] token.
    pub fn stop(&self, run: RunId) {
        if let Some(handle) = self.live().get(&run) {
            handle.stop.send_replace(true);
        }
    }

    /// Tells the driver of a run, if it is here, that a lock of the run was fired.
    pub fn nudge(&self, run: RunId) -> bool {
        let live = self.live();
        let here = live.get(&run);
        if let Some(handle) = here {
            handle.nudge.notify_one();
        }
        here.is_some()
    }

    /// Some node fired a lock whose run it does not drive: every driver looks.
    pub fn nudge_all(&self) {
        for handle in self.live().values() {
            handle.nudge.notify_one();
        }
    }

    /// Ends when a run leaves, or after `limit`.
    pub async fn leaving(&self, clock: &dyn Clock, limit: Duration) {
        let left = self.left();
        tokio::select! {
            () = left => {}
            () = clock.sleep(limit) => {}
        }
    }

    /// True while the driver with this lease may begin an action: it was not told to stop, and the
    /// lease was known to be held recently enough that nobody else can have taken it (`dispatch §A.1`).
    /// Asked before every action, so that even a process that stood still for minutes and goes on in
    /// the middle of a walk begins nothing.
    pub fn may_act(&self, run: RunId, epoch: i64, clock: &dyn Clock) -> bool {
        self.live().get(&run).is_some_and(|h| {
            h.epoch == epoch && !h.stopped() && h.proof.age(clock) < self.times.hold()
        })
    }

    pub(crate) fn enter(
        &self,
        run: RunId,
        epoch: i64,
        proof: Proof,
        clock: &dyn Clock,
    ) -> Option<(watch::Receiver<bool>, Cancel, Arc<Notify>)> {
        let age = proof.age(clock);
        if age >= self.times.hold() {
            tracing::warn!(run_id = %run, age_ms = age.as_millis() as u64, "A lease was taken by a transaction that took too long; it runs out and the run is taken over.");
            return None;
        }
        let mut live = self.live();
        if let Some(old) = live.get(&run) {
            if old.epoch >= epoch {
                return None;
            }
            // A lease that ran out and was taken again here: the older driver must not act.
            old.stop.send_replace(true);
        }
        let oldest = !live.values().any(|h| h.proof.age(clock) >= age);
        let (stop, cancel) = Cancel::new();
        let stopped = stop.subscribe();
        let nudge = Arc::new(Notify::new());
        live.insert(
            run,
            Handle {
                epoch,
                proof,
                stop,
                nudge: nudge.clone(),
                task: None,
            },
        );
        self.begun.fetch_add(1, Ordering::Relaxed);
        if oldest {
            self.to_renew.notify_one();
            self.to_watch.notify_one();
        }
        Some((stopped, cancel, nudge))
    }

    /// A driver is over; its calls that are still in flight hear that nobody waits for them.
    pub(crate) fn leave(&self, run: RunId, epoch: i64) {
        let mut live = self.live();
        if live.get(&run).is_some_and(|h| h.epoch == epoch)
            && let Some(handle) = live.remove(&run)
        {
            handle.stop.send_replace(true);
        }
        drop(live);
        self.left.notify_waiters();
    }

    pub(super) fn attach(&self, run: RunId, epoch: i64, task: JoinHandle<()>) {
        if let Some(handle) = self.live().get_mut(&run)
            && handle.epoch == epoch
        {
            handle.task = Some(task);
        }
    }

    /// Ends at the next [`Drivers::leave`] after this call.
    pub(super) fn left(&self) -> Notified<'_> {
        self.left.notified()
    }

    /// Forgets every driver and answers their tasks; calls in flight hear that nobody waits for them.
    pub(super) fn drain(&self) -> Vec<JoinHandle<()>> {
        let mut live = self.live();
        live.drain()
            .filter_map(|(_, h)| {
                h.stop.send_replace(true);
                h.task
            })
            .collect()
    }

    /// Ends when some lease is due to be renewed.
    pub(super) async fn until_renewal(&self, clock: &dyn Clock) {
        self.until_age(self.times.renew_after(), &self.to_renew, clock)
            .await;
    }

    /// Ends when some lease may no longer be relied on.
    pub(super) async fn until_lapse(&self, clock: &dyn Clock) {
        self.until_age(self.times.hold(), &self.to_watch, clock)
            .await;
    }

    async fn until_age(&self, wanted: Duration, older: &Notify, clock: &dyn Clock) {
        loop {
            let oldest = {
                let live = self.live();
                let going = live.values().filter(|h| !h.stopped());
                going.map(|h| h.proof.age(clock)).max()
            };
            match oldest {
                Some(age) if age >= wanted => return,
                Some(age) => tokio::select! {
                    () = clock.sleep(wanted - age) => {}
                    () = older.notified() => {}
                },
                None => older.notified().await,
            }
        }
    }

    /// Leases to renew: of every driver that was not told to stop.
    pub(crate) fn held(&self) -> Vec<(RunId, i64)> {
        let live = self.live();
        let going = live.iter().filter(|(_, h)| !h.stopped());
        going.map(|(run, h)| (*run, h.epoch)).collect()
    }

    /// These are still held, as a statement that began at `proof` has shown.
    pub(crate) fn renewed(&self, kept: &[(RunId, i64)], proof: Proof) {
        let mut live = self.live();
        for (run, epoch) in kept {
            if let Some(handle) = live.get_mut(run)
                && handle.epoch == *epoch
            {
                handle.proof = proof;
            }
        }
    }

    /// Those of these drivers that are still at it.
    pub(super) fn still(&self, of: &[(RunId, i64)]) -> Vec<(RunId, i64)> {
        let live = self.live();
        of.iter()
            .filter(|(run, epoch)| {
                live.get(run)
                    .is_some_and(|h| h.epoch == *epoch && !h.stopped())
            })
            .copied()
            .collect()
    }

    /// Stops these drivers, whose leases are not theirs any more.
    pub(crate) fn lost(&self, leases: &HashSet<(RunId, i64)>) {
        for (run, handle) in &*self.live() {
            if leases.contains(&(*run, handle.epoch)) {
                handle.stop.send_replace(true);
            }
        }
    }

    /// Stops every driver whose lease may no longer be relied on; answers how many.
    pub(super) fn stop_lapsed(&self, clock: &dyn Clock) -> usize {
        let live = self.live();
        let lapsed = live
            .iter()
            .filter(|(_, h)| !h.stopped() && h.proof.age(clock) >= self.times.hold());
        let mut count = 0;
        for (run, handle) in lapsed {
            tracing::debug!(run_id = %run, "The lease could not be renewed in time.");
            handle.stop.send_replace(true);
            count += 1;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plugin_api::{Ts, clock::Sleep};
    use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

    /// A wall clock and a monotonic one that are moved apart.
    #[derive(Default)]
    struct Clocks {
        wall: AtomicI64,
        monotonic: AtomicI64,
    }
    impl Clock for Clocks {
        fn now(&self) -> Ts {
            Ts::from_millis(self.wall.load(Relaxed))
        }
        fn sleep_until(&self, _: Ts) -> Sleep {
            Box::pin(std::future::pending())
        }
        fn new_uuid(&self) -> uuid::Uuid {
            uuid::Uuid::nil()
        }
        fn monotonic(&self) -> Duration {
            Duration::from_millis(self.monotonic.load(Relaxed) as u64)
        }
    }

    const SECOND: i64 = 1000;

    fn run() -> RunId {
        RunId::from(uuid::Uuid::nil())
    }

    fn driving(clock: &Clocks) -> Drivers {
        let drivers = Drivers::new(LeaseTimes::default());
        let proof = Proof::now(clock);
        drivers
            .enter(run(), 1, proof, clock)
            .expect("a fresh lease");
        drivers
    }

    #[test]
    fn a_process_that_stood_still_longer_than_its_lease_holds_may_not_act() {
        let clock = Clocks::default();
        let drivers = driving(&clock);
        clock.monotonic.store(50 * SECOND - 1, Relaxed);
        assert!(drivers.may_act(run(), 1, &clock));
        clock.monotonic.store(50 * SECOND, Relaxed);
        assert!(!drivers.may_act(run(), 1, &clock));
    }

    #[test]
    fn a_clock_that_is_set_back_lends_no_time() {
        let clock = Clocks::default();
        clock.wall.store(600 * SECOND, Relaxed);
        let drivers = driving(&clock);
        clock.wall.store(0, Relaxed);
        clock.monotonic.store(50 * SECOND, Relaxed);
        assert!(!drivers.may_act(run(), 1, &clock));
    }

    #[test]
    fn the_sleep_of_a_machine_counts_although_the_monotonic_clock_slept_too() {
        let clock = Clocks::default();
        let drivers = driving(&clock);
        clock.wall.store(50 * SECOND, Relaxed);
        assert!(!drivers.may_act(run(), 1, &clock));
        assert_eq!(drivers.stop_lapsed(&clock), 1);
    }

    #[test]
    fn a_renewal_counts_from_before_its_statement_and_only_for_its_epoch() {
        let clock = Clocks::default();
        let drivers = driving(&clock);
        clock.monotonic.store(20 * SECOND, Relaxed);
        let proof = Proof::now(&clock);
        clock.monotonic.store(60 * SECOND, Relaxed);
        drivers.renewed(&[(run(), 2)], proof);
        assert!(!drivers.may_act(run(), 1, &clock));
        drivers.renewed(&[(run(), 1)], proof);
        assert!(drivers.may_act(run(), 1, &clock));
        clock.monotonic.store(70 * SECOND, Relaxed);
        assert!(!drivers.may_act(run(), 1, &clock));
    }

    #[test]
    fn a_lease_that_took_too_long_to_take_is_not_driven() {
        let clock = Clocks::default();
        let drivers = Drivers::new(LeaseTimes::default());
        let proof = Proof::now(&clock);
        clock.monotonic.store(50 * SECOND, Relaxed);
        assert!(drivers.enter(run(), 1, proof, &clock).is_none());
    }

    #[test]
    fn a_newer_epoch_stops_the_older_driver_and_an_older_one_is_refused() {
        let clock = Clocks::default();
        let drivers = driving(&clock);
        let proof = Proof::now(&clock);
        assert!(drivers.enter(run(), 1, proof, &clock).is_none());
        let (newer, ..) = drivers.enter(run(), 2, proof, &clock).expect("newer");
        assert!(!drivers.may_act(run(), 1, &clock));
        // What the first one lost is none of the second one's business.
        drivers.lost(&[(run(), 1)].into());
        assert!(!*newer.borrow() && drivers.may_act(run(), 2, &clock));
    }
}
