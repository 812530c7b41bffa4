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
        match std::env::var("SIM_GUARD") {
            Ok(names) => {
                let wanted = |g: &Guard| names.split('+').any(|n| n == format!("{g:?}"));
                let guards: Vec<Guard> = Guard::ALL.into_iter().filter(wanted).collect();
                missed(&guards, most, true);
            }
            Err(_) => Guard::ALL.into_iter().for_each(|g| missed(&[g], most, false)),
        }
    }
}

fn missed(out: &[Guard], most: u64, traced: bool) {
    let found = guards::without(out, || {
        (0..most).find_map(|n| Some((n + 1, play(&schedule(FIRST + n), traced).err()?)))
    });
    match found {
        Some((n, failure)) if traced => eprintln!("{out:?}: after {n}\n{failure}"),
        Some((n, failure)) => eprintln!("| {out:?} | {n} | {} |", failure.broken),
        None => eprintln!("| {out:?} | not in {most} | |"),
    }
}
