//! How much history is kept: one section `retention:` of the configuration file, and a variable and a
//! flag for each of its parts.

use automation_core::{
    diagnostic::{Diagnostic, Diagnostics, Path as DocPath, PathSegment, nearest},
    yaml::{Kind, Node},
};
use automation_dispatch::{AutomationPlugin, Retention};
use automation_entity::EntityOptions;
use clap::Args;

/// What is said about it somewhere; what is none is said elsewhere, or left at its default.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "History")]
pub struct RetentionArgs {
    /// Days after its end that a run is kept [default: 30].
    #[arg(long = "retention-runs-days", env = "SIGNALBOX_RETENTION_RUNS_DAYS", value_name = "DAYS", value_parser = range(1..=36_500))]
    pub runs_days: Option<u32>,
    /// Newest runs of each automation that are kept however old they are [default: 100].
    #[arg(long = "retention-runs-per-automation", env = "SIGNALBOX_RETENTION_RUNS_PER_AUTOMATION", value_name = "N", value_parser = range(0..=100_000))]
    pub runs_per_automation: Option<u32>,
    /// Days that an open artifact keeps its run, so that a later run can use it [default: 365].
    #[arg(long = "retention-open-artifacts-days", env = "SIGNALBOX_RETENTION_OPEN_ARTIFACTS_DAYS", value_name = "DAYS", value_parser = range(1..=36_500))]
    pub open_artifacts_days: Option<u32>,
    /// Newest decisions of each automation that `signalbox why` can tell; 0 records none [default: 200].
    #[arg(long = "retention-decisions-per-automation", env = "SIGNALBOX_RETENTION_DECISIONS_PER_AUTOMATION", value_name = "N", value_parser = range(0..=10_000))]
    pub decisions_per_automation: Option<u32>,
    /// Days that a decision is kept [default: 30].
    #[arg(long = "retention-decisions-days", env = "SIGNALBOX_RETENTION_DECISIONS_DAYS", value_name = "DAYS", value_parser = range(1..=36_500))]
    pub decisions_days: Option<u32>,
    /// Days that transitions of entities are kept, at least 8 [default: 90].
    #[arg(long = "retention-transitions-days", env = "SIGNALBOX_RETENTION_TRANSITIONS_DAYS", value_name = "DAYS", value_parser = range(8..=36_500))]
    pub transitions_days: Option<u32>,
    /// Days that a job which failed for good is kept [default: 7].
    #[arg(long = "retention-dead-letters-days", env = "SIGNALBOX_RETENTION_DEAD_LETTERS_DAYS", value_name = "DAYS", value_parser = range(1..=36_500))]
    pub dead_letters_days: Option<u32>,
}

fn range(r: std::ops::RangeInclusive<i64>) -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(r)
}

/// Names in the file, with the least and the most that may be written.
const FIELDS: [(&str, u64, u64); 7] = [
    ("runs_days", 1, 36_500),
    ("runs_per_automation", 0, 100_000),
    ("open_artifacts_days", 1, 36_500),
    ("decisions_per_automation", 0, 10_000),
    ("decisions_days", 1, 36_500),
    ("transitions_days", 8, 36_500),
    ("dead_letters_days", 1, 36_500),
];

impl RetentionArgs {
    fn field(&mut self, name: &str) -> Option<&mut Option<u32>> {
        Some(match name {
            "runs_days" => &mut self.runs_days,
            "runs_per_automation" => &mut self.runs_per_automation,
            "open_artifacts_days" => &mut self.open_artifacts_days,
            "decisions_per_automation" => &mut self.decisions_per_automation,
            "decisions_days" => &mut self.decisions_days,
            "transitions_days" => &mut self.transitions_days,
            "dead_letters_days" => &mut self.dead_letters_days,
            _ => return None,
        })
    }

    /// Reads the section of a configuration file.
    pub(super) fn read(&mut self, section: &Node, found: &mut Diagnostics) {
        let at = |key: Option<&str>| -> DocPath {
            let keys = std::iter::once("retention").chain(key);
            keys.map(|k| PathSegment::Key(k.to_owned())).collect()
        };
        let Kind::Map(entries) = &section.kind else {
            let message = format!(
                "retention must be a mapping of settings, not {}",
                section.describe()
            );
            return found.push(Diagnostic::error("wrong_type", at(None), message));
        };
        for e in entries {
            let key = e.key.as_str();
            let Some((name, least, most)) = FIELDS.iter().find(|f| f.0 == key) else {
                let names = FIELDS.map(|f| f.0);
                let help = nearest(key, names).map_or_else(
                    || format!("known settings: {}", names.join(", ")),
                    |n| format!("did you mean {n}?"),
                );
                let message = format!("{key} is not a setting of retention");
                found.push(Diagnostic::error("unknown_field", at(Some(key)), message).help(help));
                continue;
            };
            let number = match &e.value.kind {
                Kind::Number(n) => n.as_u64().filter(|n| (*least..=*most).contains(n)),
                _ => None,
            };
            match (number, self.field(name)) {
                (Some(n), Some(field)) => *field = Some(n as u32),
                _ => {
                    let message = format!(
                        "{key} must be a whole number from {least} to {most}, not {}",
                        e.value.describe()
                    );
                    found.push(Diagnostic::error("out_of_range", at(Some(key)), message));
                }
            }
        }
    }
}

/// How much history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionSettings {
    /// Runs, versions, decisions.
    pub engine: Retention,
    /// Days of entity transitions.
    pub transitions_days: u32,
    /// Days of dead letters.
    pub dead_letters_days: u32,
}

impl Default for RetentionSettings {
    fn default() -> Self {
        Self {
            engine: Retention::default(),
            transitions_days: EntityOptions::default().retention_days,
            dead_letters_days: 7,
        }
    }
}

impl RetentionSettings {
    /// These settings, changed by what is said.
    pub fn changed(self, by: &RetentionArgs) -> Self {
        let engine = self.engine;
        Self {
            engine: Retention {
                runs_days: by.runs_days.unwrap_or(engine.runs_days),
                runs_per_automation: by.runs_per_automation.unwrap_or(engine.runs_per_automation),
                open_artifacts_days: by.open_artifacts_days.unwrap_or(engine.open_artifacts_days),
                decisions_per_automation: by
                    .decisions_per_automation
                    .unwrap_or(engine.decisions_per_automation),
                decisions_days: by.decisions_days.unwrap_or(engine.decisions_days),
            },
            transitions_days: by.transitions_days.unwrap_or(self.transitions_days),
            dead_letters_days: by.dead_letters_days.unwrap_or(self.dead_letters_days),
        }
    }

    /// The engine with them.
    pub fn engine_plugin(&self) -> AutomationPlugin {
        let options = EntityOptions {
            retention_days: self.transitions_days,
            ..EntityOptions::default()
        };
        AutomationPlugin::new(options).retention(self.engine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use automation_core::yaml;

    fn read(text: &str) -> (RetentionArgs, Diagnostics) {
        let root = yaml::read(text, &yaml::Limits::default()).expect("YAML");
        let (mut args, mut found) = (RetentionArgs::default(), Diagnostics::new());
        args.read(&root, &mut found);
        (args, found)
    }

    #[test]
    fn what_is_said_last_wins_and_the_rest_keeps_its_default() {
        let (file, found) = read("runs_days: 10\ndecisions_per_automation: 0\n");
        assert!(!found.has_errors());
        let flag = RetentionArgs {
            runs_days: Some(5),
            ..Default::default()
        };
        let settings = RetentionSettings::default().changed(&file).changed(&flag);
        assert_eq!(settings.engine.runs_days, 5);
        assert_eq!(settings.engine.decisions_per_automation, 0);
        assert_eq!(settings.engine.runs_per_automation, 100);
        assert_eq!(
            (settings.transitions_days, settings.dead_letters_days),
            (90, 7)
        );
    }

    #[test]
    fn every_setting_can_be_written_in_the_file() {
        let text: String = FIELDS
            .iter()
            .map(|f| format!("{}: {}\n", f.0, f.2))
            .collect();
        let (args, found) = read(&text);
        assert!(!found.has_errors());
        let all = RetentionSettings::default().changed(&args);
        assert_eq!(all.engine.runs_per_automation, 100_000);
        assert_eq!(all.dead_letters_days, 36_500);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (text, code) in [
            ("run_days: 3\n", "unknown_field"),
            ("runs_days: 0\n", "out_of_range"),
            ("transitions_days: 3\n", "out_of_range"),
            ("runs_days: soon\n", "out_of_range"),
            ("[1]\n", "wrong_type"),
        ] {
            let (_, found) = read(text);
            let first = found.first_error().expect("an error");
            assert_eq!(first.code, code, "{text}");
        }
    }
}
