//! Time that a test owns.

use plugin_api::{Clock, Ts, clock::Sleep};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};
use tokio::sync::oneshot;

/// A clock that stands still until told to move. Sleepers wake in the order of their instants; ids
/// are UUIDv7 made of the virtual instant, the clock's number and a counter, so they repeat from run
/// to run and never collide between two clocks of a process.
pub struct VirtualClock {
    state: Mutex<State>,
    number: u16,
}

struct State {
    now: Ts,
    /// Time moved forward since the start; setting the clock back takes none of it away.
    passed: Duration,
    ids: u64,
    serial: u64,
    sleepers: BTreeMap<(Ts, u64), oneshot::Sender<()>>,
}

impl VirtualClock {
    /// A clock at 2026-01-15T12:00:00Z, a Thursday.
    pub fn new() -> Arc<Self> {
        Self::at("2026-01-15T12:00:00Z")
    }

    /// A clock at an RFC 3339 instant.
    pub fn at(text: &str) -> Arc<Self> {
        static NUMBER: AtomicU16 = AtomicU16::new(1);
        let now = Ts::parse(text).expect("an RFC 3339 instant");
        Arc::new(Self {
            state: Mutex::new(State {
                now,
                passed: Duration::ZERO,
                ids: 0,
                serial: 0,
                sleepers: BTreeMap::new(),
            }),
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
        })
    }

    /// Moves forward and wakes every sleeper whose instant is reached, in order.
    pub fn advance(&self, by: Duration) {
        let millis = i64::try_from(by.as_millis()).expect("a duration in range");
        let to = self.now().plus_millis(millis);
        self.move_to(to);
    }

    /// Jumps to an instant, forward or back; sleepers up to it wake.
    pub fn set(&self, to: Ts) {
        self.move_to(to);
    }

    /// Moves to the instant of the first sleeper; false when nobody sleeps.
    pub fn advance_to_next(&self) -> bool {
        match self.next_wake() {
            Some(at) => {
                self.move_to(at);
                true
            }
            None => false,
        }
    }

    /// When the first sleeper will wake.
    pub fn next_wake(&self) -> Option<Ts> {
        let state = self.state.lock().expect("clock");
        // A dropped sleep stays in the map until its instant; it must not count.
        let mut live = state.sleepers.iter().filter(|(_, s)| !s.is_closed());
        live.next().map(|((at, _), _)| *at)
    }

    /// How many sleep until exactly this instant.
    pub fn sleeping_until(&self, at: Ts) -> usize {
        let state = self.state.lock().expect("clock");
        let sleepers = state.sleepers.range((at, 0)..=(at, u64::MAX));
        sleepers.filter(|(_, s)| !s.is_closed()).count()
    }

    fn move_to(&self, to: Ts) {
        loop {
            let mut state = self.state.lock().expect("clock");
            match state.sleepers.first_entry() {
                Some(first) if first.key().0 <= to => {
                    let ((at, _), sleeper) = first.remove_entry();
                    let at = state.now.max(at);
                    state.arrive(at);
                    drop(state);
                    let _ = sleeper.send(());
                }
                _ => {
                    state.arrive(to);
                    return;
                }
            }
        }
    }
}

impl State {
    fn arrive(&mut self, at: Ts) {
        let moved = at.millis() - self.now.millis();
        self.passed += Duration::from_millis(moved.max(0) as u64);
        self.now = at;
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Ts {
        self.state.lock().expect("clock").now
    }

    fn sleep_until(&self, at: Ts) -> Sleep {
        let mut state = self.state.lock().expect("clock");
        if at <= state.now {
            return Box::pin(std::future::ready(()));
        }
        if state.sleepers.len() >= 64 && state.sleepers.len().is_power_of_two() {
            state.sleepers.retain(|_, s| !s.is_closed());
        }
        let (wake, woken) = oneshot::channel();
        state.serial += 1;
        let serial = state.serial;
        state.sleepers.insert((at, serial), wake);
        Box::pin(async move {
            if woken.await.is_err() {
                // The clock is gone, so its time never comes.
                std::future::pending::<()>().await;
            }
        })
    }

    fn new_uuid(&self) -> uuid::Uuid {
        let mut state = self.state.lock().expect("clock");
        state.ids += 1;
        let millis = state.now.millis().max(0) as u64;
        // 48 bits of time, version, 12 bits of the clock, variant, 62 bits of counter.
        let high = (millis << 16) | 0x7000 | u64::from(self.number & 0x0fff);
        let low = (1 << 63) | state.ids;
        uuid::Uuid::from_u64_pair(high, low)
    }

    fn monotonic(&self) -> Duration {
        self.state.lock().expect("clock").passed
    }
}
