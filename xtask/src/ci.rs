//! `cargo xtask ci`: everything a change must pass, cheapest first, on one target directory.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::shell::{self, cargo, say, timed};
use crate::{metadata, new_plugin, postgres, test, tidy};

type Step = (&'static str, fn() -> Result<()>);

const STEPS: &[Step] = &[
    ("tools", tools),
    ("fmt", fmt),
    ("tidy", tidy::run),
    ("clippy", clippy),
    ("features", features),
    ("docs", docs),
    ("test", tests),
    ("sample", new_plugin::check_template),
];

/// The names a user may give to run only some steps.
pub fn step_names() -> Vec<&'static str> {
    STEPS.iter().map(|(name, _)| *name).collect()
}

/// Runs the chosen steps, or all; stops at the first that fails. Ends with what took how
/// long.
pub fn run(chosen: &[String]) -> Result<()> {
    let mut times: Vec<(&str, Duration)> = Vec::new();
    let selected = |(name, _): &&Step| chosen.is_empty() || chosen.iter().any(|c| c == name);
    for (name, step) in STEPS.iter().filter(selected) {
        say(&format!("\n== {} ==", name));
        let (result, took) = timed(step);
        times.push((name, took));
        if let Err(error) = result {
            say(&summary(&times));
            return Err(error.context(format!("the step `{name}` failed")));
        }
    }
    say(&summary(&times));
    say("Everything passed.");
    Ok(())
}

fn summary(times: &[(&str, Duration)]) -> String {
    let total: Duration = times.iter().map(|(_, took)| *took).sum();
    let mut text = String::from("\n");
    for (name, took) in times.iter().chain([&("total", total)]) {
        text += &format!("{name:>10} {:>7.1} s\n", took.as_secs_f64());
    }
    text
}

/// What is missing shall be known before the first long build.
fn tools() -> Result<()> {
    test::ensure_nextest()?;
    postgres::ensure_installed()
}

fn fmt() -> Result<()> {
    shell::run(&mut cargo(["fmt", "--all", "--check"]))
        .context("run `cargo fmt --all` and commit what it changes")
}

fn clippy() -> Result<()> {
    shell::run(&mut cargo([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))
}

/// Each plugin alone with one engine builds. The engines take turns, so that both are also
/// built without the other.
fn features() -> Result<()> {
    const ENGINES: [&str; 2] = ["sqlite", "postgres"];
    let host = metadata::features_of("signalbox")?;
    let mut plugins: Vec<&String> = host
        .iter()
        .filter(|name| *name != "default" && !ENGINES.contains(&name.as_str()))
        .collect();
    plugins.sort();
    if plugins.is_empty() {
        bail!("the host declares no plugin features; has host/Cargo.toml moved?");
    }
    for (plugin, engine) in plugins.into_iter().zip(ENGINES.iter().cycle()) {
        let set = format!("{engine},{plugin}");
        shell::run(&mut cargo([
            "check",
            "--package",
            "signalbox",
            "--no-default-features",
            "--features",
            &set,
        ]))?;
    }
    Ok(())
}

fn docs() -> Result<()> {
    shell::run(cargo(["doc", "--no-deps", "--workspace"]).env("RUSTDOCFLAGS", "-D warnings"))
}

fn tests() -> Result<()> {
    test::run(&[])
}
