//! Step retries: how often a provider call that failed is made again, and after how long.
//!
//! Without `retry` an action is called once and a failure is the step's. With it, a failed attempt
//! is followed by a durable wait and another attempt, all under the same idempotency key, until one
//! succeeds or `max_attempts` were made.

use super::Duration;

/// The `retry` of a provider action.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Attempts in all, the first included: 1–10.
    pub max_attempts: u32,
    /// Time between the first attempt's failure and the second attempt.
    pub delay: Duration,
    /// How later waits follow from `delay`. Default `fixed`.
    pub backoff: Backoff,
    /// No wait is longer than this; none: 30 days, as for every wait.
    pub max_delay: Option<Duration>,
}

impl Retry {
    /// The most attempts a step makes.
    pub const MOST_ATTEMPTS: u32 = 10;
}

/// How the waits between attempts grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Backoff {
    /// Every wait is `delay`.
    #[default]
    Fixed,
    /// Each wait is twice the one before.
    Exponential,
}

impl Backoff {
    /// All, as they are written.
    pub const ALL: [(&'static str, Backoff); 2] = [
        ("fixed", Backoff::Fixed),
        ("exponential", Backoff::Exponential),
    ];
    /// As it is written.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }
}
