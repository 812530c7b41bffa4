//! How health checks are run: one section `healthcheck:` of the configuration file.

use automation_core::{
    diagnostic::{Diagnostic, Diagnostics, Path as DocPath, PathSegment},
    yaml::{Kind, Node},
};

/// How many checks may run at once in one process.
const CONCURRENT_RUNS: std::ops::RangeInclusive<u64> = 1..=1000;

/// How health checks are run; what is none is left to the plugin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HealthcheckSettings {
    /// Checks that run at once in this process, 1–1000 (`healthcheck §5.1.5`).
    pub max_concurrent_runs: Option<usize>,
}

impl HealthcheckSettings {
    /// Reads the section of a configuration file.
    pub(super) fn read(&mut self, section: &Node, found: &mut Diagnostics) {
        let at = |key: Option<&str>| -> DocPath {
            let keys = std::iter::once("healthcheck").chain(key);
            keys.map(|k| PathSegment::Key(k.to_owned())).collect()
        };
        let Kind::Map(entries) = &section.kind else {
            let message = format!(
                "healthcheck must be a mapping of settings, not {}",
                section.describe()
            );
            return found.push(Diagnostic::error("wrong_type", at(None), message));
        };
        for e in entries {
            let key = e.key.as_str();
            let number = match &e.value.kind {
                Kind::Number(n) => n.as_u64().filter(|n| CONCURRENT_RUNS.contains(n)),
                _ => None,
            };
            match (key, number) {
                ("max_concurrent_runs", Some(n)) => self.max_concurrent_runs = Some(n as usize),
                ("max_concurrent_runs", None) => {
                    let message = format!(
                        "{key} must be a whole number from 1 to 1000, not {}",
                        e.value.describe()
                    );
                    found.push(Diagnostic::error("out_of_range", at(Some(key)), message));
                }
                _ => {
                    let message = format!("{key} is not a setting of healthcheck");
                    let unknown = Diagnostic::error("unknown_field", at(Some(key)), message);
                    found.push(unknown.help("known settings: max_concurrent_runs"));
                }
            }
        }
    }

    /// The plugin with these settings.
    #[cfg(feature = "healthcheck")]
    pub fn plugin(&self) -> healthcheck_plugin::HealthcheckPlugin {
        let plugin = healthcheck_plugin::HealthcheckPlugin::default();
        match self.max_concurrent_runs {
            Some(n) => plugin.max_concurrent_runs(n),
            None => plugin,
        }
    }
}
