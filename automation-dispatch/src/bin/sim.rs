//! Plays schedules of the simulator for as long as one likes (`cargo xtask sim`).
//!
//! ```text
//! sim [--minutes N | --schedules N] [--seed S]   play seeds from S on
//! sim --replay S                                 play one seed, and tell everything
//! sim --guards N [--guard NAME]                  without each guard: schedules until it is missed
//! ```

use automation_dispatch::{
    guards::{self, Guard},
    sim,
};
use plugin_api::{Clock, SystemClock};
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let text = |name: &str| {
        let at = args.iter().position(|a| a == name)?;
        args.get(at + 1).cloned()
    };
    let number = |name: &str| text(name).and_then(|t| t.parse::<u64>().ok());
    let clock = SystemClock::new();
    let begun = clock.now().millis();
    let seed = number("--seed").unwrap_or_else(|| begun.unsigned_abs());
    if let Some(seed) = number("--replay") {
        return told(&sim::play(&sim::schedule(seed), true).map(|told| println!("{told:?}")));
    }
    if let Some(most) = number("--guards") {
        let one = text("--guard");
        for guard in Guard::ALL {
            if one.as_ref().is_none_or(|name| *name == format!("{guard:?}")) {
                missed(guard, seed, most, one.is_some());
            }
        }
        return ExitCode::SUCCESS;
    }
    let minutes = number("--minutes").unwrap_or(1);
    let most = number("--schedules");
    let mut next = 0;
    let result = sim::explore(seed, |played| {
        let ms = clock.now().millis() - begun;
        if ms >= next {
            next = ms + 10_000;
            eprintln!("{played} schedules from seed {seed} in {} s", ms / 1000);
        }
        most.map_or(ms < minutes as i64 * 60_000, |most| played < most)
    });
    let seconds = (clock.now().millis() - begun).max(1) as f64 / 1000.0;
    told(&result.map(|(played, told)| {
        println!(
            "{played} schedules held in {seconds:.1} s ({:.0} a second): {} steps, {} runs, {} calls",
            played as f64 / seconds,
            told.steps,
            told.runs,
            told.calls
        );
    }))
}

fn told(result: &Result<(), Box<sim::Failure>>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            println!("{failure}");
            ExitCode::FAILURE
        }
    }
}

/// Plays without a guard until something breaks.
fn missed(guard: Guard, seed: u64, most: u64, all: bool) {
    let found = guards::without(&[guard], || {
        (0..most).find_map(|n| {
            let schedule = sim::schedule(seed + n);
            sim::play(&schedule, all).err().map(|failure| (n + 1, failure))
        })
    });
    match found {
        Some((n, failure)) if all => println!("{guard:?}: after {n} schedules\n{failure}"),
        Some((n, failure)) => println!("| {guard:?} | {n} | {} |", failure.broken),
        None => println!("| {guard:?} | not in {most} | |"),
    }
}
