//! `cargo xtask test`: the one test command.
//!
//! Suites run on SQLite and on Postgres, and a skipped Postgres lane counts as a failure.
//! So this starts a Postgres of its own, tells the tests where it is, and takes it away
//! again however the run ends.

use std::process::Command;

use anyhow::{Context, Result};

use crate::postgres::{Cluster, Purpose, URL_VARIABLE};
use crate::shell::{self, cargo, say, succeeds};

/// Runs the tests that `args` select, or all of them and the doc tests.
pub fn run(args: &[String]) -> Result<()> {
    ensure_nextest()?;
    let cluster = Cluster::start(Purpose::Tests)?;
    shell::run(nextest(args).env(URL_VARIABLE, cluster.url()))?;
    if args.is_empty() {
        shell::run(cargo(["test", "--doc", "--workspace"]).env(URL_VARIABLE, cluster.url()))?;
    }
    Ok(())
}

fn nextest(args: &[String]) -> Command {
    let mut command = cargo(["nextest", "run"]);
    let names_package = args
        .iter()
        .any(|arg| arg == "-p" || arg == "--package" || arg.starts_with("--package="));
    if !names_package {
        command.arg("--workspace");
    }
    command.args(args);
    command
}

/// Installs cargo-nextest when it is missing.
pub fn ensure_nextest() -> Result<()> {
    if succeeds(&mut cargo(["nextest", "--version"])) {
        return Ok(());
    }
    say(
        "The test runner cargo-nextest is not installed; installing it, once, takes a few minutes.",
    );
    // With a shared target directory the build would leave its artifacts in there.
    shell::run(cargo(["install", "--locked", "cargo-nextest"]).env_remove("CARGO_TARGET_DIR"))
        .context("cargo-nextest is needed; see https://nexte.st for other ways to install it")
}
