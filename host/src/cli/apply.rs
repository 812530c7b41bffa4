//! `signalbox apply`: shows what would change, asks, changes it.

use super::args::ApplyArgs;
use crate::{apply, client::Client, settings::Remote};
use anyhow::{Context, bail};
use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
};

/// Checks and tries everything, then shows the plan, then asks, then writes.
pub async fn run(args: ApplyArgs) -> anyhow::Result<ExitCode> {
    let sources = apply::read_paths(&args.paths)?;
    let client = Client::new(&Remote::load(&args.remote)?)?;
    let (checked, plan) = apply::prepare(&client, sources).await?;
    let color = std::io::stderr().is_terminal();
    let report = checked.render(color);
    if !report.is_empty() {
        eprintln!("{report}\n");
    }
    if checked.has_errors() {
        bail!("nothing was changed: {}", checked.summary());
    }
    for change in &plan.changes {
        println!("  {change}");
    }
    if plan.is_empty() {
        println!("Nothing to change.");
        return Ok(ExitCode::SUCCESS);
    }
    if !args.yes && !ask(plan.pending())? {
        println!("Nothing was changed.");
        return Ok(ExitCode::FAILURE);
    }
    let mut done = 0;
    let result = plan
        .carry_out(&client, |change| {
            done += 1;
            println!("  {}", change.done());
        })
        .await;
    result.with_context(|| {
        format!(
            "stopped after {done} of {}; apply again to continue",
            count(plan.pending())
        )
    })?;
    println!("Applied {}.", count(done));
    Ok(ExitCode::SUCCESS)
}

fn count(changes: usize) -> String {
    match changes {
        1 => "1 change".into(),
        n => format!("{n} changes"),
    }
}

fn ask(changes: usize) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!(
            "nothing was changed: there is nobody to ask; give --yes to apply the {} above",
            count(changes)
        );
    }
    print!("Apply {}? [y/N] ", count(changes));
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
