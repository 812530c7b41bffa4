//! Which crate may know which: the table of `ARCHITECTURE.md`, checked against the manifests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::Finding;
use crate::metadata::Package;
use crate::shell::root;

/// Crates that anything may be linked into, because nothing of ours links them.
const KNOWS_EVERYTHING: &[&str] = &["signalbox", "bench", "test-kit"];

/// A crate, and the crates of ours that it may name. Whatever those may name, it may name
/// too. A `*` stands for any beginning, as in `*-common`.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("template-engine", &[]),
    ("masking", &[]),
    ("xtask", &[]),
    ("plugin-api", &["masking"]),
    ("migrations", &["plugin-api"]),
    ("plugin-runtime", &["plugin-api", "migrations"]),
    ("secrets", &["plugin-api"]),
    ("script-runner", &["plugin-api"]),
    ("*-common", &["plugin-api"]),
    ("automation-core", &["template-engine", "plugin-api"]),
    ("automation-entity", &["automation-core"]),
    ("automation-dispatch", &["automation-entity", "secrets"]),
    ("automation-gitops", &["automation-core"]),
    (
        "automation-api",
        &["automation-dispatch", "automation-gitops"],
    ),
    (
        "*-plugin",
        &[
            "plugin-api",
            "automation-core",
            "automation-entity",
            "*-common",
            "script-runner",
        ],
    ),
];

/// Crates that compute and do nothing else.
pub const WITHOUT_IO: &[&str] = &["template-engine", "masking"];

/// Libraries that do input or output, in any form.
const IO_LIBRARIES: &[&str] = &[
    "async-std",
    "axum",
    "hickory-resolver",
    "hyper",
    "mio",
    "nix",
    "redis",
    "reqwest",
    "rustls",
    "smol",
    "socket2",
    "sqlx",
    "sqlx-core",
    "surge-ping",
    "tempfile",
    "tokio",
    "ureq",
];

const RULE: &str = "dependency-edge";

/// Every dependency of a crate on another of ours must be in the table.
pub fn check(packages: &BTreeMap<String, Package>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages.values() {
        let manifest = manifest_of(package);
        if KNOWS_EVERYTHING.contains(&package.name.as_str()) {
            continue;
        }
        if row(&package.name).is_none() {
            let instead = format!(
                "`{}` is new: give it a row in xtask/src/tidy/edges.rs and ARCHITECTURE.md",
                package.name
            );
            findings.push(Finding::new(&manifest, 1, RULE, &instead));
            continue;
        }
        for dependency in package
            .dependencies
            .iter()
            .filter(|name| packages.contains_key(*name))
        {
            if !may_know(&package.name, dependency) {
                let instead = advice(&package.name, dependency);
                let line = line_of(package, dependency);
                findings.push(Finding::new(&manifest, line, RULE, &instead));
            }
        }
    }
    findings
}

/// No library that does input or output may be linked into `package`, however indirectly.
pub fn check_io(package: &str, linked: &BTreeSet<String>) -> Vec<Finding> {
    let manifest = Path::new(package).join("Cargo.toml");
    IO_LIBRARIES
        .iter()
        .filter(|library| linked.contains(**library))
        .map(|library| {
            let instead = format!("`{package}` computes and does no input or output, but `{library}` is linked into it; hand in what it needs");
            Finding::new(&manifest, 1, RULE, &instead)
        })
        .collect()
}

fn row(name: &str) -> Option<&'static [&'static str]> {
    MAY_KNOW
        .iter()
        .find(|(pattern, _)| matches(pattern, name))
        .map(|(_, known)| *known)
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(ending) => name.ends_with(ending),
        None => pattern == name,
    }
}

fn may_know(name: &str, dependency: &str) -> bool {
    row(name).unwrap_or_default().iter().any(|known| {
        // A pattern is looked up by itself: `*-common` has its own row.
        matches(known, dependency) || may_know(known, dependency)
    })
}

fn advice(name: &str, dependency: &str) -> String {
    if dependency.ends_with("-plugin") {
        return format!(
            "a plugin is known to the host alone; `{name}` should use its `-common` crate"
        );
    }
    let known = row(name).unwrap_or_default();
    let allowed = if known.is_empty() {
        "nothing of ours".to_owned()
    } else {
        known.join(", ")
    };
    format!("`{name}` may know {allowed}; it may not depend on `{dependency}`")
}

fn manifest_of(package: &Package) -> std::path::PathBuf {
    let manifest = package.dir.join("Cargo.toml");
    manifest
        .strip_prefix(root())
        .unwrap_or(&manifest)
        .to_owned()
}

/// Where the manifest names the dependency; 1 when it cannot be read.
fn line_of(package: &Package, dependency: &str) -> usize {
    std::fs::read_to_string(package.dir.join("Cargo.toml"))
        .ok()
        .and_then(|text| text.lines().position(|line| line.starts_with(dependency)))
        .map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependencies: &[&str]) -> (String, Package) {
        let package = Package {
            name: name.to_owned(),
            dir: root().join(name),
            features: Vec::new(),
            dependencies: dependencies.iter().map(|d| (*d).to_owned()).collect(),
        };
        (name.to_owned(), package)
    }

    fn check_edge(from: &str, to: &str, allowed: bool) {
        let packages = BTreeMap::from([package(from, &[to]), package(to, &[])]);
        let found = check(&packages);
        assert_eq!(found.is_empty(), allowed, "{from} -> {to}: {found:?}");
    }

    #[test]
    fn edges_follow_the_table() {
        check_edge("plugin-api", "masking", true);
        check_edge("plugin-api", "template-engine", false);
        check_edge("template-engine", "masking", false);
        check_edge("automation-entity", "plugin-api", true);
        check_edge("automation-entity", "automation-dispatch", false);
        check_edge("automation-dispatch", "template-engine", true);
        check_edge("catalog-plugin", "automation-entity", true);
        check_edge("catalog-plugin", "health-common", true);
        check_edge("catalog-plugin", "masking", true);
        check_edge("catalog-plugin", "automation-dispatch", false);
        check_edge("catalog-plugin", "incident-plugin", false);
        check_edge("catalog-common", "automation-core", false);
        check_edge("signalbox", "catalog-plugin", true);
    }

    #[test]
    fn a_crate_without_a_row_is_found() {
        let found = check(&BTreeMap::from([package("types", &[])]));
        assert!(found[0].to_string().contains("`types` is new"), "{found:?}");
    }

    #[test]
    fn a_library_with_io_is_found_in_a_pure_crate() {
        let linked = BTreeSet::from(["serde".to_owned(), "tokio".to_owned()]);
        let found = check_io("template-engine", &linked);
        assert_eq!(found.len(), 1);
        assert!(
            found[0]
                .to_string()
                .starts_with("template-engine/Cargo.toml:1: dependency-edge")
        );
    }
}
