//! Time and ids. Nothing else in the project reads the wall clock or makes an id, so tests and the
//! simulator own both, and persisted instants are compared with one clock only (`dispatch §1`).

use crate::values::Ts;
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    sync::Mutex,
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

/// A future that ends at an instant of some clock.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A source of time and of ids.
pub trait Clock: Send + Sync + 'static {
    /// The present instant, in whole milliseconds.
    fn now(&self) -> Ts;
    /// Ends when the clock has reached `at`; at once if that is past.
    fn sleep_until(&self, at: Ts) -> Sleep;
    /// A fresh UUIDv7; later ones of one clock sort after earlier ones.
    fn new_uuid(&self) -> uuid::Uuid;
    /// A monotonic reading for durations that are only reported (latencies), never persisted as instants.
    fn monotonic(&self) -> Duration;
    /// Ends after a duration.
    fn sleep(&self, d: Duration) -> Sleep {
        self.sleep_until(
            self.now()
                .plus_millis(i64::try_from(d.as_millis()).unwrap_or(i64::MAX)),
        )
    }
}

/// The time limit passed before the future ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("time limit of {0:?} reached")]
pub struct Elapsed(pub Duration);

/// Runs a future for at most `limit` of the clock's time; dropping it at the limit cancels it.
pub async fn timeout<F: Future>(
    clock: &dyn Clock,
    limit: Duration,
    future: F,
) -> Result<F::Output, Elapsed> {
    tokio::select! {
        biased;
        v = future => Ok(v),
        () = clock.sleep(limit) => Err(Elapsed(limit)),
    }
}

/// How long a sleep trusts the machine's timer, which stands still while the machine is suspended
/// and knows nothing of a clock that is set.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// The machine's clock plus an offset. On a cluster the offset is kept equal to "database clock
/// minus ours", so that the clocks of nodes are never compared with persisted instants.
pub struct SystemClock {
    offset_ms: Arc<AtomicI64>,
    start: std::time::Instant,
    v7: Mutex<uuid::ContextV7>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the machine's clock and sleeps on it"
)]
impl SystemClock {
    /// A clock with offset zero.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            offset_ms: Arc::default(),
            start: std::time::Instant::now(),
            v7: Mutex::new(uuid::ContextV7::new()),
        })
    }
    /// Sets the offset added to the machine's time, in milliseconds.
    pub fn set_offset_ms(&self, offset: i64) {
        self.offset_ms.store(offset, Ordering::Relaxed);
    }
    /// The offset added to the machine's time, in milliseconds.
    pub fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::Relaxed)
    }
    fn with_offset(offset_ms: &AtomicI64) -> Ts {
        let machine = jiff::Timestamp::now().as_millisecond();
        Ts::from_millis(machine + offset_ms.load(Ordering::Relaxed))
    }
    /// Sleeps until the clock, looked at so often, has reached `at`.
    fn sleep_looking(&self, at: Ts, every: Duration) -> Sleep {
        let offset_ms = self.offset_ms.clone();
        Box::pin(async move {
            loop {
                let now = Self::with_offset(&offset_ms);
                let left = at.millis().saturating_sub(now.millis());
                if left <= 0 {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(left as u64).min(every)).await;
            }
        })
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the machine's clock and sleeps on it"
)]
impl Clock for SystemClock {
    fn now(&self) -> Ts {
        Self::with_offset(&self.offset_ms)
    }
    fn sleep_until(&self, at: Ts) -> Sleep {
        self.sleep_looking(at, LOOK_EVERY)
    }
    /// A duration is no matter of the wall clock: a time limit neither ends early nor lasts for an
    /// hour when that is set.
    fn sleep(&self, d: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(d))
    }
    fn new_uuid(&self) -> uuid::Uuid {
        let ms = self.now().millis().max(0) as u64;
        let context = self.v7.lock().expect("no panic while making an id");
        uuid::Uuid::new_v7(uuid::Timestamp::from_unix(
            &*context,
            ms / 1000,
            ((ms % 1000) * 1_000_000) as u32,
        ))
    }
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;
    const LIMIT: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_sleep_ends_when_the_clock_is_set_past_its_instant() {
        let clock = SystemClock::new();
        let at = clock.now().plus_millis(HOUR_MS);
        let mut sleep = clock.sleep_looking(at, Duration::from_millis(1));
        assert!(futures::poll!(&mut sleep).is_pending());
        clock.set_offset_ms(HOUR_MS);
        timeout(&*clock, LIMIT, sleep).await.expect("it ends");
        assert!(clock.now() >= at);
    }

    #[tokio::test]
    async fn a_time_limit_does_not_last_longer_when_the_clock_is_set_back() {
        let clock = SystemClock::new();
        let limited = timeout(
            &*clock,
            Duration::from_millis(5),
            std::future::pending::<()>(),
        );
        let mut limited = std::pin::pin!(limited);
        assert!(futures::poll!(&mut limited).is_pending());
        clock.set_offset_ms(-HOUR_MS);
        let ended = timeout(&*SystemClock::new(), LIMIT, limited).await;
        assert!(ended.expect("it ends").is_err());
    }
}
