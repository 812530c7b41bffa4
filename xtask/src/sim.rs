//! `cargo xtask sim`: the simulator of the dispatch engine, for longer than a test may take.

use anyhow::Result;

use crate::shell::{self, cargo};

/// Builds the simulator with optimisation and runs it with `args`.
pub fn run(args: &[String]) -> Result<()> {
    let mut command = cargo(["run", "--release", "--package", "automation-dispatch"]);
    command.args(["--features", "sim", "--bin", "sim", "--"]);
    command.args(args);
    shell::run(&mut command)
}
