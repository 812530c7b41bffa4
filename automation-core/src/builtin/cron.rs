//! `automation.cron`: ticks by five cron fields in UTC (`definition §10.3`).

use crate::registry::{ConfigIssue, TriggerDef, TriggerSetup};
use croner::parser::{CronParser, Seconds, Year};
use plugin_api::config::ConfigSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Config of `automation.cron`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CronConfig {
    /// Minute, hour, day of month, month and day of week, or `@hourly`, `@daily`, `@weekly`,
    /// `@monthly`; UTC.
    #[schemars(length(min = 1))]
    pub cron_pattern: String,
}

/// Payload of scheduled ticks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CronPayload {
    /// When the tick was due, RFC 3339.
    pub fired_at: String,
}

/// Checks a cron text.
///
/// # Errors
/// What is wrong with it, in one sentence.
pub fn check_cron(pattern: &str) -> Result<(), String> {
    let nickname = pattern.trim();
    if nickname.starts_with('@') {
        const KNOWN: [&str; 4] = ["@hourly", "@daily", "@weekly", "@monthly"];
        return if KNOWN.contains(&nickname.to_ascii_lowercase().as_str()) {
            Ok(())
        } else {
            Err(format!("`{nickname}` is not one of {}", KNOWN.join(", ")))
        };
    }
    let fields = pattern.split_whitespace().count();
    if fields != 5 {
        return Err(format!(
            "a cron text has five fields (minute, hour, day of month, month, day of week), found {fields}"
        ));
    }
    CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build()
        .parse(pattern)
        .map(|_| ())
        .map_err(|e| format!("`{pattern}` is no cron text: {e}"))
}

/// The trigger `cron`, armed by `setup`.
pub fn cron(setup: Arc<dyn TriggerSetup>) -> TriggerDef {
    TriggerDef::on_setup::<CronPayload>("cron", setup)
        .named("Cron", "Fires at times given as a cron text, in UTC")
        .category("Time")
        .config(ConfigSchema::of::<CronConfig>(), None)
        .check_config(|config| {
            let pattern = config["cronPattern"].as_str().unwrap_or_default();
            match check_cron(pattern) {
                Ok(()) => Vec::new(),
                Err(message) => vec![ConfigIssue {
                    code: "invalid_trigger_config",
                    path: vec!["cronPattern".into()],
                    message,
                    help: Some("for example `*/15 8-18 * * MON-FRI`".into()),
                }],
            }
        })
}

#[cfg(test)]
mod tests {
    use super::check_cron;

    #[test]
    fn definition_10_3_five_fields_names_and_nicknames_are_taken() {
        for good in [
            "* * * * *",
            "*/5 0-12/2 1,15 JAN-mar MON-FRI",
            "@hourly",
            "@Daily",
            "0 3 * * sun",
        ] {
            assert_eq!(check_cron(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "@reboot",
            "a b c d e",
            "* * 0 * *",
        ] {
            assert!(check_cron(bad).is_err(), "{bad}");
        }
    }
}
