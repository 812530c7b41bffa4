//! What is measured, in which order, and in which process.
//!
//! A job is one workload on one database. Each runs in a process of its own, so that its memory is its own, one that fails
//! takes no other with it, and what an earlier one left in caches and allocators does not colour the next. A single job
//! runs right here.

use crate::{
    args::Args,
    database::Target,
    engine, entity, probe, queue,
    report::{Row, table},
    statements, template,
};
use anyhow::{Context, Result, bail};
use std::{
    future::Future,
    io::{BufRead, BufReader},
    pin::Pin,
    process::{Command, Stdio},
};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Seconds of one measurement.
    pub seconds: f64,
    /// The large sizes.
    pub full: bool,
}

/// The rows of a workload on one database.
pub type Measured = Pin<Box<dyn Future<Output = Result<Vec<Row>>>>>;

/// Something that can be measured.
pub struct Workload {
    /// Its group.
    pub group: &'static str,
    /// Its name in the group; empty in a group of one.
    pub name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// The databases it runs on unless others are asked for; none: it needs no database.
    pub databases: &'static [Target],
    /// Databases of which it can run on no other.
    pub only: &'static [Target],
    /// Measures.
    pub run: fn(Target, Settings) -> Measured,
}

const TEMPLATE: Workload = Workload {
    group: "template",
    name: "",
    about: "expressions and templates, beside the reference",
    databases: &[],
    only: &[],
    run: |_, settings| Box::pin(async move { template::rows(settings.seconds / 6.0) }),
};

fn workloads() -> impl Iterator<Item = &'static Workload> {
    [&TEMPLATE, &queue::WORKLOAD, &entity::WORKLOAD]
        .into_iter()
        .chain(engine::WORKLOADS.iter().copied())
}

/// Groups measured when none is named.
const USUAL: &[&str] = &["template", "queue", "entity"];

struct Job {
    workload: &'static Workload,
    /// None: needs no database.
    target: Option<Target>,
}

impl Job {
    fn name(&self) -> String {
        let mut name = self.workload.group.to_owned();
        if !self.workload.name.is_empty() {
            name = format!("{name} {}", self.workload.name);
        }
        match self.target {
            Some(target) => format!("{name} on {}", target.name()),
            None => name,
        }
    }
}

/// Measures what the command line asks for; answers the jobs that failed.
///
/// # Errors
/// When the command line names what there is not.
pub fn run(args: Args) -> Result<Vec<String>> {
    if args.list {
        for w in workloads() {
            println!("{:<9} {:<12} {}", w.group, w.name, w.about);
        }
        return Ok(Vec::new());
    }
    if let Some(url) = &args.probe {
        return probe::run(url, &args.targets(), args.seconds > 0.0).map(|()| Vec::new());
    }
    let jobs = chosen(&args)?;
    if !args.json {
        eprintln!("{}", table::heading());
    }
    let alone = args.here || jobs.len() == 1;
    let mut failed = Vec::new();
    for job in jobs {
        let done = if alone {
            here(&job, &args)
        } else {
            child(&job, &args)
        };
        if let Err(error) = done {
            eprintln!("{}: {error:#}", job.name());
            failed.push(job.name());
        }
    }
    Ok(failed)
}

/// The jobs that the command line names.
fn chosen(args: &Args) -> Result<Vec<Job>> {
    for name in &args.what {
        if !workloads().any(|w| w.group == name || w.name == name) {
            bail!("there is nothing named {name} to measure; `--list` shows what there is");
        }
    }
    let named = |name: &str| args.what.iter().any(|w| w == name);
    let targets = args.targets();
    let mut jobs = Vec::new();
    for workload in workloads() {
        let narrowed =
            workloads().any(|w| w.group == workload.group && !w.name.is_empty() && named(w.name));
        let wanted = if args.what.is_empty() {
            USUAL.contains(&workload.group)
        } else if narrowed {
            named(workload.name)
        } else {
            named(workload.group)
        };
        if !wanted {
            continue;
        }
        if workload.databases.is_empty() {
            jobs.push(Job {
                workload,
                target: None,
            });
            continue;
        }
        let on = if targets.is_empty() {
            workload.databases
        } else {
            &targets
        };
        jobs.extend(
            on.iter()
                .filter(|t| workload.only.is_empty() || workload.only.contains(t))
                .map(|target| Job {
                    workload,
                    target: Some(*target),
                }),
        );
    }
    if jobs.is_empty() {
        bail!("what is named cannot be measured on the databases named");
    }
    Ok(jobs)
}

/// Runs a job in this process.
fn here(job: &Job, args: &Args) -> Result<()> {
    let settings = Settings {
        seconds: args.seconds,
        full: args.full,
    };
    statements::install(args.statements);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let target = job.target.unwrap_or(Target::Sqlite);
    let rows = runtime.block_on((job.workload.run)(target, settings));
    // Whatever hangs in a runtime that is being thrown away must not hold up the next job.
    runtime.shutdown_background();
    for row in rows? {
        show(&row, args)?;
    }
    Ok(())
}

/// Runs a job in a process of its own and shows its rows as they come.
fn child(job: &Job, args: &Args) -> Result<()> {
    let program = std::env::current_exe().context("this program does not know where it is")?;
    let mut command = Command::new(program);
    command
        .arg(job.workload.group)
        .args(Some(job.workload.name).filter(|name| !name.is_empty()));
    if let Some(target) = job.target {
        command.args(["--database", target.name()]);
    }
    command
        .args(["--seconds", &args.seconds.to_string(), "--json"])
        .args(args.full.then_some("--full"))
        .args(args.statements.then_some("--statements"))
        .stdout(Stdio::piped());
    let mut process = command.spawn().context("a process could not be started")?;
    if let Some(stdout) = process.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            show(&serde_json::from_str(&line?)?, args)?;
        }
    }
    let status = process.wait()?;
    if !status.success() {
        bail!("its process ended with {status}");
    }
    Ok(())
}

fn show(row: &Row, args: &Args) -> Result<()> {
    println!("{}", serde_json::to_string(row)?);
    if !args.json {
        eprint!("{}", table::lines(row));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn names(args: &[&str]) -> Vec<String> {
        let args = Args::try_parse_from([&["bench"], args].concat()).unwrap();
        let jobs = chosen(&args).unwrap();
        jobs.iter().map(Job::name).collect()
    }

    #[test]
    fn jobs_are_chosen_by_group_by_workload_and_by_database() {
        let usual = names(&[]);
        assert_eq!(usual[0], "template");
        assert!(usual.contains(&"entity on postgres".to_owned()));
        assert!(!usual.iter().any(|n| n.starts_with("engine")));
        assert_eq!(
            names(&["engine", "single", "--database", "sqlite-full"]),
            ["engine single on sqlite-full"]
        );
        assert_eq!(
            names(&["queue", "backlog", "--database", "postgres"]),
            ["queue on postgres", "engine backlog on postgres"]
        );
        assert_eq!(names(&["nodes"]), ["engine nodes on postgres"]);
        assert!(names(&["engine"]).len() > 10);
        let args = Args::try_parse_from(["bench", "nothing"]).unwrap();
        assert!(chosen(&args).is_err());
    }
}
