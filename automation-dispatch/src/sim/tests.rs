//! The simulation in the test suite: a fixed budget of schedules that is the same on every machine.
//!
//! `cargo xtask sim` plays more, replays a seed with its trace, and tells after how many schedules each
//! guard is missed.

use super::{explore, play, schedule};
use crate::guards::{self, Guard};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

/// Where the seeds of the suite begin.
const FIRST: u64 = 1_000;
/// Schedules of the suite.
const SCHEDULES: u64 = 1_500;
/// Schedules in which a guard must be missed, counted from its own first seed.
const BUDGET: u64 = 1_500;

/// Guards, and the seed of a schedule that needs them. Two together: each alone is enough.
const MISSED: [(&[Guard], u64); 32] = [
    (&[Guard::BucketLock], 1_018),
    (&[Guard::ConditionalStatus], 1_071),
    (&[Guard::CancelTakesState], 1_004),
    (&[Guard::OneCreation], 1_007),
    (&[Guard::LeaseRenewal], 1_002),
    (&[Guard::LeaseFree], 1_002),
    (&[Guard::EpochFence], 37_902),
    (&[Guard::ActsInTime], 1_177),
    (&[Guard::FiredAtRest], 1_313),
    (&[Guard::StateRowFirst], 1_113),
    (&[Guard::MarkNotDelete], 1_011),
    (&[Guard::ChangeInJobId], 1_409),
    (&[Guard::DwellInJobId], 1_017),
    (&[Guard::ClaimWithRun], 1_010),
    (&[Guard::DwellClaim], 1_027),
    (&[Guard::EntityEventsWake], 1_010),
    (&[Guard::HeldSinceArm], 2_405),
    (&[Guard::InverseCancel], 1_017),
    (&[Guard::Ledger, Guard::DedupKey], 1_000),
    (&[Guard::WindowLock], 1_040),
    (&[Guard::WindowOnce], 1_023),
    (&[Guard::PinnedVersion], 1_251),
    (&[Guard::OwnLockOnly], 1_011),
    (&[Guard::FireOnce], 1_126),
    (&[Guard::PeriodicRecheck], 1_124),
    (&[Guard::ArmGuard], 6_101),
    (&[Guard::TurnOnce], 1_556),
    (&[Guard::DatabaseClock], 1_000),
    (&[Guard::CommitBeforeAct], 1_003),
    (&[Guard::SweepFired], 1_012),
    (&[Guard::SweepStalled], 1_012),
    (&[Guard::SweepQueues], 1_659),
];

#[test]
fn the_engine_keeps_its_invariants_in_every_schedule() {
    match explore(FIRST, |played| played < SCHEDULES) {
        Ok((played, told)) => eprintln!("{played} schedules held: {told:?}"),
        Err(failure) => panic!("{failure}"),
    }
}

/// R-01 … R-31 of `dispatch B` as far as they are races or lost guards; `docs/guards.md`.
#[test]
fn without_a_guard_the_simulation_fails() {
    let mut named: Vec<Guard> = MISSED.iter().flat_map(|(g, _)| g.iter().copied()).collect();
    named.sort_unstable();
    named.dedup();
    assert_eq!(named.len(), Guard::ALL.len(), "every guard is taken out");
    let next = AtomicUsize::new(0);
    let search = || {
        while let Some((out, seed)) = MISSED.get(next.fetch_add(1, Ordering::Relaxed)) {
            let missed = guards::without(out, || {
                (*seed..seed + BUDGET).find_map(|seed| play(&schedule(seed), false).err())
            });
            let missed = missed.unwrap_or_else(|| panic!("{out:?} is not missed from {seed} on"));
            eprintln!("{out:?}: {}: {}", missed.schedule.seed, missed.broken);
        }
    };
    thread::scope(|s| {
        s.spawn(search);
        s.spawn(search);
    });
}
