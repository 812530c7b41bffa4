//! Rules that look at one file at a time.

use std::path::Path;

use super::Finding;
use super::source::Source;

/// The longest a source file may be, tests included.
const MAX_LINES: usize = 600;

/// Code that does not belong anywhere, or only in the one module that owns it. Clippy knows
/// most of the calls by type (`clippy.toml`); here they are found without building, and an
/// `#[expect]` outside the owning module does not help.
const FORBIDDEN: &[Forbidden] = &[
    Forbidden::anywhere("todo!(", "finish it, or leave it out"),
    Forbidden::anywhere("unimplemented!(", "finish it, or leave it out"),
    Forbidden::anywhere("dbg!(", "use `tracing`"),
    Forbidden::anywhere("#[ignore", "make the test reliable, or remove it"),
    Forbidden::anywhere(
        "tokio::time::pause",
        "use the virtual clock of the test kit; paused time makes database pools time out",
    ),
    Forbidden::anywhere(
        "start_paused",
        "use the virtual clock of the test kit; paused time makes database pools time out",
    ),
    Forbidden::outside("SystemTime::now", TIME, ASK_CLOCK),
    Forbidden::outside("Instant::now", TIME, ASK_CLOCK),
    Forbidden::outside("Timestamp::now", TIME, ASK_CLOCK),
    Forbidden::outside("Zoned::now", TIME, ASK_CLOCK),
    Forbidden::outside("tokio::time::sleep", TIME, WAIT_ON_CLOCK),
    Forbidden::outside("tokio::time::timeout", TIME, WAIT_ON_CLOCK),
    Forbidden::outside("tokio::time::interval", TIME, WAIT_ON_CLOCK),
    Forbidden::outside(
        "thread::sleep",
        TIME,
        "wait for what shall happen, with a deadline",
    ),
    Forbidden::outside("Uuid::now_v7", TIME, "take ids from `plugin_api::Clock`"),
    Forbidden::outside(
        "tokio::spawn",
        &["plugin-api/src/context.rs"],
        "use `plugin_api::spawn`, which carries the run context",
    ),
];

const ASK_CLOCK: &str = "take the time from `plugin_api::Clock`";
const WAIT_ON_CLOCK: &str = "wait on `plugin_api::Clock`";

/// The modules that own time: the clock itself, and the two programs that measure the world.
const TIME: &[&str] = &["clock.rs", "clock/", "xtask/", "bench/"];

struct Forbidden {
    code: &'static str,
    owners: &'static [&'static str],
    instead: &'static str,
}

impl Forbidden {
    const fn anywhere(code: &'static str, instead: &'static str) -> Self {
        Self {
            code,
            owners: &[],
            instead,
        }
    }

    const fn outside(
        code: &'static str,
        owners: &'static [&'static str],
        instead: &'static str,
    ) -> Self {
        Self {
            code,
            owners,
            instead,
        }
    }
}

/// What a decision must be handed instead of reaching for it.
const NOT_IN_DECIDE: &[&str] = &[
    "sqlx",
    "Db",
    "Tx",
    "tokio",
    "reqwest",
    "hyper",
    "axum",
    "Clock",
    "SystemTime",
    "Instant",
    "rand",
    "getrandom",
    "now_v7",
    "new_v4",
    "await",
];

/// All rules for one file.
pub fn check(file: &Source) -> Vec<Finding> {
    let mut findings = machine_paths(file);
    if file.is_rust() {
        let code = file.code();
        findings.extend(too_long(file));
        findings.extend(without_doc(file));
        findings.extend(forbidden(file, &code));
        findings.extend(impure_decision(file, &code));
    }
    findings
}

fn too_long(file: &Source) -> Option<Finding> {
    let lines = file.text.lines().count();
    (lines > MAX_LINES).then(|| {
        let instead = format!("{lines} lines; split it by what it does, {MAX_LINES} is the most");
        Finding::new(&file.path, MAX_LINES + 1, "file-size", &instead)
    })
}

/// Attributes such as `#![forbid(…)]` may come first; the doc must say something.
fn without_doc(file: &Source) -> Option<Finding> {
    let first = file
        .text
        .lines()
        .find(|line| !line.trim().is_empty() && !line.starts_with("#!["))
        .unwrap_or_default();
    let words = first
        .strip_prefix("//!")
        .map_or(0, |doc| doc.split_whitespace().count());
    (words < 2).then(|| {
        let instead = "open the file with a `//!` doc that teaches its idea in a sentence or more";
        Finding::new(&file.path, 1, "module-doc", instead)
    })
}

fn forbidden(file: &Source, code: &str) -> Vec<Finding> {
    let path = slashed(&file.path);
    let mut findings = Vec::new();
    for (number, line) in code.lines().enumerate() {
        for entry in FORBIDDEN {
            let owned = entry.owners.iter().any(|owner| owns(owner, &path));
            if !owned && contains_word(line, entry.code) {
                let instead = format!("`{}`: {}", entry.code.trim_end_matches('('), entry.instead);
                findings.push(Finding::new(&file.path, number + 1, "forbidden", &instead));
            }
        }
    }
    findings
}

/// `clock.rs` is a file anywhere, `clock/` a folder anywhere, `a/src/x.rs` that one file.
fn owns(owner: &str, path: &str) -> bool {
    match owner.strip_suffix('/') {
        Some(folder) => path.split('/').rev().skip(1).any(|part| part == folder),
        None => path == owner || path.ends_with(&format!("/{owner}")),
    }
}

/// Deciding is apart from doing: a module named `decide` is handed all it needs, so that a
/// simulator can run it thousands of times a second.
fn impure_decision(file: &Source, code: &str) -> Vec<Finding> {
    const RULE: &str = "pure-decide";
    let path = slashed(&file.path);
    if !owns("decide.rs", &path) && !owns("decide/", &path) {
        let inline = code
            .lines()
            .position(|line| contains_word(line, "mod decide {"));
        return inline
            .map(|number| {
                Finding::new(
                    &file.path,
                    number + 1,
                    RULE,
                    "give `decide` a file of its own",
                )
            })
            .into_iter()
            .collect();
    }
    let mut findings = Vec::new();
    for (number, line) in code.lines().enumerate() {
        for word in NOT_IN_DECIDE
            .iter()
            .filter(|word| contains_word(line, word))
        {
            let instead =
                format!("`{word}` in a decision; let the caller read it and hand the value in");
            findings.push(Finding::new(&file.path, number + 1, RULE, &instead));
        }
    }
    findings
}

/// Absolute paths of the machine somebody happened to work on.
fn machine_paths(file: &Source) -> Vec<Finding> {
    // Written in two parts, so that this file does not find itself.
    const HOMES: &[&str] = &[
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("/Us", "ers/"),
    ];
    let mut findings = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        for home in HOMES.iter().filter(|home| starts_a_path(line, home)) {
            let instead = format!(
                "`{home}…` exists on one machine only; write the path relative to the repository or to a temporary directory"
            );
            findings.push(Finding::new(
                &file.path,
                number + 1,
                "machine-path",
                &instead,
            ));
        }
    }
    findings
}

/// Whether `home` occurs where a path begins, and not inside a longer path or a URL.
fn starts_a_path(line: &str, home: &str) -> bool {
    line.match_indices(home)
        .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-/~}".contains(c)))
}

/// Whether `word` occurs with no letter, digit or underscore attached where it has one.
fn contains_word(line: &str, word: &str) -> bool {
    let attached = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].ends_with(attached) && word.starts_with(attached);
        let after = line[at + word.len()..].starts_with(attached) && word.ends_with(attached);
        !before && !after
    })
}

fn slashed(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOC: &str = "//! Teaches its idea.\n";

    fn check_rust(path: &str, code: &str, expect: &[&str]) {
        let file = Source {
            path: path.into(),
            text: format!("{DOC}{code}"),
        };
        let shown: Vec<String> = check(&file).iter().map(ToString::to_string).collect();
        assert_eq!(shown.len(), expect.len(), "{path}: {shown:#?}");
        for (line, start) in shown.iter().zip(expect) {
            assert!(
                line.starts_with(start),
                "{line} does not start with {start}"
            );
        }
    }

    #[test]
    fn forbidden_code_is_found_outside_its_owner_only() {
        let found = "a/src/x.rs:2: forbidden: `Instant::now`";
        check_rust("a/src/x.rs", "let t = std::time::Instant::now();", &[found]);
        check_rust("a/src/clock.rs", "let t = std::time::Instant::now();", &[]);
        check_rust("bench/src/main.rs", "let t = Instant::now();", &[]);
        check_rust(
            "a/src/x.rs",
            "// Instant::now\nlet t = \"Instant::now\";",
            &[],
        );
        check_rust("a/src/x.rs", "let t = MyInstant::now();", &[]);
        check_rust(
            "a/src/clock.rs",
            "#[ignore = \"slow\"]",
            &["a/src/clock.rs:2: forbidden"],
        );
        check_rust(
            "a/src/x.rs",
            "tokio::spawn(f)",
            &["a/src/x.rs:2: forbidden: `tokio::spawn`"],
        );
        check_rust("plugin-api/src/context.rs", "tokio::spawn(f)", &[]);
        check_rust(
            "a/src/x.rs",
            "fn f() { todo!() }",
            &["a/src/x.rs:2: forbidden: `todo!`"],
        );
    }

    #[test]
    fn decisions_reach_for_nothing() {
        check_rust(
            "a/src/gates/decide.rs",
            "use sqlx::Row;",
            &["a/src/gates/decide.rs:2: pure-decide"],
        );
        check_rust(
            "a/src/decide/x.rs",
            "fn f(clock: &dyn Clock) {}",
            &["a/src/decide/x.rs:2: pure-decide"],
        );
        check_rust("a/src/decide.rs", "// Db, Tx\nfn f(brand: Dbx) {}", &[]);
        check_rust(
            "a/src/gates.rs",
            "mod decide { }",
            &["a/src/gates.rs:2: pure-decide"],
        );
        check_rust("a/src/gates.rs", "mod decide;\nuse sqlx::Row;", &[]);
    }

    #[test]
    fn files_are_short_and_open_with_a_doc() {
        check_rust("a/src/x.rs", &"\n".repeat(MAX_LINES - 1), &[]);
        check_rust(
            "a/src/x.rs",
            &"\n".repeat(MAX_LINES),
            &["a/src/x.rs:601: file-size"],
        );
        let file = |text: &str| Source {
            path: "a/src/x.rs".into(),
            text: text.to_owned(),
        };
        assert!(without_doc(&file("#![no_std]\n\n//! Does it.\n")).is_none());
        assert!(without_doc(&file("//! name\n")).is_some());
        assert!(without_doc(&file("use a;\n//! Does it.\n")).is_some());
        assert!(without_doc(&file("")).is_some());
    }

    #[test]
    fn machine_paths_are_found_in_any_file_but_not_in_urls() {
        let root = concat!("/ro", "ot/");
        let file = |text: String| Source {
            path: "README.md".into(),
            text,
        };
        assert_eq!(machine_paths(&file(format!("see `{root}x`"))).len(), 1);
        assert_eq!(
            machine_paths(&file(format!("https://example.com{root}x"))).len(),
            0
        );
        assert_eq!(
            machine_paths(&file(format!("$CARGO_HOME/..{root}x"))).len(),
            0
        );
    }
}
