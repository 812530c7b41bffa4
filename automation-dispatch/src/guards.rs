//! Switches that take the engine's guards out, so that the tests can show that they would fail
//! without them (`dispatch B`). In a normal build [`taken_out`] is a constant and nothing is left of
//! it; in tests and in the simulator it asks a set that belongs to the thread.
//!
//! A guard that is a condition in SQL is taken out where the simulator's model store evaluates the
//! same condition; `docs/guards.md` names both places of each.

/// What a guard keeps from happening.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Guard {
    /// check and insert of a bucket are one critical section.
    BucketLock,
    /// a status is written only over its legal predecessors.
    ConditionalStatus,
    /// cancelling takes the state row, and with it every fence.
    CancelTakesState,
    /// run and state are created in one transaction.
    OneCreation,
    /// a lease is renewed while its driver lives.
    LeaseRenewal,
    /// taking a lease demands that it is free or has run out.
    LeaseFree,
    /// every write of a walk proves its epoch.
    EpochFence,
    /// acts begin only while the lease that allowed them holds.
    ActsInTime,
    /// a run does not rest over a fired lock.
    FiredAtRest,
    /// state rows are locked before marks are written or looked for.
    StateRowFirst,
    /// a wake marks the lock, and leaves it for the driver to consume.
    MarkNotDelete,
    /// a wake's job id has the change in it, and started jobs suppress nothing.
    ChangeInJobId,
    /// a dwell's job id has its row in it, and started jobs suppress nothing.
    DwellInJobId,
    /// a dwell is claimed in the transaction of its consequence.
    ClaimWithRun,
    /// only who deletes a dwell acts on it.
    DwellClaim,
    /// events derived from entity changes wake waits.
    EntityEventsWake,
    /// a status must have been held since the dwell was armed.
    HeldSinceArm,
    /// what ends a dwell's cause deletes the dwell, whichever automation listens.
    InverseCancel,
    /// a decision in the ledger ends the evaluation.
    Ledger,
    /// insert and count of a window are one critical section.
    WindowLock,
    /// an occurrence the window has answered is not counted again.
    WindowOnce,
    /// a run executes the version it was created with.
    PinnedVersion,
    /// consuming one lock leaves the others of the run.
    OwnLockOnly,
    /// a lock is fired once.
    FireOnce,
    /// one run a dedup key.
    DedupKey,
    /// waits that nothing woke are looked at again.
    PeriodicRecheck,
    /// §13.11: a wait is tested once more when its lock is committed.
    ArmGuard,
    /// §8.5: a pending run starts once.
    TurnOnce,
    /// §1: persisted instants are compared with the clock of the database.
    DatabaseClock,
    /// §9.1, design §3.1: rows are committed before acts are performed.
    CommitBeforeAct,
    /// §21.2: fired locks without a driver are found.
    SweepFired,
    /// §21.5: runs whose driver died are found.
    SweepStalled,
    /// §8.5, §21.2: queues in which nobody walks are found.
    SweepQueues,
}

impl Guard {
    /// All of them.
    pub const ALL: [Guard; 33] = [
        Guard::BucketLock,
        Guard::ConditionalStatus,
        Guard::CancelTakesState,
        Guard::OneCreation,
        Guard::LeaseRenewal,
        Guard::LeaseFree,
        Guard::EpochFence,
        Guard::ActsInTime,
        Guard::FiredAtRest,
        Guard::StateRowFirst,
        Guard::MarkNotDelete,
        Guard::ChangeInJobId,
        Guard::DwellInJobId,
        Guard::ClaimWithRun,
        Guard::DwellClaim,
        Guard::EntityEventsWake,
        Guard::HeldSinceArm,
        Guard::InverseCancel,
        Guard::Ledger,
        Guard::WindowLock,
        Guard::WindowOnce,
        Guard::PinnedVersion,
        Guard::OwnLockOnly,
        Guard::FireOnce,
        Guard::DedupKey,
        Guard::PeriodicRecheck,
        Guard::ArmGuard,
        Guard::TurnOnce,
        Guard::DatabaseClock,
        Guard::CommitBeforeAct,
        Guard::SweepFired,
        Guard::SweepStalled,
        Guard::SweepQueues,
    ];
}

/// True when a test has taken the guard out.
#[cfg(not(any(test, feature = "sim")))]
#[inline(always)]
pub const fn taken_out(_: Guard) -> bool {
    false
}

#[cfg(any(test, feature = "sim"))]
mod switched {
    use super::Guard;
    use std::{cell::RefCell, collections::BTreeSet};

    thread_local! {
        static OUT: RefCell<BTreeSet<Guard>> = const { RefCell::new(BTreeSet::new()) };
    }

    /// True when a test has taken the guard out.
    pub fn taken_out(guard: Guard) -> bool {
        OUT.with_borrow(|out| !out.is_empty() && out.contains(&guard))
    }

    /// Runs `f` on this thread without these guards.
    pub fn without<T>(guards: &[Guard], f: impl FnOnce() -> T) -> T {
        struct Back(BTreeSet<Guard>);
        impl Drop for Back {
            fn drop(&mut self) {
                OUT.with_borrow_mut(|out| std::mem::swap(out, &mut self.0));
            }
        }
        let mut out = guards.iter().copied().collect();
        OUT.with_borrow_mut(|now| std::mem::swap(now, &mut out));
        let _back = Back(out);
        f()
    }
}

#[cfg(any(test, feature = "sim"))]
pub use switched::{taken_out, without};
