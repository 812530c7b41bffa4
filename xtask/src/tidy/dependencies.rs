//! What may be linked into a Signalbox binary: `deny.toml`, checked without `cargo-deny`.
//!
//! That tool takes longer to build than the project, so the part of it that guards every change is
//! here: licences, banned crates, crates that may be there only once, sources and wildcards, read
//! from the same file. Advisories need the network and stay with `cargo deny check`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::Finding;
use crate::metadata::Linked;

/// The file that says what is allowed.
pub const FILE: &str = "deny.toml";
/// The only place crates may come from.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The rules of `deny.toml`, each with its line.
#[derive(Debug, Default)]
pub struct Rules {
    licences: BTreeSet<String>,
    banned: BTreeMap<String, (usize, String)>,
    single: BTreeMap<String, usize>,
}

impl Rules {
    /// Reads the lines this check knows: quoted texts below `allow`, and one `{ crate = … }` a line
    /// below `deny`.
    pub fn parse(text: &str) -> Self {
        let mut rules = Self::default();
        let mut section = "";
        let mut list = "";
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                (section, list) = (name, "");
            } else if let Some((key, "[")) = line.split_once(" = ") {
                list = key;
            } else if line == "]" {
                list = "";
            } else if (section, list) == ("licenses", "allow") {
                rules
                    .licences
                    .extend(line.split('"').nth(1).map(str::to_owned));
            } else if (section, list) == ("bans", "deny")
                && let Some(name) = value(line, "crate")
            {
                if line.contains("deny-multiple-versions = true") {
                    rules.single.insert(name, number + 1);
                } else {
                    let reason = value(line, "reason").unwrap_or_default();
                    rules.banned.insert(name, (number + 1, reason));
                }
            }
        }
        rules
    }

    /// Everything linked into any of our crates that the rules do not allow.
    pub fn check(&self, linked: &[Linked]) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut find = |line: usize, rule, text: String| {
            findings.push(Finding::new(Path::new(FILE), line, rule, &text));
        };
        for package in linked.iter().filter(|p| p.source.is_some()) {
            let what = format!("{} {}", package.name, package.version);
            match &package.licence {
                Some(licence) if self.allows(licence) => {}
                Some(licence) => find(
                    1,
                    "licence",
                    format!(
                        "{what} is under {licence}, which is not allowed; do without it, or allow it with a reason"
                    ),
                ),
                None => find(
                    1,
                    "licence",
                    format!("{what} names no licence; do without it"),
                ),
            }
            if let Some((line, reason)) = self.banned.get(&package.name) {
                find(*line, "banned", format!("{what} is linked: {reason}"));
            }
            if package.source.as_deref() != Some(CRATES_IO) {
                find(1, "source", format!("{what} does not come from crates.io"));
            }
        }
        for (name, line) in &self.single {
            let same: Vec<&str> = linked
                .iter()
                .filter(|p| p.name == *name)
                .map(|p| p.version.as_str())
                .collect();
            if same.len() > 1 {
                let versions = same.join(", ");
                find(
                    *line,
                    "two-versions",
                    format!(
                        "{name} is linked more than once ({versions}); bring whoever asks for the older one up to date"
                    ),
                );
            }
        }
        for package in linked {
            for dependency in &package.wildcards {
                find(
                    1,
                    "wildcard",
                    format!(
                        "{} takes any version of {dependency}; say which",
                        package.name
                    ),
                );
            }
        }
        findings
    }

    /// Whether a licence expression can be met with what is allowed.
    fn allows(&self, expression: &str) -> bool {
        // Old manifests write a slash for "or".
        let spaced = expression
            .replace('/', " OR ")
            .replace('(', " ( ")
            .replace(')', " ) ");
        let mut words = spaced.split_whitespace().peekable();
        let met = self.any(&mut words);
        met && words.next().is_none()
    }

    fn any<'w>(&self, words: &mut Words<'w, impl Iterator<Item = &'w str>>) -> bool {
        let mut met = self.all(words);
        while words.next_if_eq(&"OR").is_some() {
            met |= self.all(words);
        }
        met
    }

    fn all<'w>(&self, words: &mut Words<'w, impl Iterator<Item = &'w str>>) -> bool {
        let mut met = self.one(words);
        while words.next_if_eq(&"AND").is_some() {
            met &= self.one(words);
        }
        met
    }

    fn one<'w>(&self, words: &mut Words<'w, impl Iterator<Item = &'w str>>) -> bool {
        let Some(word) = words.next() else {
            return false;
        };
        if word == "(" {
            let met = self.any(words);
            return words.next_if_eq(&")").is_some() && met;
        }
        let mut licence = word.to_owned();
        if words.next_if_eq(&"WITH").is_some() {
            licence += " WITH ";
            licence += words.next().unwrap_or_default();
        }
        self.licences.contains(&licence)
    }
}

type Words<'w, I> = std::iter::Peekable<I>;

/// `x` of `key = "x"` in a line.
fn value(line: &str, key: &str) -> Option<String> {
    let (_, after) = line.split_once(&format!("{key} = \""))?;
    Some(after.split('"').next()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = "[licenses]\nallow = [\n    \"MIT\",\n    \"Apache-2.0\", # why\n    \"Apache-2.0 WITH LLVM-exception\",\n]\n[bans]\ndeny = [\n    { crate = \"openssl\", reason = \"rustls\" },\n    { crate = \"tokio\", deny-multiple-versions = true },\n]\n";

    fn package(name: &str, version: &str, licence: &str) -> Linked {
        Linked {
            name: name.into(),
            version: version.into(),
            licence: Some(licence.into()),
            source: Some(CRATES_IO.into()),
            wildcards: Vec::new(),
        }
    }

    fn shown(linked: &[Linked]) -> Vec<String> {
        let found = Rules::parse(RULES).check(linked);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_expression_is_met_by_what_is_allowed() {
        let rules = Rules::parse(RULES);
        for (expression, allowed) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("GPL-3.0 OR MIT", true),
            ("MIT/Apache-2.0", true),
            ("MIT AND GPL-3.0", false),
            ("(MIT OR GPL-3.0) AND Apache-2.0", true),
            ("(GPL-3.0 OR BSL-1.0) AND MIT", false),
            ("MIT OR GPL-3.0 AND ISC", true),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("MIT WITH LLVM-exception", false),
            ("", false),
            ("MIT OR", true),
            ("MIT )", false),
        ] {
            assert_eq!(rules.allows(expression), allowed, "{expression}");
        }
    }

    #[test]
    fn what_the_file_forbids_is_found_with_its_line() {
        assert_eq!(shown(&[package("serde", "1.0.0", "MIT")]), [""; 0]);
        let found = shown(&[package("evil", "1.0.0", "GPL-3.0")]);
        assert!(
            found[0].starts_with("deny.toml:1: licence: evil 1.0.0 is under GPL-3.0"),
            "{found:?}"
        );
        let found = shown(&[package("openssl", "0.1.0", "MIT")]);
        assert_eq!(
            found,
            ["deny.toml:9: banned: openssl 0.1.0 is linked: rustls"]
        );
        let found = shown(&[
            package("tokio", "1.0.0", "MIT"),
            package("tokio", "0.2.0", "MIT"),
        ]);
        assert!(
            found[0].starts_with("deny.toml:10: two-versions"),
            "{found:?}"
        );
        let git = Linked {
            source: Some("git+https://example.org/x".into()),
            ..package("x", "1.0.0", "MIT")
        };
        assert!(shown(&[git])[0].contains("crates.io"));
        let wild = Linked {
            source: None,
            licence: None,
            wildcards: vec!["serde".into()],
            ..package("ours", "0.1.0", "MIT")
        };
        assert!(shown(&[wild])[0].contains("any version of serde"));
    }
}
