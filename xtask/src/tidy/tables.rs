//! State that can be asked about must be an entity (entity §15.7): a warning for a plugin's
//! table that no kind reads and that is not declared non-reactive.
//!
//! What a kind reads is judged from names alone: the files that implement `EntityRead`, and
//! the modules they mention, and so on. That is why this only warns.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::Finding;
use super::source::Source;

/// Looks at every `*-plugin` crate among `files`.
pub fn check(files: &[Source]) -> Vec<Finding> {
    let mut plugins: BTreeMap<&str, Vec<&Source>> = BTreeMap::new();
    for file in files {
        if let Some(plugin) = crate_of(&file.path).filter(|name| name.ends_with("-plugin")) {
            plugins.entry(plugin).or_default().push(file);
        }
    }
    plugins
        .values()
        .flat_map(|files| unread_tables(files))
        .collect()
}

fn crate_of(path: &Path) -> Option<&str> {
    path.components().next()?.as_os_str().to_str()
}

fn unread_tables(files: &[&Source]) -> Vec<Finding> {
    let sources: Vec<&&Source> = files.iter().filter(|file| is_source(file)).collect();
    // What the readers mention, what that mentions, and so on.
    let mut read: BTreeSet<&str> = BTreeSet::new();
    let mut left = sources.clone();
    loop {
        let (reached, rest): (Vec<&&Source>, _) = left.into_iter().partition(|file| {
            file.text.contains("EntityRead<") || read.contains(module_of(&file.path))
        });
        if reached.is_empty() {
            break;
        }
        read.extend(reached.iter().flat_map(|file| words(&file.text)));
        left = rest;
    }
    let declared: BTreeSet<&str> = sources
        .iter()
        .flat_map(|file| file.text.split("declare_non_reactive_state").skip(1))
        .filter_map(|after| after.split('"').nth(1))
        .collect();

    let mut findings = Vec::new();
    for file in files.iter().filter(|file| in_folder(&file.path, "sqlite")) {
        for (number, line) in file.text.lines().enumerate() {
            let Some(table) = created_table(line) else {
                continue;
            };
            if !read.contains(table) && !declared.contains(table) {
                let instead = format!(
                    "no kind seems to read the table `{table}`; read it in an `EntityRead`, or declare it with `declare_non_reactive_state` (entity §15)"
                );
                findings
                    .push(Finding::new(&file.path, number + 1, "unread-table", &instead).warning());
            }
        }
    }
    findings
}

fn is_source(file: &Source) -> bool {
    file.is_rust() && in_folder(&file.path, "src")
}

fn in_folder(path: &Path, folder: &str) -> bool {
    path.parent()
        .is_some_and(|parent| parent.components().any(|part| part.as_os_str() == folder))
}

/// `systems` of `src/systems.rs` and of `src/systems/mod.rs`.
fn module_of(path: &Path) -> &str {
    let named = if path.ends_with("mod.rs") {
        path.parent().unwrap_or(path)
    } else {
        path
    };
    named
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
}

/// The name in `CREATE TABLE IF NOT EXISTS schema.name (`.
fn created_table(line: &str) -> Option<&str> {
    let mut rest = words(line).skip_while(|word| !word.eq_ignore_ascii_case("create"));
    rest.next()?;
    rest.next()
        .filter(|word| word.eq_ignore_ascii_case("table"))?;
    let end = line.find('(').unwrap_or(line.len());
    words(&line[..end])
        .last()
        .filter(|word| !word.eq_ignore_ascii_case("table"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source {
            path: path.into(),
            text: text.to_owned(),
        }
    }

    fn check_reader(path: &str, reader: &str, store: &str, expect: usize) {
        let files = [
            source(
                "a-plugin/migrations/sqlite/0001_a.sql",
                "-- first\nCREATE TABLE IF NOT EXISTS systems (\n  id TEXT\n);\n",
            ),
            source("a-plugin/src/read.rs", reader),
            source(path, store),
        ];
        let found = check(&files);
        assert_eq!(found.len(), expect, "{found:?}");
        for finding in found {
            let shown = finding.to_string();
            assert!(
                shown.starts_with("a-plugin/migrations/sqlite/0001_a.sql:2: warning: unread-table"),
                "{shown}"
            );
        }
    }

    #[test]
    fn a_table_counts_as_read_in_the_reader_or_a_module_it_mentions() {
        let select = "statements! { ALL = \"select id from systems\" }";
        let plain = "impl EntityRead<S> for R {}";
        check_reader("a-plugin/src/store.rs", &format!("{plain} {select}"), "", 0);
        check_reader(
            "a-plugin/src/store.rs",
            "use crate::store; impl EntityRead<S> for R {}",
            select,
            0,
        );
        check_reader(
            "a-plugin/src/store/mod.rs",
            "use crate::store; impl EntityRead<S> for R {}",
            select,
            0,
        );
        check_reader("a-plugin/src/store.rs", plain, select, 1);
        check_reader(
            "a-plugin/tests/it/store.rs",
            "use crate::store; impl EntityRead<S> for R {}",
            select,
            1,
        );
    }

    #[test]
    fn a_declared_table_is_fine() {
        let declared =
            "point.declare_non_reactive_state(\n    \"systems\", NonReactive::Log, \"x\")";
        check_reader("a-plugin/src/lib.rs", "", declared, 0);
        check_reader("a-plugin/src/lib.rs", "", "", 1);
    }

    #[test]
    fn only_table_creation_is_looked_at() {
        assert_eq!(
            created_table("create table if not exists a.b (id text);"),
            Some("b")
        );
        assert_eq!(created_table("CREATE TABLE c"), Some("c"));
        assert_eq!(created_table("create index d on e (f)"), None);
        assert_eq!(created_table("id text not null"), None);
    }
}
