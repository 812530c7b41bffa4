//! `automation.cron`: ticks by five cron fields in UTC (`definition §10.3`).

use crate::registry::{ConfigIssue, TriggerDef, TriggerSetup};
use croner::parser::{CronParser, Seconds, Year};
use jiff::{Timestamp, tz::TimeZone};
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
        if !KNOWN.contains(&nickname.to_ascii_lowercase().as_str()) {
            return Err(format!("`{nickname}` is not one of {}", KNOWN.join(", ")));
        }
    } else {
        let fields = pattern.split_whitespace().count();
        if fields != 5 {
            return Err(format!(
                "a cron text has five fields (minute, hour, day of month, month, day of week), found {fields}"
            ));
        }
    }
    let cron = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build()
        .parse(pattern)
        .map_err(|e| format!("`{pattern}` is no cron text: {e}"))?;
    // Any start will do: what never matches from here on never matches at all.
    let from = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
    match cron.find_next_occurrence(&from, false) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("`{pattern}` never matches any day")),
    }
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
            " @weekly ",
            "0 0 29 2 *",
            "0 0 13 * 5",
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
            "@yearly",
            "0 0 31 2 *",
            "0 24 * * *",
            "*/0 * * * *",
        ] {
            assert!(check_cron(bad).is_err(), "{bad}");
        }
    }
}
