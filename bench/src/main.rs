//! The benchmark program: what is fast, what is not, and how far it all is from what the machine allows.
//!
//! Each module measures one thing and answers [rows](report::Row). A row names what was measured, on which database, and
//! its figures with their units; beside a figure stands its *floor*, what a program without the engine reached at the same
//! work in the same run, taken in turns with it, because even ratios move while a disk is busy. The table for people goes
//! to standard error, the rows as JSON, one a line, to standard output.
//!
//! ```text
//!  args ─▶ jobs ─▶ one process each ─▶ group (template · queue · entity · engine) ─▶ rows ─▶ table, JSON
//!                                        │
//!                                        ├─ database   a throw-away one, with its counters
//!                                        ├─ world      the engine with a small plugin
//!                                        └─ load       work kept in flight, or coming at a rate
//! ```

mod args;
mod database;
mod engine;
mod entity;
mod floor;
mod jobs;
mod load;
mod meter;
mod probe;
mod queue;
mod report;
mod samples;
mod statements;
mod stopwatch;
mod template;
mod turns;
mod usage;
mod world;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match jobs::run(args::Args::parse()) {
        Ok(failed) if failed.is_empty() => ExitCode::SUCCESS,
        Ok(failed) => {
            eprintln!("Not measured because of an error: {}.", failed.join(", "));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
