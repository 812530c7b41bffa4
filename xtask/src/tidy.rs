//! `cargo xtask tidy`: the rules of the code base that no compiler checks.
//!
//! Each rule is one function from what it looks at to findings, and each finding says what
//! to do instead. `ARCHITECTURE.md` explains why the rules exist; clippy holds the ones that
//! need types (`clippy.toml`).

mod dependencies;
mod edges;
mod reads;
mod rules;
mod source;
mod tables;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::shell::{root, say};
use crate::{metadata, migrate};
pub use source::walk;

/// One place where a rule is broken.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    file: PathBuf,
    line: usize,
    rule: &'static str,
    instead: String,
    warning: bool,
}

impl Finding {
    /// `file` is relative to the workspace, `line` counts from 1.
    pub fn new(file: &Path, line: usize, rule: &'static str, instead: &str) -> Self {
        Self {
            file: file.to_owned(),
            line,
            rule,
            instead: instead.to_owned(),
            warning: false,
        }
    }

    /// A finding to look at, which does not fail the check.
    fn warning(self) -> Self {
        Self {
            warning: true,
            ..self
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let warning = if self.warning { "warning: " } else { "" };
        let (file, line) = (self.file.display(), self.line);
        write!(f, "{file}:{line}: {warning}{}: {}", self.rule, self.instead)
    }
}

/// The `tidy` command: prints every finding and fails unless all are warnings.
pub fn run() -> Result<()> {
    let mut findings = edges::check(&metadata::packages()?);
    for package in edges::WITHOUT_IO {
        findings.extend(edges::check_io(package, &metadata::linked_into(package)?));
    }
    let files = source::walk(root())?;
    for file in &files {
        findings.extend(rules::check(file));
        findings.extend(reads::check(file));
    }
    findings.extend(tables::check(&files));
    let rules = std::fs::read_to_string(root().join(dependencies::FILE))?;
    findings.extend(dependencies::Rules::parse(&rules).check(&metadata::linked()?));
    findings.extend(migrate::problems(root())?);
    findings.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));

    for finding in &findings {
        say(&finding.to_string());
    }
    let errors = findings.iter().filter(|finding| !finding.warning).count();
    if errors > 0 {
        bail!("{errors} findings; each line says what to do instead");
    }
    say("The code base is tidy.");
    Ok(())
}
