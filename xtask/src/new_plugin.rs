//! `cargo xtask new-plugin NAME`: a plugin that compiles, is tested and runs in the host.
//!
//! The template is an ordinary crate in `xtask/templates/plugin`, written for a plugin named
//! `sprocket`. Making a plugin is copying it with that name replaced, and adding one line in
//! each place that lists plugins. [`check_template`] does this in a copy of the workspace, so
//! that the template cannot rot.

mod edit;
mod names;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::postgres::{Cluster, Purpose, URL_VARIABLE};
use crate::shell::{self, cargo, root, say};
use edit::Edit;
use names::Names;

const TEMPLATE: &str = "xtask/templates/plugin";

/// The `new-plugin` command.
pub fn run(name: &str) -> Result<()> {
    let names = Names::parse(name)?;
    create(root(), &names)?;
    let folder = format!("{}-plugin", names.kebab);
    shell::run(&mut cargo(["fmt", "--package", &folder]))?;
    say(&format!(
        "Made {folder} and switched it on in the host (feature `{}`).\n\
         Start reading at {folder}/src/lib.rs; its test runs with `cargo xtask test -p {folder}`.",
        names.kebab
    ));
    Ok(())
}

/// Renders the template in a scratch copy of the workspace and requires of it what the house
/// requires of any crate: no warnings, its tests pass, and the host builds with it alone.
///
/// The copy shares the target directory, where most of it is built already.
pub fn check_template() -> Result<()> {
    let names = Names::parse("zz-sample")?;
    let copy = tempfile::Builder::new()
        .prefix("signalbox-sample-")
        .tempdir()?;
    copy_workspace(root(), copy.path())?;
    create(copy.path(), &names)?;

    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root().join("target"), Into::into);
    let in_copy = |command: &mut Command| {
        shell::run(
            command
                .current_dir(copy.path())
                .env("CARGO_TARGET_DIR", &target),
        )
    };
    let host = [
        "--package=signalbox",
        "--no-default-features",
        "--features=sqlite,zz-sample",
    ];
    in_copy(cargo(["check"]).args(host))?;
    let sample = "--package=zz-sample-plugin";
    in_copy(&mut cargo([
        "clippy",
        sample,
        "--all-targets",
        "--no-deps",
        "--",
        "-D",
        "warnings",
    ]))?;
    let cluster = Cluster::start(Purpose::Tests)?;
    in_copy(cargo(["nextest", "run", sample]).env(URL_VARIABLE, cluster.url()))
}

/// Everything is looked at before anything is written.
fn create(root: &Path, names: &Names) -> Result<()> {
    let folder = format!("{}-plugin", names.kebab);
    let target = root.join(&folder);
    if target.exists() {
        bail!("{folder} exists already");
    }
    let mut changed: BTreeMap<&str, String> = BTreeMap::new();
    for (file, edit) in edits(names) {
        let text = match changed.remove(file) {
            Some(text) => text,
            None => std::fs::read_to_string(root.join(file))
                .with_context(|| format!("{file} cannot be read"))?,
        };
        let text = edit.apply(&text).with_context(|| {
            format!("{file} is not as new-plugin knows it; mend xtask/src/new_plugin.rs")
        })?;
        changed.insert(file, text);
    }
    copy_template(&root.join(TEMPLATE), &target, names)?;
    for (file, text) in changed {
        std::fs::write(root.join(file), text)
            .with_context(|| format!("{file} cannot be written"))?;
    }
    Ok(())
}

/// One line in each place that lists plugins.
fn edits(names: &Names) -> Vec<(&'static str, Edit)> {
    let Names {
        kebab,
        snake,
        pascal,
        ..
    } = names;
    let line = |after: &str, line: String| Edit::Line {
        after: after.to_owned(),
        line,
    };
    let item = |list: &str, item: String| Edit::Item {
        start: format!("{list} = ["),
        item,
    };
    const ROOT: &str = "Cargo.toml";
    const HOST: &str = "host/Cargo.toml";
    vec![
        (
            ROOT,
            line("members = [", format!("    \"{kebab}-plugin\",")),
        ),
        (
            ROOT,
            line(
                "# Our own crates",
                format!(
                    "{kebab}-plugin = {{ path = \"{kebab}-plugin\", default-features = false }}"
                ),
            ),
        ),
        (HOST, item("default", kebab.clone())),
        (HOST, item("sqlite", format!("{kebab}-plugin?/sqlite"))),
        (HOST, item("postgres", format!("{kebab}-plugin?/postgres"))),
        (
            HOST,
            line(
                "postgres = [",
                format!("{kebab} = [\"dep:{kebab}-plugin\"]"),
            ),
        ),
        (
            HOST,
            line(
                "[dependencies]",
                format!("{kebab}-plugin = {{ workspace = true, optional = true }}"),
            ),
        ),
        (
            "host/src/compose.rs",
            Edit::Above {
                line: "    ]".to_owned(),
                new: format!(
                    "        #[cfg(feature = \"{kebab}\")]\n        Box::new({snake}_plugin::{pascal}Plugin),"
                ),
            },
        ),
    ]
}

fn copy_template(from: &Path, to: &Path, names: &Names) -> Result<()> {
    for entry in
        std::fs::read_dir(from).with_context(|| format!("{} cannot be read", from.display()))?
    {
        let entry = entry?;
        let target = to.join(names.fill(&entry.file_name().to_string_lossy()));
        if entry.file_type()?.is_dir() {
            copy_template(&entry.path(), &target, names)?;
        } else {
            std::fs::create_dir_all(to)?;
            std::fs::write(&target, names.fill(&std::fs::read_to_string(entry.path())?))?;
        }
    }
    Ok(())
}

/// Copies what is needed to build; build output, data and hidden folders (but `.cargo` and
/// `.config`) stay behind. Times are kept, so that Cargo finds nothing changed.
fn copy_workspace(from: &Path, to: &Path) -> Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let hidden = name.starts_with('.') && !matches!(&*name, ".cargo" | ".config");
        if hidden || matches!(&*name, "target" | "signalbox-data") {
            continue;
        }
        let target = to.join(&*name);
        if entry.file_type()?.is_dir() {
            std::fs::create_dir_all(&target)?;
            copy_workspace(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)?;
            let modified = entry.metadata()?.modified()?;
            std::fs::File::options()
                .append(true)
                .open(&target)?
                .set_modified(modified)?;
        }
    }
    Ok(())
}
