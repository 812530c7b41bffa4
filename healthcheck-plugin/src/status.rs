//! The three statuses, of a run, of a check and of a system alike.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How well something is; ordered by severity.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Healthy,
    /// Failing, but not long enough to be called down.
    Degraded,
    /// Down.
    Unhealthy,
}

impl Status {
    /// The text used in tables, payloads and scopes.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Healthy => "healthy",
            Status::Degraded => "degraded",
            Status::Unhealthy => "unhealthy",
        }
    }

    /// Reads the text of a table; none for a text nobody writes.
    pub fn parse(text: &str) -> Option<Self> {
        [Status::Healthy, Status::Degraded, Status::Unhealthy]
            .into_iter()
            .find(|s| s.as_str() == text)
    }

    /// Reads the first letter, the form in which a check's recent runs are read in one text.
    pub(crate) fn from_letter(letter: char) -> Option<Self> {
        match letter {
            'h' => Some(Status::Healthy),
            'd' => Some(Status::Degraded),
            'u' => Some(Status::Unhealthy),
            _ => None,
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
