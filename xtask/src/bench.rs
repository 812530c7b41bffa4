//! `cargo xtask bench`: the benchmark program with a Postgres to measure on.

use anyhow::Result;

use crate::postgres::{Cluster, Purpose, URL_VARIABLE};
use crate::shell::{self, cargo};

/// Workloads that touch no database.
const WITHOUT_DATABASE: &[&str] = &["template"];

/// Builds the benchmark program in release mode and runs it with `args`.
pub fn run(args: &[String]) -> Result<()> {
    let mut command = cargo(["run", "--release", "--package", "bench", "--"]);
    command.args(args);
    let mut chosen = args.iter().filter(|arg| !arg.starts_with('-')).peekable();
    let needs_database =
        chosen.peek().is_none() || chosen.any(|what| !WITHOUT_DATABASE.contains(&what.as_str()));
    if !needs_database {
        return shell::run(&mut command);
    }
    let cluster = Cluster::start(Purpose::Measurements)?;
    shell::run(command.env(URL_VARIABLE, cluster.url()))
}
