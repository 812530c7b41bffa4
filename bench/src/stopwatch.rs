//! Real time: what a benchmark measures. The only module that reads it or waits for it.

use std::{
    future::Future,
    time::{Duration, Instant},
};

/// How long a piece of work may take before it counts as lost.
pub const LIMIT: Duration = Duration::from_secs(120);

/// A point in real time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Instant);

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
impl Moment {
    /// Now.
    pub fn now() -> Self {
        Self(Instant::now())
    }

    /// How long ago this was.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    /// From an earlier moment to this one; zero when that is later.
    pub fn since(self, earlier: Moment) -> Duration {
        self.0.saturating_duration_since(earlier.0)
    }

    /// A later moment.
    pub fn plus(self, time: Duration) -> Self {
        Self(self.0 + time)
    }

    /// True when it has come.
    pub fn is_past(self) -> bool {
        Instant::now() >= self.0
    }
}

/// Waits.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Waits until a moment has come.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub async fn pause_until(moment: Moment) {
    tokio::time::sleep_until(moment.0.into()).await;
}

/// What a future answers, or an error that names it after [`LIMIT`].
///
/// # Errors
/// After the limit.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub async fn within<F: Future>(what: &str, future: F) -> anyhow::Result<F::Output> {
    tokio::time::timeout(LIMIT, future)
        .await
        .map_err(|_| anyhow::anyhow!("waited {LIMIT:?} in vain for {what}"))
}
