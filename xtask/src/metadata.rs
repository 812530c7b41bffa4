//! What `cargo metadata` knows of the workspace.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::shell::{cargo, output};

/// A crate of the workspace.
pub struct Package {
    /// Its name, which need not be the name of its folder (`signalbox` lives in `host`).
    pub name: String,
    /// Its folder.
    pub dir: PathBuf,
    /// Names of its features.
    pub features: Vec<String>,
    /// Names of the packages it depends on outside tests and build scripts, optional ones
    /// included.
    pub dependencies: BTreeSet<String>,
}

/// All crates of the workspace, by name.
pub fn packages() -> Result<BTreeMap<String, Package>> {
    let text = output(&mut cargo(["metadata", "--format-version=1", "--no-deps"]))?;
    parse_packages(&text).context("`cargo metadata` printed something unexpected")
}

/// The feature names of one crate of the workspace.
pub fn features_of(package: &str) -> Result<Vec<String>> {
    let mut all = packages()?;
    let found = all.remove(package);
    Ok(found
        .with_context(|| format!("the workspace has no package `{package}`"))?
        .features)
}

/// Every package that is linked into `package`, directly or not, itself excluded; what only
/// tests and build scripts use is left out.
pub fn linked_into(package: &str) -> Result<BTreeSet<String>> {
    let text = output(&mut cargo([
        "tree",
        "--package",
        package,
        "--edges=normal",
        "--prefix=none",
        "--format={p}",
    ]))?;
    Ok(text
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect())
}

/// A package that is part of some build of the workspace, ours included.
pub struct Linked {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its licence expression.
    pub licence: Option<String>,
    /// Where it comes from; none for our own.
    pub source: Option<String>,
    /// For our own: dependencies from outside that may have any version.
    pub wildcards: Vec<String>,
}

/// Every package of the workspace's builds on this platform, with all features.
pub fn linked() -> Result<Vec<Linked>> {
    let rustc = output(std::process::Command::new("rustc").arg("-vV"))?;
    let host = rustc.lines().find_map(|l| l.strip_prefix("host: "));
    let host = host.context("`rustc -vV` names no host")?;
    let text = output(&mut cargo([
        "metadata",
        "--format-version=1",
        "--all-features",
        "--filter-platform",
        host,
    ]))?;
    parse_linked(&text).context("`cargo metadata` printed something unexpected")
}

fn parse_linked(text: &str) -> Option<Vec<Linked>> {
    let document: Value = serde_json::from_str(text).ok()?;
    let text = |v: &Value| v.as_str().map(str::to_owned);
    // Packages of other platforms are listed too; those of this one are in the graph.
    let nodes = document["resolve"]["nodes"].as_array()?;
    let in_graph: BTreeSet<&str> = nodes.iter().filter_map(|n| n["id"].as_str()).collect();
    let packages = document["packages"].as_array()?.iter();
    packages
        .filter(|p| p["id"].as_str().is_some_and(|id| in_graph.contains(id)))
        .map(|p| {
            let source = text(&p["source"]);
            let ours = source.is_none();
            let dependencies = p["dependencies"].as_array()?.iter();
            Some(Linked {
                name: text(&p["name"])?,
                version: text(&p["version"])?,
                licence: text(&p["license"]),
                wildcards: dependencies
                    .filter(|d| ours && d["req"] == "*" && d["path"].is_null())
                    .filter_map(|d| text(&d["name"]))
                    .collect(),
                source,
            })
        })
        .collect()
}

fn parse_packages(text: &str) -> Option<BTreeMap<String, Package>> {
    let document: Value = serde_json::from_str(text).ok()?;
    document["packages"]
        .as_array()?
        .iter()
        .map(parse_package)
        .collect()
}

fn parse_package(package: &Value) -> Option<(String, Package)> {
    let name = package["name"].as_str()?.to_owned();
    let manifest = PathBuf::from(package["manifest_path"].as_str()?);
    let dependencies = package["dependencies"]
        .as_array()?
        .iter()
        .filter(|dependency| dependency["kind"].is_null())
        .map(|dependency| Some(dependency["name"].as_str()?.to_owned()))
        .collect::<Option<_>>()?;
    let parsed = Package {
        name: name.clone(),
        dir: manifest.parent()?.to_owned(),
        features: package["features"].as_object()?.keys().cloned().collect(),
        dependencies,
    };
    Some((name, parsed))
}
