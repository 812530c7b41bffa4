//! `cargo xtask`: the project's own commands, so that a clone needs no other tool to know.
//!
//! `test` is the one test command and `ci` is what the build server runs; a change that
//! passes `cargo xtask ci` is ready to land. What the commands say goes to standard error;
//! standard output belongs to the programs they start (`bench --json` can be piped).

mod bench;
mod ci;
mod metadata;
mod migrate;
mod new_plugin;
mod postgres;
mod shell;
mod sim;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's own commands")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run every test on SQLite and on a throw-away Postgres.
    Test {
        /// Passed on to `cargo nextest run`: test name filters, `-p CRATE`, `--no-capture`.
        /// Without any, the whole workspace and the doc tests run.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Run everything the build server runs.
    Ci {
        /// Only these steps, in the usual order.
        #[arg(value_parser = ci::step_names())]
        steps: Vec<String>,
    },
    /// Check the rules of the code base that no compiler checks.
    Tidy,
    /// Create and check database migrations, or apply them.
    Migrate {
        #[command(subcommand)]
        command: migrate::Command,
    },
    /// Measure: template, queue, engine, or everything.
    Bench {
        /// Passed on to the benchmark program: what to measure, and `--json`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Play schedules of the simulator: `--minutes N`, `--seed S`, `--replay S`, `--guards N`.
    Sim {
        /// Passed on to the simulator.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Make a plugin that compiles, is tested and runs in the host.
    NewPlugin {
        /// Lower-case words joined by `-`, such as `status-page`.
        name: String,
    },
    /// Start a throw-away Postgres, print its URL, and keep it until Ctrl-C.
    Pg,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line of causes; a backtrace would tell about xtask, not about the problem.
            shell::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Test { args } => test::run(&args),
        Command::Ci { steps } => ci::run(&steps),
        Command::Sim { args } => sim::run(&args),
        Command::Tidy => tidy::run(),
        Command::Migrate { command } => migrate::run(&command),
        Command::Bench { args } => bench::run(&args),
        Command::NewPlugin { name } => new_plugin::run(&name),
        Command::Pg => postgres::serve(),
    }
}
