//! `cargo xtask migrate`: new migrations in pairs, and the pairs kept equal.
//!
//! A crate with tables has `migrations/sqlite/` and `migrations/postgres/`, whose files have
//! equal numbers and names (`0001_create_systems.sql`). Migrations only go forward, and what
//! a release contains never changes: databases remember its checksum and refuse to start
//! (plugins §12).

mod files;

use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

use crate::shell::{self, cargo, root, say};

pub use files::problems;

#[derive(Subcommand)]
pub enum Command {
    /// Create an empty migration for both engines.
    New {
        /// The crate's folder, such as `catalog-plugin`.
        package: String,
        /// What it does, such as `add_owner_to_systems`.
        name: String,
    },
    /// Show which migrations a database has.
    Status(Target),
    /// Apply what a database lacks.
    Run(Target),
    /// Check that both engines have the same migrations and released ones are unchanged.
    Verify,
}

#[derive(Args)]
pub struct Target {
    /// The database: `postgres://…` or `sqlite://…`; without it, the server's default.
    #[arg(long)]
    database_url: Option<String>,
}

/// The `migrate` command.
pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::New { package, name } => new(&root().join(package), name),
        Command::Status(target) => signalbox("status", target),
        Command::Run(target) => signalbox("run", target),
        Command::Verify => verify(),
    }
}

/// The binary knows every plugin's migrations; asking it keeps one implementation.
fn signalbox(action: &str, target: &Target) -> Result<()> {
    let mut command = cargo(["run", "--package", "signalbox", "--", "migrate", action]);
    if let Some(url) = &target.database_url {
        command.args(["--database-url", url]);
    }
    shell::run(&mut command)
}

fn verify() -> Result<()> {
    let problems = files::problems(root())?;
    for problem in &problems {
        say(&problem.to_string());
    }
    if !problems.is_empty() {
        bail!("{} problems in migrations", problems.len());
    }
    say("Both engines have the same migrations, and released ones are unchanged.");
    Ok(())
}

fn new(package: &Path, name: &str) -> Result<()> {
    if !package.join("Cargo.toml").is_file() {
        bail!("{} is not a crate of this workspace", package.display());
    }
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || !name.chars().all(plain) {
        bail!("`{name}` is no name for a migration: write it like `add_owner_to_systems`");
    }
    let folder = package.join("migrations");
    let number = files::next_number(&folder)?;
    for engine in files::ENGINES {
        let path = folder.join(engine).join(format!("{number:04}_{name}.sql"));
        std::fs::create_dir_all(folder.join(engine))
            .and_then(|()| std::fs::write(&path, ""))
            .with_context(|| format!("{} cannot be written", path.display()))?;
        println!("{}", path.display());
    }
    say(&format!(
        "Fill both files; where a statement is the same on both engines, write it the same.\n\
         Then add \"{number:04}_{name}\" to the crate's `migrations![…]`."
    ));
    Ok(())
}
