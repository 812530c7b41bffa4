//! Plays schedules of the simulator for as long as one likes (`cargo xtask sim`).
//!
//! ```text
//! sim [--minutes N | --schedules N] [--seed S]   play seeds from S on
//! sim --replay S                                 play one seed, and tell everything
//! sim --guards N [--guard NAME[+NAME]]           without each guard: schedules until it is missed
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
        match text("--guard") {
            Some(names) => {
                let named = |g: &Guard| names.split('+').any(|name| name == format!("{g:?}"));
                let out: Vec<Guard> = Guard::ALL.into_iter().filter(named).collect();
                missed(&out, seed, most, true);
            }
            None => Guard::ALL
                .into_iter()
                .for_each(|g| missed(&[g], seed, most, false)),
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

/// Plays without guards until something breaks.
fn missed(out: &[Guard], seed: u64, most: u64, traced: bool) {
    let found = guards::without(out, || {
        (0..most).find_map(|n| {
            let failed = sim::play(&sim::schedule(seed + n), traced).err()?;
            Some((n + 1, failed))
        })
    });
    match found {
        Some((n, failure)) if traced => println!("{out:?}: after {n} schedules\n{failure}"),
        Some((n, failure)) => println!("| {out:?} | {n} | {} |", failure.broken),
        None => println!("| {out:?} | not in {most} | |"),
    }
}
