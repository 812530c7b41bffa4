//! How long a lease protects, and until when its holder may rely on it.
//!
//! ```text
//!  taken or renewed                                                       free for others
//!  0 s              20 s              25 s …                       50 s         60 s
//!  ├── holder acts ──┼── renewed, or ──┼── tried again every 5 s ────┤── nobody ──┤
//!                                                                  holder stops
//! ```
//!
//! A lease in the database ends for everybody by the database's clock. Its holder may be cut off from
//! that database, so it must stop by itself, and before anybody else can begin: it counts from the
//! moment *before* the statement that took or renewed the lease, and stops a safety margin early.

use plugin_api::{Clock, Ts};
use std::time::Duration;

/// The times of a lease; all follow from how long it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTimes {
    ttl: Duration,
}

impl Default for LeaseTimes {
    /// 60 s (`dispatch §1`).
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(60),
        }
    }
}

impl LeaseTimes {
    /// Leases that last `ttl`, at least 5 s: less leaves a busy database no time to renew them.
    pub fn lasting(ttl: Duration) -> Self {
        Self {
            ttl: ttl.max(Duration::from_secs(5)),
        }
    }
    /// How long a lease lasts that nobody renews.
    pub fn ttl(self) -> Duration {
        self.ttl
    }
    /// The same in milliseconds.
    pub fn ttl_ms(self) -> i64 {
        i64::try_from(self.ttl.as_millis()).unwrap_or(i64::MAX)
    }
    /// A lease is renewed when it was last known to be held this long ago (20 s).
    pub fn renew_after(self) -> Duration {
        self.ttl / 3
    }
    /// One attempt to renew takes at most this long, and a failed one is followed by the next this
    /// much after it began (5 s).
    pub fn attempt(self) -> Duration {
        self.ttl / 12
    }
    /// A run that does not seem to be ours is looked at again after this (1 s): a commit that ended or
    /// rested it may have crossed the renewal, and its driver is about to leave.
    pub fn settle(self) -> Duration {
        self.ttl / 60
    }
    /// A driver acts for at most this long after its lease was last known to be held (50 s). The rest
    /// is the margin for clocks that differ and for calls that are just being made.
    pub fn hold(self) -> Duration {
        self.ttl - self.ttl / 6
    }
}

/// When a lease was last known to be held: read before the statement that said so began, so that
/// however long the statement took, nobody else counts from an earlier moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// What the lease's end in the database is counted from.
    pub at: Ts,
    monotonic: Duration,
}

impl Proof {
    /// Of an instant that is known: in the simulator, whose clocks are one.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn of(at: Ts) -> Self {
        let monotonic = Duration::from_millis(at.millis().unsigned_abs());
        Self { at, monotonic }
    }

    /// To be read before a statement that takes or renews leases.
    pub fn now(clock: &dyn Clock) -> Self {
        // The monotonic reading first: a pause between the two then costs time, not safety.
        let monotonic = clock.monotonic();
        Self {
            at: clock.now(),
            monotonic,
        }
    }

    /// How long ago that was. Two clocks say, and the longer time counts: the monotonic one cannot be
    /// set back, and the wall clock, which follows the database's, also runs while a machine sleeps.
    pub fn age(&self, clock: &dyn Clock) -> Duration {
        let wall = clock.now().millis().saturating_sub(self.at.millis());
        let wall = Duration::from_millis(u64::try_from(wall).unwrap_or(0));
        clock.monotonic().saturating_sub(self.monotonic).max(wall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_a_lease_of_a_minute_are_those_of_the_specification() {
        let t = LeaseTimes::default();
        let seconds =
            [t.ttl(), t.renew_after(), t.attempt(), t.settle(), t.hold()].map(|d| d.as_secs());
        assert_eq!(seconds, [60, 20, 5, 1, 50]);
    }

    #[test]
    fn a_lease_lasts_five_seconds_at_least() {
        let t = LeaseTimes::lasting(Duration::from_secs(1));
        assert_eq!(t.ttl_ms(), 5000);
        // Whatever its length: renewed in time for several attempts, given up before it ends.
        assert!(t.renew_after() + t.attempt() * 3 < t.hold() && t.hold() < t.ttl());
    }
}
