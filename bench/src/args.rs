//! The command line.

use crate::database::Target;
use clap::Parser;

/// Measures how fast Signalbox is.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "bench",
    about = "Measures how fast Signalbox is",
    after_help = "Without names: template, queue and entity. Names after `engine` choose among its workloads: \
                  `bench engine single backlog --database postgres --seconds 10`. \
                  Postgres is the server named by SIGNALBOX_TEST_POSTGRES; `cargo xtask bench` starts one."
)]
pub struct Args {
    /// Groups (template, queue, entity, engine) and workloads of the engine.
    pub what: Vec<String>,
    /// On which databases: sqlite, sqlite-full, postgres, postgres-async, or all. Repeatable.
    #[arg(long = "database", value_name = "NAME", value_parser = databases)]
    pub databases: Vec<Databases>,
    /// How long each measurement takes; its floor takes as long again.
    #[arg(long, default_value_t = 6.0, value_name = "N")]
    pub seconds: f64,
    /// The large sizes: a backlog of 100 000 events, 100 000 runs waiting.
    #[arg(long)]
    pub full: bool,
    /// JSON only, without the table on standard error.
    #[arg(long)]
    pub json: bool,
    /// Prints the statements of one piece of work, by the time they take, on standard error.
    #[arg(long)]
    pub statements: bool,
    /// Lists what there is to measure, and ends.
    #[arg(long)]
    pub list: bool,
    /// One after the other in this process, for a profiler. Memory then counts what came before.
    #[arg(long)]
    pub here: bool,
    /// Boots a node on this database, looks at it, and ends.
    #[arg(long, hide = true, value_name = "URL")]
    pub probe: Option<String>,
}

/// What `--database` names.
pub type Databases = Vec<Target>;

fn databases(text: &str) -> Result<Databases, String> {
    if text == "all" {
        return Ok(Target::ALL.to_vec());
    }
    match Target::ALL.iter().find(|t| t.name() == text) {
        Some(target) => Ok(vec![*target]),
        None => {
            let names: Vec<&str> = Target::ALL.iter().map(|t| t.name()).collect();
            Err(format!("choose from {} and all", names.join(", ")))
        }
    }
}

impl Args {
    /// The databases asked for, each once; none: what the workload usually runs on.
    pub fn targets(&self) -> Vec<Target> {
        let mut targets: Vec<Target> = self.databases.iter().flatten().copied().collect();
        targets.sort_unstable();
        targets.dedup();
        targets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_named_one_by_one_or_all_at_once() {
        let parse = |args: &[&str]| Args::try_parse_from([&["bench"], args].concat());
        let args = parse(&["engine", "single", "--database", "postgres"]).unwrap();
        assert_eq!(args.what, ["engine", "single"]);
        assert_eq!(args.targets(), [Target::Postgres]);
        let args = parse(&["--database", "all", "--database=sqlite"]).unwrap();
        assert_eq!(args.targets(), Target::ALL);
        assert!(parse(&["--database", "oracle"]).is_err());
    }
}
