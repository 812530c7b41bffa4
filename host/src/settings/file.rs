//! The configuration file: YAML with the same diagnostics as automations.

use super::{HealthcheckSettings, RetentionArgs};
use anyhow::{Context, bail};
use automation_core::{
    diagnostic::{Diagnostic, Diagnostics, Path as DocPath, PathSegment, nearest},
    yaml::{self, Kind, Node},
};
use std::path::{Path, PathBuf};

/// What a file may say; everything is optional.
#[derive(Debug, Default, PartialEq)]
pub struct FileSettings {
    /// Folder for database, key and token.
    pub data_dir: Option<PathBuf>,
    /// Database.
    pub database_url: Option<String>,
    /// Address of the API.
    pub listen: Option<String>,
    /// Log filter.
    pub log: Option<String>,
    /// `text` or `json`.
    pub log_format: Option<String>,
    /// SQLite: sync at every commit.
    pub sqlite_full_sync: Option<bool>,
    /// Connections of the main Postgres pool, 2–200.
    pub max_connections: Option<u32>,
    /// Seconds until a node that died is noticed, 5–3600.
    pub lease_seconds: Option<u64>,
    /// Seconds until a `wait_until` that nothing has woken is looked at, 0–86 400; 0: never.
    pub recheck_seconds: Option<u64>,
    /// How much history is kept.
    pub retention: RetentionArgs,
    /// How health checks are run.
    pub healthcheck: HealthcheckSettings,
}

const KEYS: [&str; 11] = [
    "data_dir",
    "database_url",
    "listen",
    "log",
    "log_format",
    "sqlite_full_sync",
    "max_connections",
    "lease_seconds",
    "recheck_seconds",
    "retention",
    "healthcheck",
];

impl FileSettings {
    /// Reads the file if one is named; without one nothing is set.
    pub fn read_if_given(path: Option<&Path>) -> anyhow::Result<Self> {
        path.map_or_else(|| Ok(Self::default()), Self::read)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// A file that cannot be read, or every problem in it with its source line.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the configuration file {}", path.display()))?;
        match Self::parse(&text) {
            Ok(s) => Ok(s),
            Err(found) => bail!(
                "the configuration file is not valid\n{}",
                found.render(&path.display().to_string(), Some(&text), false)
            ),
        }
    }

    fn parse(text: &str) -> Result<Self, Diagnostics> {
        let root = yaml::read(text, &yaml::Limits::default())?;
        let mut found = Diagnostics::new();
        let mut s = Self::default();
        match &root.kind {
            Kind::Null => {}
            Kind::Map(entries) => {
                for e in entries {
                    s.set(&e.key, &e.value, &mut found);
                }
            }
            _ => found.push(Diagnostic::error(
                "wrong_type",
                DocPath::new(),
                format!("expected a mapping of settings, found {}", root.describe()),
            )),
        }
        if found.has_errors() {
            Err(found.locate(&root, Some(text)))
        } else {
            Ok(s)
        }
    }

    fn set(&mut self, key: &str, value: &Node, found: &mut Diagnostics) {
        let at: DocPath = vec![PathSegment::Key(key.to_owned())];
        let wrong = |found: &mut Diagnostics, expected: &str| {
            found.push(Diagnostic::error(
                "wrong_type",
                at.clone(),
                format!("{key} must be {expected}, not {}", value.describe()),
            ));
        };
        match (key, &value.kind) {
            ("data_dir", Kind::String(t)) => self.data_dir = Some(t.into()),
            ("database_url", Kind::String(t)) => self.database_url = Some(t.clone()),
            ("listen", Kind::String(t)) => self.listen = Some(t.clone()),
            ("log", Kind::String(t)) => self.log = Some(t.clone()),
            ("log_format", Kind::String(t)) if t == "text" || t == "json" => {
                self.log_format = Some(t.clone())
            }
            ("log_format", Kind::String(t)) => {
                found.push(
                    Diagnostic::error("bad_enum", at, format!("log_format {t:?} is not known"))
                        .help("write text or json"),
                );
            }
            ("sqlite_full_sync", Kind::Bool(b)) => self.sqlite_full_sync = Some(*b),
            ("sqlite_full_sync", _) => wrong(found, "true or false"),
            ("max_connections", Kind::Number(n)) => match n.as_u64() {
                Some(n @ 2..=200) => self.max_connections = Some(n as u32),
                _ => found.push(Diagnostic::error(
                    "out_of_range",
                    at,
                    "max_connections must be a whole number from 2 to 200",
                )),
            },
            ("retention", _) => self.retention.read(value, found),
            ("healthcheck", _) => self.healthcheck.read(value, found),
            ("max_connections", _) => wrong(found, "a whole number from 2 to 200"),
            ("lease_seconds", Kind::Number(n)) => match n.as_u64() {
                Some(n) if super::LEASE_SECONDS.contains(&n) => self.lease_seconds = Some(n),
                _ => found.push(Diagnostic::error(
                    "out_of_range",
                    at,
                    "lease_seconds must be a whole number from 5 to 3600",
                )),
            },
            ("lease_seconds", _) => wrong(found, "a whole number from 5 to 3600"),
            ("recheck_seconds", Kind::Number(n)) => match n.as_u64() {
                Some(n) if super::RECHECK_SECONDS.contains(&n) => self.recheck_seconds = Some(n),
                _ => found.push(Diagnostic::error(
                    "out_of_range",
                    at,
                    "recheck_seconds must be a whole number from 0 to 86400",
                )),
            },
            ("recheck_seconds", _) => wrong(found, "a whole number from 0 to 86400"),
            (known, _) if KEYS.contains(&known) => wrong(found, "text"),
            (unknown, _) => {
                let help = nearest(unknown, KEYS).map_or_else(
                    || format!("known settings: {}", KEYS.join(", ")),
                    |n| format!("did you mean {n}?"),
                );
                found.push(
                    Diagnostic::error("unknown_field", at, format!("{unknown} is not a setting"))
                        .help(help)
                        .on_key(),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        FileSettings::parse(text)
            .unwrap_err()
            .render("signalbox.yaml", Some(text), false)
    }

    #[test]
    fn an_unknown_setting_is_located_with_the_nearest_name() {
        let m = message("listen: 127.0.0.1:1\ndatabase_ulr: x\n");
        assert!(
            m.contains("unknown_field")
                && m.contains("signalbox.yaml:2")
                && m.contains("database_url"),
            "{m}"
        );
    }

    #[test]
    fn a_wrong_type_and_a_duplicate_key_are_located() {
        assert!(message("max_connections: many\n").contains("signalbox.yaml:1"));
        assert!(message("log: info\nlog: debug\n").contains("duplicate_key"));
    }

    #[test]
    fn a_lease_that_is_too_short_is_refused() {
        assert!(message("lease_seconds: 4\n").contains("from 5 to 3600"));
        let s = FileSettings::parse("lease_seconds: 5\n").unwrap();
        assert_eq!(s.lease_seconds, Some(5));
    }

    #[test]
    fn looking_at_waits_again_may_be_off_but_not_beyond_a_day() {
        assert!(message("recheck_seconds: 86401\n").contains("from 0 to 86400"));
        assert!(message("recheck_seconds: often\n").contains("from 0 to 86400"));
        let s = FileSettings::parse("recheck_seconds: 0\n").unwrap();
        assert_eq!(s.recheck_seconds, Some(0));
    }

    #[test]
    fn checks_that_run_at_once_are_limited_by_the_file() {
        let s = FileSettings::parse("healthcheck:\n  max_concurrent_runs: 4\n").unwrap();
        assert_eq!(s.healthcheck.max_concurrent_runs, Some(4));
        for (text, part) in [
            ("healthcheck: 4\n", "mapping of settings"),
            ("healthcheck:\n  max_concurrent_runs: 0\n", "from 1 to 1000"),
            ("healthcheck:\n  max_runs: 4\n", "max_concurrent_runs"),
        ] {
            assert!(message(text).contains(part), "{}", message(text));
        }
    }

    #[test]
    fn an_empty_file_sets_nothing() {
        assert_eq!(
            FileSettings::parse("# nothing\n").unwrap(),
            FileSettings::default()
        );
    }
}
