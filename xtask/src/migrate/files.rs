//! The rules that migration files follow, checked without a database.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::shell::output;
use crate::tidy::{Finding, walk};

/// One folder each.
pub const ENGINES: [&str; 2] = ["sqlite", "postgres"];

/// The number a new migration of this folder gets: one more than the highest of any engine.
pub fn next_number(folder: &Path) -> Result<u32> {
    let mut highest = 0;
    for engine in ENGINES {
        for name in file_names(&folder.join(engine))? {
            highest = highest.max(number_of(&name).unwrap_or(0));
        }
    }
    Ok(highest + 1)
}

/// Everything wrong with the migrations of any crate under `root`.
pub fn problems(root: &Path) -> Result<Vec<Finding>> {
    let mut problems = Vec::new();
    for folder in folders(root)? {
        problems.extend(pairs(root, &folder)?);
    }
    problems.extend(changed_since_release(root)?);
    Ok(problems)
}

/// The `migrations` folder of every crate that has one.
fn folders(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root)? {
        let folder = entry?.path().join("migrations");
        if ENGINES.iter().any(|engine| folder.join(engine).is_dir()) {
            found.push(folder);
        }
    }
    found.sort();
    Ok(found)
}

/// The sources of the crate that has this folder, joined: migrations are named in there.
fn sources(folder: &Path) -> Result<String> {
    let package = folder.parent().unwrap_or(folder);
    let sources = walk(&package.join("src"))?;
    Ok(sources.into_iter().map(|source| source.text).collect())
}

fn pairs(root: &Path, folder: &Path) -> Result<Vec<Finding>> {
    let mut problems = Vec::new();
    let mut names: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let sources = sources(folder)?;
    for engine in ENGINES {
        let mut numbers: BTreeMap<u32, String> = BTreeMap::new();
        for name in file_names(&folder.join(engine))? {
            let path = folder.join(engine).join(&name);
            let mut report = |what: &str| problems.push(finding(root, &path, what));
            match number_of(&name) {
                None => report("name it `NNNN_what_it_does.sql`"),
                Some(number) => {
                    if let Some(other) = numbers.insert(number, name.clone()) {
                        report(&format!(
                            "`{other}` has the same number; give this one the next"
                        ));
                    }
                }
            }
            if std::fs::read_to_string(&path)?.trim().is_empty() {
                report("the file is empty; write the migration or remove it for both engines");
            }
            names.entry(name).or_default().push(engine);
        }
        let expected = 1..=numbers.len() as u32;
        if !numbers.keys().copied().eq(expected) {
            let what = "numbers must be 0001, 0002, … without gaps";
            problems.push(finding(root, &folder.join(engine), what));
        }
    }
    for (name, engines) in names {
        let listed = format!("\"{}\"", name.trim_end_matches(".sql"));
        if !sources.contains(&listed) {
            let what =
                format!("no `migrations![…]` of the crate lists {listed}, so it would never run");
            problems.push(finding(root, &folder.join(engines[0]).join(&name), &what));
        }
        if let [only] = engines[..] {
            let missing = if only == ENGINES[0] {
                ENGINES[1]
            } else {
                ENGINES[0]
            };
            let what = format!("add the same number and name for {missing}");
            problems.push(finding(root, &folder.join(only).join(name), &what));
        }
    }
    Ok(problems)
}

/// A release is a tag `v…`; before the first one there is nothing to compare with.
fn changed_since_release(root: &Path) -> Result<Vec<Finding>> {
    let git = |args: &[&str]| output(Command::new("git").args(args).current_dir(root));
    let Ok(tag) = git(&["describe", "--tags", "--abbrev=0", "--match=v[0-9]*"]) else {
        return Ok(Vec::new());
    };
    let tag = tag.trim();
    let released = git(&[
        "diff",
        "--name-only",
        "--no-renames",
        "--diff-filter=MD",
        tag,
        "--",
        "*migrations/*.sql",
    ])?;
    Ok(released
        .lines()
        .map(|file| {
            let what = format!("{tag} contains this migration and databases remember its checksum; restore it and add a new one");
            finding(root, &root.join(file), &what)
        })
        .collect())
}

fn finding(root: &Path, path: &Path, what: &str) -> Finding {
    Finding::new(
        path.strip_prefix(root).unwrap_or(path),
        1,
        "migrations",
        what,
    )
}

/// Sorted; a folder that does not exist has none.
fn file_names(folder: &Path) -> Result<Vec<String>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let name = name
            .to_str()
            .with_context(|| format!("odd file name in {}", folder.display()))?;
        names.push(name.to_owned());
    }
    names.sort();
    Ok(names)
}

fn number_of(name: &str) -> Option<u32> {
    let (number, rest) = name.split_once('_')?;
    let well_formed = number.len() == 4 && rest.len() > ".sql".len() && rest.ends_with(".sql");
    number.parse().ok().filter(|_| well_formed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join("some-plugin/migrations").join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "create table t (id integer)").unwrap();
        }
        let src = root.path().join("some-plugin/src");
        std::fs::create_dir_all(&src).unwrap();
        std::fs::write(
            src.join("lib.rs"),
            r#"migrations!["0001_a", "0001_b", "0002_a", "0002_b", "a"]"#,
        )
        .unwrap();
        root
    }

    fn check(files: &[&str], expect: &[&str]) {
        let root = project(files);
        let found = problems(root.path()).unwrap();
        let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(shown.len(), expect.len(), "{shown:#?}");
        for (line, part) in shown.iter().zip(expect) {
            assert!(line.contains(part), "{line} lacks {part}");
        }
    }

    #[test]
    fn equal_numbers_and_names_are_fine() {
        check(&["sqlite/0001_a.sql", "postgres/0001_a.sql"], &[]);
    }

    #[test]
    fn a_missing_partner_a_gap_and_a_bad_name_are_found() {
        check(
            &[
                "sqlite/0001_a.sql",
                "postgres/0001_a.sql",
                "postgres/0002_b.sql",
            ],
            &["some-plugin/migrations/postgres/0002_b.sql:1: migrations: add the same number"],
        );
        check(
            &["sqlite/0002_a.sql", "postgres/0002_a.sql"],
            &["sqlite:1", "postgres:1"],
        );
        check(
            &["sqlite/a.sql", "postgres/a.sql"],
            &["sqlite/a.sql:1: migrations: name it", "postgres/a.sql"],
        );
        check(
            &[
                "sqlite/0001_a.sql",
                "sqlite/0001_b.sql",
                "postgres/0001_a.sql",
                "postgres/0001_b.sql",
            ],
            &[
                "sqlite/0001_b.sql:1: migrations: `0001_a.sql` has the same",
                "postgres/0001_b",
            ],
        );
    }

    #[test]
    fn new_numbers_follow_the_highest_of_either_engine() {
        let root = project(&["sqlite/0001_a.sql", "postgres/0007_a.sql"]);
        let folder = root.path().join("some-plugin/migrations");
        assert_eq!(next_number(&folder).unwrap(), 8);
        assert_eq!(next_number(&root.path().join("other")).unwrap(), 1);
    }

    #[test]
    fn a_released_migration_must_not_change() {
        let root = project(&["sqlite/0001_a.sql", "postgres/0001_a.sql"]);
        let git = |args: &[&str]| {
            let identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"];
            let mut command = Command::new("git");
            output(command.args(identity).args(args).current_dir(root.path())).unwrap()
        };
        git(&["init", "--quiet"]);
        git(&["add", "."]);
        git(&["commit", "--quiet", "--no-gpg-sign", "--message=a"]);
        git(&["tag", "v0.1.0"]);
        assert!(problems(root.path()).unwrap().is_empty());
        let file = root.path().join("some-plugin/migrations/sqlite/0001_a.sql");
        std::fs::write(file, "create table other (id integer)").unwrap();
        let found = problems(root.path()).unwrap();
        assert!(
            found[0]
                .to_string()
                .contains("v0.1.0 contains this migration"),
            "{}",
            found[0]
        );
    }
}
