//! A node in a process of its own, looked at from outside: how long it takes to be ready, how much memory it has then,
//! what it costs when nothing happens. What made the database full is over, so memory is the node's alone.

use crate::{
    database::{Counters, Scratch, Target},
    stopwatch::{Moment, pause},
    usage,
    world::World,
};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::{process::Stdio, time::Duration};
use tokio::process::Command;

/// How long an idle node is watched. Longer than what any of its loops rests, sweeper included.
const WATCHED: Duration = Duration::from_secs(35);
/// How long a node gets to come to rest.
const REST: Duration = Duration::from_secs(2);

/// What was seen.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Seen {
    /// Milliseconds from the begin of the boot until the node is ready, its schema being there.
    pub ready: f64,
    /// Memory once it rests, in MB; none where the system does not tell.
    pub memory: Option<f64>,
    /// Processor time in a second without work, in milliseconds; none: it was not watched.
    pub idle_cpu: Option<f64>,
    /// Commits in a second without work.
    pub idle_commits: Option<f64>,
}

/// Boots a node on a database that no other process of this benchmark has open, and watches it idle if `idle`.
///
/// # Errors
/// When the process fails.
pub async fn look(scratch: &Scratch, idle: bool) -> Result<Seen> {
    let program = std::env::current_exe().context("this program does not know where it is")?;
    let mut command = Command::new(program);
    command
        .args(["--probe", scratch.url()])
        .args(["--database", scratch.target().name()])
        .args(["--seconds", if idle { "1" } else { "0" }])
        .stdout(Stdio::piped());
    let output = command.spawn()?.wait_with_output().await?;
    if !output.status.success() {
        bail!("the process of a node ended with {}", output.status);
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The other side of [`look`]: prints what is seen.
///
/// # Errors
/// When the node does not boot.
pub fn run(url: &str, targets: &[Target], idle: bool) -> Result<()> {
    let target = targets.first().context("a probe needs a database")?;
    let scratch = Scratch::existing(*target, url);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let seen = runtime.block_on(async {
        let world = World::boot(&scratch).await?;
        let ready = world.boot.as_secs_f64() * 1e3;
        world.settle().await?;
        pause(REST).await;
        let memory = usage::memory();
        let mut seen = Seen {
            ready,
            memory,
            idle_cpu: None,
            idle_commits: None,
        };
        if idle {
            let (cpu, commits) = watch(&scratch).await?;
            (seen.idle_cpu, seen.idle_commits) = (Some(cpu), Some(commits));
        }
        world.shutdown().await;
        Ok::<Seen, anyhow::Error>(seen)
    })?;
    println!("{}", serde_json::to_string(&seen)?);
    Ok(())
}

/// Milliseconds of processor time and commits in a second without work.
async fn watch(scratch: &Scratch) -> Result<(f64, f64)> {
    let (begun, cpu) = (Moment::now(), usage::cpu()?);
    let before: Counters = scratch.counters().await?;
    pause(WATCHED).await;
    let used = usage::cpu()?.saturating_sub(cpu);
    let did = scratch.counters().await?.since(before);
    let seconds = begun.elapsed().as_secs_f64();
    Ok((
        used.as_secs_f64() * 1e3 / seconds,
        did.commits as f64 / seconds,
    ))
}
