//! The simulation in the test suite: a fixed budget of schedules that is the same on every machine.
//!
//! Seeds can be looked at by hand: `SIM_REPLAY=1234 cargo test -p automation-dispatch --lib
//! sim::tests::by_hand -- --nocapture`; `SIM_GUARDS=500` tells for each guard after how many schedules
//! it is missed (`SIM_GUARD=BucketLock`: for one, with its trace).

use super::{explore, play, schedule};
use crate::guards::{self, Guard};

/// Where the seeds of the suite begin.
const FIRST: u64 = 1_000;
/// Schedules of the suite.
const SCHEDULES: u64 = 1_500;

#[test]
fn the_engine_keeps_its_invariants_in_every_schedule() {
    match explore(FIRST, |played| played < SCHEDULES) {
        Ok((played, told)) => eprintln!("{played} schedules held: {told:?}"),
        Err(failure) => panic!("{failure}"),
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn by_hand() {
    if let Some(seed) = number("SIM_REPLAY") {
        match play(&schedule(seed), true) {
            Ok(told) => eprintln!("{told:?}"),
            Err(failure) => eprintln!("{failure}"),
        }
    }
    if let Some(count) = number("SIM_MANY") {
        let first = number("SIM_SEED").unwrap_or(FIRST);
        let mut failed = std::collections::BTreeMap::new();
        for seed in first..first + count {
            if let Err(failure) = play(&schedule(seed), false) {
                let kind: String = failure.broken.chars().take(60).collect();
                failed.entry(kind).or_insert_with(Vec::new).push(seed);
            }
        }
        for (kind, seeds) in failed {
            eprintln!("{:>5} {kind} {:?}", seeds.len(), &seeds[..seeds.len().min(4)]);
        }
    }
    if let Some(seed) = number("SIM_SHRINK") {
        if let Err(failure) = play(&schedule(seed), true) {
            eprintln!("{}", super::shrink(*failure, 300));
        }
    }
    if let Some(most) = number("SIM_GUARDS") {
        let one = std::env::var("SIM_GUARD").ok();
        for guard in Guard::ALL {
            if one.as_ref().is_none_or(|name| *name == format!("{guard:?}")) {
                missed(guard, most, one.is_some());
            }
        }
    }
}

fn missed(guard: Guard, most: u64, traced: bool) {
    let found = guards::without(&[guard], || {
        (0..most).find_map(|n| Some((n + 1, play(&schedule(FIRST + n), traced).err()?)))
    });
    match found {
        Some((n, failure)) if traced => eprintln!("{guard:?}: after {n}\n{failure}"),
        Some((n, failure)) => eprintln!("| {guard:?} | {n} | {} |", failure.broken),
        None => eprintln!("| {guard:?} | not in {most} | |"),
    }
}
