//! `cargo xtask bench`: the benchmark program with a Postgres to measure on.
//!
//! Which groups and workloads there are is the program's own business (`cargo xtask bench --list`); here is only decided
//! whether it needs a server, which is thrown away afterwards and whose commits reach the disk as they do in production.

use anyhow::Result;

use crate::postgres::{Cluster, Purpose, URL_VARIABLE};
use crate::shell::{self, cargo};

/// Groups that touch no database.
const WITHOUT_DATABASE: &[&str] = &["template"];

/// Options followed by a value of their own.
const WITH_VALUE: &[&str] = &["--database", "--seconds"];

/// Builds the benchmark program in release mode and runs it with `args`.
pub fn run(args: &[String]) -> Result<()> {
    let mut command = cargo(["run", "--release", "--package", "bench", "--"]);
    command.args(args);
    if !needs_postgres(args) {
        return shell::run(&mut command);
    }
    let cluster = Cluster::start(Purpose::Measurements)?;
    shell::run(command.env(URL_VARIABLE, cluster.url()))
}

fn needs_postgres(args: &[String]) -> bool {
    let (mut named, mut databases) = (Vec::new(), Vec::new());
    let mut rest = args.iter().map(String::as_str);
    while let Some(arg) = rest.next() {
        match arg.split_once('=') {
            Some(("--database", value)) => databases.push(value),
            _ if arg == "--database" => databases.extend(rest.next()),
            _ if WITH_VALUE.contains(&arg) => drop(rest.next()),
            _ if ["--list", "--help", "-h"].contains(&arg) => return false,
            _ if arg.starts_with('-') => {}
            _ => named.push(arg),
        }
    }
    let on_database = named.is_empty() || named.iter().any(|n| !WITHOUT_DATABASE.contains(n));
    let on_postgres = databases.is_empty() || databases.iter().any(|d| !d.starts_with("sqlite"));
    on_database && on_postgres
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_started_only_where_it_is_measured() {
        for (line, needed) in [
            ("", true),
            ("template", false),
            ("template queue", true),
            ("template --seconds 2", false),
            ("queue --database sqlite", false),
            ("queue --database sqlite-full --seconds 2", false),
            ("queue --database=sqlite --database postgres", true),
            ("queue --database all", true),
            ("engine --list", false),
        ] {
            let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            assert_eq!(needs_postgres(&args), needed, "{line}");
        }
    }
}
