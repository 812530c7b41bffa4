//! The simulation in the test suite: a fixed budget of schedules that is the same on every machine.

use super::explore;

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
