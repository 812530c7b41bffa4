//! When a failed provider call is made again.

use super::CompiledDuration;
use crate::definition::{Backoff, limits::LONGEST_SECONDS};
use template_engine::{Env, Expression, Scope};

/// 30 days: no wait is longer.
const LONGEST_MILLIS: i64 = LONGEST_SECONDS as i64 * 1000;

/// The `retry` of a provider action, ready to be asked.
#[derive(Clone, Debug)]
pub struct CompiledRetry {
    /// Attempts in all, the first included: 1–10.
    pub max_attempts: u32,
    /// The first wait.
    pub delay: CompiledDuration,
    /// How later waits follow from it.
    pub backoff: Backoff,
    /// The longest wait.
    pub max_delay: Option<CompiledDuration>,
}

impl CompiledRetry {
    /// Whether another attempt may follow after this many have failed.
    pub fn again_after(&self, failed: u32) -> bool {
        failed < self.max_attempts
    }

    /// Milliseconds to wait after `failed` failed attempts (1 after the first). What the action
    /// itself asked for (`retry_after_ms`) takes the place of the computed wait; either is at most
    /// `max_delay`, and never more than 30 days.
    ///
    /// # Errors
    /// What is wrong, when a duration's template fails or gives no duration from 1 second to
    /// 30 days.
    pub fn wait_millis(
        &self,
        failed: u32,
        retry_after_ms: Option<u64>,
        scope: &dyn Scope,
        env: &Env<'_>,
    ) -> Result<i64, String> {
        let millis = |what: &str, d: &CompiledDuration| match d.millis(scope, env) {
            Ok(Some(ms)) => Ok(ms),
            Ok(None) => Err(format!(
                "retry.{what}: the template gives no duration from 1 second to 30 days"
            )),
            Err(e) => Err(format!("retry.{what}: {e}")),
        };
        let wait = match retry_after_ms {
            Some(asked) => i64::try_from(asked).unwrap_or(i64::MAX),
            None => {
                let delay = millis("delay", &self.delay)?;
                match self.backoff {
                    Backoff::Fixed => delay,
                    Backoff::Exponential => {
                        let doublings = failed.saturating_sub(1).min(62);
                        delay.saturating_mul(1 << doublings)
                    }
                }
            }
        };
        let most = match &self.max_delay {
            Some(d) => millis("max_delay", d)?.min(LONGEST_MILLIS),
            None => LONGEST_MILLIS,
        };
        Ok(wait.min(most))
    }

    /// The expressions it may evaluate, so that what they read can be resolved before.
    pub fn expressions(&self) -> impl Iterator<Item = &Expression> {
        std::iter::once(&self.delay)
            .chain(&self.max_delay)
            .filter_map(|d| match d {
                CompiledDuration::Seconds(e) => Some(e),
                CompiledDuration::Millis(_) => None,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use template_engine::Filters;

    fn retry(backoff: Backoff, delay: CompiledDuration, max: Option<i64>) -> CompiledRetry {
        CompiledRetry {
            max_attempts: 10,
            delay,
            backoff,
            max_delay: max.map(CompiledDuration::Millis),
        }
    }

    fn template(text: &str) -> CompiledDuration {
        CompiledDuration::Seconds(Expression::parse(text).unwrap())
    }

    fn wait(r: &CompiledRetry, failed: u32, asked: Option<u64>) -> Result<i64, String> {
        let filters = Filters::default();
        let env = Env::new(&filters, "2026-01-15T12:00:00Z".parse().unwrap());
        let scope = json!({"variables": {"s": 3, "bad": "soon"}});
        r.wait_millis(failed, asked, &scope, &env)
    }

    #[test]
    fn waits_are_fixed_or_double() {
        let fixed = retry(Backoff::Fixed, CompiledDuration::Millis(5000), None);
        assert_eq!(wait(&fixed, 1, None), Ok(5000));
        assert_eq!(wait(&fixed, 9, None), Ok(5000));
        let doubling = retry(Backoff::Exponential, CompiledDuration::Millis(5000), None);
        let waits: Vec<i64> = (1..=4).map(|n| wait(&doubling, n, None).unwrap()).collect();
        assert_eq!(waits, [5000, 10_000, 20_000, 40_000]);
        assert!(fixed.again_after(9) && !fixed.again_after(10));
    }

    #[test]
    fn no_wait_is_longer_than_its_limit_or_30_days() {
        let day = 86_400_000;
        let long = retry(
            Backoff::Exponential,
            CompiledDuration::Millis(20 * day),
            None,
        );
        assert_eq!(wait(&long, 9, None), Ok(30 * day));
        assert_eq!(wait(&long, u32::MAX, None), Ok(30 * day));
        let limited = retry(
            Backoff::Exponential,
            CompiledDuration::Millis(1000),
            Some(3000),
        );
        assert_eq!(wait(&limited, 2, None), Ok(2000));
        assert_eq!(wait(&limited, 3, None), Ok(3000));
    }

    #[test]
    fn what_the_action_asks_for_replaces_the_wait_within_the_same_limits() {
        let limited = retry(Backoff::Fixed, CompiledDuration::Millis(1000), Some(3000));
        assert_eq!(wait(&limited, 1, Some(0)), Ok(0));
        assert_eq!(wait(&limited, 1, Some(2500)), Ok(2500));
        assert_eq!(wait(&limited, 1, Some(9000)), Ok(3000));
        let free = retry(Backoff::Fixed, CompiledDuration::Millis(1000), None);
        assert_eq!(wait(&free, 1, Some(u64::MAX)), Ok(LONGEST_MILLIS));
        // The delay is then not looked at.
        let broken = retry(Backoff::Fixed, template("variables.bad"), None);
        assert_eq!(wait(&broken, 1, Some(7)), Ok(7));
    }

    #[test]
    fn a_template_gives_seconds_or_an_error_that_names_it() {
        let good = retry(Backoff::Exponential, template("variables.s"), None);
        assert_eq!(wait(&good, 2, None), Ok(6000));
        assert_eq!(good.expressions().count(), 1);
        let broken = retry(Backoff::Fixed, template("variables.bad"), None);
        let why = wait(&broken, 1, None).unwrap_err();
        assert!(why.starts_with("retry.delay:"), "{why}");
        let mut broken = retry(Backoff::Fixed, CompiledDuration::Millis(1000), None);
        broken.max_delay = Some(template("variables.nope"));
        let why = wait(&broken, 1, None).unwrap_err();
        assert!(why.starts_with("retry.max_delay:"), "{why}");
    }
}
