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
    (&[Guard::BucketLock], 1_036),
    (&[Guard::ConditionalStatus], 1_086),
    (&[Guard::CancelTakesState], 1_000),
    (&[Guard::OneCreation], 1_006),
    (&[Guard::LeaseRenewal], 1_018),
    (&[Guard::LeaseFree], 1_002),
    (&[Guard::EpochFence], 5_078),
    (&[Guard::ActsInTime], 1_109),
    (&[Guard::FiredAtRest], 1_608),
    (&[Guard::StateRowFirst], 1_365),
    (&[Guard::MarkNotDelete], 1_011),
    (&[Guard::ChangeInJobId], 2_071),
    (&[Guard::DwellInJobId], 1_009),
    (&[Guard::ClaimWithRun], 1_009),
    (&[Guard::DwellClaim], 1_031),
    (&[Guard::EntityEventsWake], 1_000),
    (&[Guard::HeldSinceArm], 1_041),
    (&[Guard::InverseCancel], 1_000),
    (&[Guard::Ledger, Guard::DedupKey], 1_000),
    (&[Guard::WindowLock], 1_032),
    (&[Guard::WindowOnce], 1_015),
    (&[Guard::PinnedVersion], 1_040),
    (&[Guard::OwnLockOnly], 1_000),
    (&[Guard::FireOnce], 1_011),
    (&[Guard::PeriodicRecheck], 1_337),
    (&[Guard::ArmGuard], 1_000),
    (&[Guard::TurnOnce], 2_165),
    (&[Guard::DatabaseClock], 1_000),
    (&[Guard::CommitBeforeAct], 1_019),
    (&[Guard::SweepFired], 1_095),
    (&[Guard::SweepStalled], 1_010),
    (&[Guard::SweepQueues], 1_363),
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
