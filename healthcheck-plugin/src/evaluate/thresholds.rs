//! How many failures make a check degraded or unhealthy, and how that is stored.

use super::RUNS_CONSIDERED;
use plugin_api::{
    Doc, Ts,
    config::{ConfigSchema, StoredConfig},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Thresholds of one assignment (`healthcheck §6.2`). Without `mode` they are consecutive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "mode", rename_all = "lowercase")]
pub enum Thresholds {
    /// Counts failures and successes in a row.
    Consecutive(Consecutive),
    /// Counts failures among the newest runs.
    Window(Window),
}

/// Counts in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Consecutive {
    /// Successes in a row that make the check healthy again. Default 1.
    pub healthy: Success,
    /// Failures in a row that make a healthy check degraded. Default 2.
    pub degraded: Failure,
    /// Failures in a row that make it unhealthy. Default 5.
    pub unhealthy: Failure,
}

/// Counts among the newest runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// How many runs are looked at, 3–100. Default 10.
    pub window_size: u32,
    /// Failures among them that make the check degraded. Default 3.
    pub degraded: Failure,
    /// Failures among them that make it unhealthy. Default 7.
    pub unhealthy: Failure,
}

/// A number of successes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Success {
    /// At least 1.
    pub min_success_count: u32,
}
/// A number of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Failure {
    /// At least 1.
    pub min_failure_count: u32,
}

const fn failures(n: u32) -> Failure {
    Failure {
        min_failure_count: n,
    }
}

impl Default for Consecutive {
    fn default() -> Self {
        Self {
            healthy: Success {
                min_success_count: 1,
            },
            degraded: failures(2),
            unhealthy: failures(5),
        }
    }
}
impl Default for Window {
    fn default() -> Self {
        Self {
            window_size: 10,
            degraded: failures(3),
            unhealthy: failures(7),
        }
    }
}
impl Default for Thresholds {
    fn default() -> Self {
        Self::Consecutive(Consecutive::default())
    }
}

/// What people write: every part may be left out.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    mode: Option<Mode>,
    window_size: Option<u32>,
    healthy: Option<Success>,
    degraded: Option<Failure>,
    unhealthy: Option<Failure>,
}
#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Consecutive,
    Window,
}

impl<'de> Deserialize<'de> for Thresholds {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let w = Written::deserialize(d)?;
        if w.mode == Some(Mode::Window) {
            if w.healthy.is_some() {
                return Err(D::Error::custom("mode window takes no healthy part"));
            }
            let default = Window::default();
            return Ok(Self::Window(Window {
                window_size: w.window_size.unwrap_or(default.window_size),
                degraded: w.degraded.unwrap_or(default.degraded),
                unhealthy: w.unhealthy.unwrap_or(default.unhealthy),
            }));
        }
        if w.window_size.is_some() {
            return Err(D::Error::custom("windowSize needs mode window"));
        }
        let default = Consecutive::default();
        Ok(Self::Consecutive(Consecutive {
            healthy: w.healthy.unwrap_or(default.healthy),
            degraded: w.degraded.unwrap_or(default.degraded),
            unhealthy: w.unhealthy.unwrap_or(default.unhealthy),
        }))
    }
}

/// Why thresholds are refused when they are saved (`healthcheck §6.3`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ThresholdError {
    /// A count of zero, or one that can never be reached.
    #[error("{field} is {found}; it must be from {min} to {max}")]
    OutOfRange {
        /// The count, as people write it.
        field: &'static str,
        /// What was given.
        found: u32,
        /// Smallest allowed.
        min: u32,
        /// Largest allowed.
        max: u32,
    },
    /// Unhealthy would come before degraded.
    #[error(
        "unhealthy.minFailureCount ({unhealthy}) must not be smaller than degraded.minFailureCount ({degraded})"
    )]
    UnhealthyFirst {
        /// The count for unhealthy.
        unhealthy: u32,
        /// The count for degraded.
        degraded: u32,
    },
}

impl Thresholds {
    /// Checks the counts for saving; answers everything that is wrong.
    pub fn check(&self) -> Vec<ThresholdError> {
        let all = RUNS_CONSIDERED as u32;
        let mut errors = Vec::new();
        let mut range = |field, found, min, max| {
            if !(min..=max).contains(&found) {
                errors.push(ThresholdError::OutOfRange {
                    field,
                    found,
                    min,
                    max,
                });
            }
        };
        let (degraded, unhealthy, max) = match self {
            Self::Consecutive(c) => {
                let success = c.healthy.min_success_count;
                range("healthy.minSuccessCount", success, 1, all);
                (c.degraded, c.unhealthy, all)
            }
            Self::Window(w) => {
                range("windowSize", w.window_size, 3, all);
                (w.degraded, w.unhealthy, w.window_size.min(all))
            }
        };
        let (degraded, unhealthy) = (degraded.min_failure_count, unhealthy.min_failure_count);
        range("degraded.minFailureCount", degraded, 1, max);
        range("unhealthy.minFailureCount", unhealthy, 1, max);
        if unhealthy < degraded {
            errors.push(ThresholdError::UnhealthyFirst {
                unhealthy,
                degraded,
            });
        }
        errors
    }
}

/// Thresholds as a versioned record in a table (`healthcheck §2.3`).
pub struct StoredThresholds;

impl StoredThresholds {
    fn schema() -> ConfigSchema {
        ConfigSchema::of::<Thresholds>()
    }

    /// The record to store.
    pub fn encode(thresholds: &Thresholds) -> Result<Doc, serde_json::Error> {
        Doc::of(&StoredConfig {
            version: Self::schema().version,
            data: serde_json::to_value(thresholds)?,
            migrated_at: None,
            original_version: None,
        })
    }

    /// Reads a record, migrating it forward. Absent: the defaults. Unreadable: the defaults, with a
    /// warning that names the assignment.
    pub fn decode(stored: Option<&Doc>, system_id: &str, configuration_id: &str) -> Thresholds {
        let Some(doc) = stored else {
            return Thresholds::default();
        };
        let read = || -> Result<Thresholds, plugin_api::BoxError> {
            let record: StoredConfig = doc.decode()?;
            let record = Self::schema().parse_record(record, Ts::from_millis(0))?;
            Ok(serde_json::from_value(record.data)?)
        };
        read().unwrap_or_else(|error| {
            tracing::warn!(
                %error, system_id, configuration_id,
                "The stored thresholds of a check cannot be read; the defaults apply."
            );
            Thresholds::default()
        })
    }
}
