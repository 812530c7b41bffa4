//! Finding the Postgres programs, or installing them where that is ours to do.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::unistd::Uid;

use crate::shell::{on_path, run, say};

/// What a cluster is made with.
const PROGRAMS: &[&str] = &["initdb", "postgres", "pg_ctl"];

/// Where packages put the programs of each major version: the folder that lists versions,
/// and what the name of a version starts with.
const PACKAGES: &[(&str, &str)] = &[
    ("/usr/lib/postgresql", ""),          // Debian, Ubuntu
    ("/usr", "pgsql-"),                   // Red Hat, packages of postgresql.org
    ("/opt/homebrew/opt", "postgresql@"), // macOS on ARM
    ("/usr/local/opt", "postgresql@"),    // macOS on Intel
];

/// The directory of `initdb`, `postgres` and `pg_ctl`.
///
/// As root on Debian the package is installed when missing; elsewhere the error says which
/// command does it, because installing packages is the user's decision.
pub fn programs() -> Result<PathBuf> {
    if let Some(found) = find() {
        return Ok(found);
    }
    if Uid::effective().is_root() && on_path(&["apt-get"]).is_some() {
        say("Postgres is not installed; installing the package `postgresql`.");
        apt(&["update"])?;
        apt(&["install", "--yes", "--no-install-recommends", "postgresql"])?;
        return find().context("the package `postgresql` is installed, yet initdb is not found");
    }
    bail!(
        "the tests run on Postgres too, and its programs (initdb, postgres, pg_ctl) were found \
         neither on PATH nor where packages put them. Install them with\n\n    {}\n\nand run \
         the same command again. No server needs to be running.",
        install_command()
    );
}

fn find() -> Option<PathBuf> {
    on_path(PROGRAMS).or_else(|| newest(PACKAGES))
}

/// The newest version that is complete.
fn newest(packages: &[(&str, &str)]) -> Option<PathBuf> {
    packages
        .iter()
        .flat_map(|(folder, prefix)| versions(Path::new(folder), prefix))
        .filter(|(_, bin)| PROGRAMS.iter().all(|name| bin.join(name).is_file()))
        .max_by_key(|(version, _)| *version)
        .map(|(_, bin)| bin)
}

fn versions(folder: &Path, prefix: &str) -> Vec<(u32, PathBuf)> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = name.to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect()
}

fn apt(args: &[&str]) -> Result<()> {
    run(Command::new("apt-get")
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null()))
}

fn install_command() -> &'static str {
    let known = [
        (
            "apt-get",
            "sudo apt-get update && sudo apt-get install postgresql",
        ),
        ("dnf", "sudo dnf install postgresql-server"),
        ("pacman", "sudo pacman -S postgresql"),
        ("apk", "sudo apk add postgresql"),
        ("brew", "brew install postgresql@17"),
    ];
    known
        .iter()
        .find(|(tool, _)| on_path(&[tool]).is_some())
        .map_or(
            "your system's package manager (package `postgresql`)",
            |(_, command)| command,
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(folder: &Path, version: &str, programs: &[&str]) {
        let bin = folder.join(version).join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        for program in programs {
            std::fs::write(bin.join(program), "").unwrap();
        }
    }

    #[test]
    fn the_newest_complete_version_is_chosen_by_number() {
        let dir = tempfile::tempdir().unwrap();
        package(dir.path(), "9", PROGRAMS);
        package(dir.path(), "15", PROGRAMS);
        package(dir.path(), "16", &["pg_ctl"]);
        let folder = dir.path().to_str().unwrap();
        assert_eq!(newest(&[(folder, "")]), Some(dir.path().join("15/bin")));
        assert_eq!(newest(&[(folder, "pgsql-")]), None);
    }
}
