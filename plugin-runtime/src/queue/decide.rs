//! What happens to a job after a handler had it. Pure.

use plugin_api::{
    Ts,
    queue::{JobError, Retries},
};

/// How long a started job is held without renewal.
pub(super) const LEASE_MS: i64 = 30_000;
/// How often leases are renewed.
pub(super) const RENEW_MS: i64 = 10_000;
/// How long dead letters, jobs without a group and the backlog of dead groups are kept.
pub(super) const KEEP_MS: i64 = 7 * 24 * 3_600_000;

/// The fate of a started job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// Handled: delete it.
    Done,
    /// Runs again at an instant; `deferred` attempts do not count.
    Again {
        /// Not before this.
        run_at: Ts,
        /// True for `Defer`.
        deferred: bool,
    },
    /// Dead letter with its cause.
    Dead(String),
}

/// Delay before the next execution after `executions` counted ones: 1, 2, 4 … s, at most 60 s.
pub(super) fn backoff_ms(executions: u32) -> i64 {
    1000 * (1i64 << executions.saturating_sub(1).min(6)).min(60)
}

/// True when no execution is left after `executions` counted ones.
pub(super) fn exhausted(executions: u32, retries: Retries) -> bool {
    match retries {
        Retries::Limited(n) => executions > n,
        Retries::Unlimited => false,
    }
}

/// Decides after the `executions`-th counted execution ended with `result` at `now`.
pub(super) fn fate(
    result: &Result<(), JobError>,
    executions: u32,
    retries: Retries,
    now: Ts,
) -> Fate {
    match result {
        Ok(()) => Fate::Done,
        Err(JobError::Defer(d)) => Fate::Again {
            run_at: now.plus_millis(i64::try_from(d.as_millis()).unwrap_or(i64::MAX)),
            deferred: true,
        },
        Err(JobError::Permanent(e)) => Fate::Dead(chain(e.as_ref())),
        Err(JobError::Retry(e)) if exhausted(executions, retries) => Fate::Dead(chain(e.as_ref())),
        Err(JobError::Retry(_)) => Fate::Again {
            run_at: now.plus_millis(backoff_ms(executions)),
            deferred: false,
        },
    }
}

/// An error with its causes, at most 2,000 characters.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(e) = source {
        let next = e.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        source = e.source();
    }
    match text.char_indices().nth(2000) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_doubles_from_one_second_to_a_minute() {
        let delays: Vec<_> = (1..=9).map(backoff_ms).collect();
        assert_eq!(
            delays,
            [
                1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000
            ]
        );
        assert_eq!(backoff_ms(0), 1000);
    }

    #[test]
    fn three_retries_are_four_executions() {
        let left: Vec<_> = (1..=4).map(|n| exhausted(n, Retries::Limited(3))).collect();
        assert_eq!(left, [false, false, false, true]);
        assert!(exhausted(1, Retries::Limited(0)));
        assert!(!exhausted(u32::MAX, Retries::Unlimited));
    }
}
