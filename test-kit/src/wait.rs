//! Waiting for something to become true: the only place in the kit that goes by the machine's clock. A predicate
//! that is not true within [`LIMIT`] fails the test with what it waited for.

use crate::VirtualClock;
use plugin_api::{Clock, SystemClock, timeout};
use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

/// Real time after which a test gives up waiting.
pub const LIMIT: Duration = Duration::from_secs(30);

/// The machine's clock: work done by other threads, processes and databases takes its time whatever the
/// virtual clock says.
static REAL: LazyLock<Arc<SystemClock>> = LazyLock::new(SystemClock::new);

/// Waits until the predicate answers true.
///
/// # Panics
/// After [`LIMIT`], naming `what`.
pub async fn eventually(predicate: impl AsyncFnMut() -> bool, what: &str) {
    let mut predicate = predicate;
    until(async || predicate().await.then_some(()), what).await;
}

/// As [`eventually`], with a limit of its own: for stories of whole processes.
///
/// # Panics
/// After `limit`, naming `what`.
pub async fn eventually_within(limit: Duration, predicate: impl AsyncFnMut() -> bool, what: &str) {
    let mut predicate = predicate;
    until_within(limit, async || predicate().await.then_some(()), what).await;
}

/// Waits until the closure answers a value.
///
/// # Panics
/// After [`LIMIT`], naming `what`.
pub async fn until<T>(probe: impl AsyncFnMut() -> Option<T>, what: &str) -> T {
    until_within(LIMIT, probe, what).await
}

async fn until_within<T>(limit: Duration, probe: impl AsyncFnMut() -> Option<T>, what: &str) -> T {
    let mut probe = probe;
    let deadline = REAL.monotonic() + limit;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(
            REAL.monotonic() < deadline,
            "waited {limit:?} in vain for: {what}"
        );
        REAL.sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Moves the clock by `step` again and again until the predicate answers true, giving the program
/// real time after each step: 20 ms for each second moved, at least 10 ms and at most 200 ms, because
/// time limits and leases are counted on this clock while the database takes real time.
///
/// # Panics
/// After [`LIMIT`] of real time, naming `what` and how far the clock was moved.
pub async fn advance_until(
    clock: &VirtualClock,
    step: Duration,
    predicate: impl AsyncFnMut() -> bool,
    what: &str,
) {
    let mut predicate = predicate;
    let deadline = REAL.monotonic() + LIMIT;
    let mut moved = Duration::ZERO;
    let pace = (step / 50).clamp(Duration::from_millis(10), Duration::from_millis(200));
    loop {
        let next = REAL.monotonic() + pace;
        while REAL.monotonic() < next {
            if predicate().await {
                return;
            }
            REAL.sleep(Duration::from_millis(2)).await;
        }
        assert!(
            REAL.monotonic() < deadline,
            "moved the clock by {moved:?} in vain for: {what}"
        );
        clock.advance(step);
        moved += step;
    }
}

/// True when the predicate stays true for a moment of real time: for things that must *not* happen,
/// after the last thing that could cause them has been waited for.
pub async fn stays(predicate: impl AsyncFnMut() -> bool) -> bool {
    let mut predicate = predicate;
    for _ in 0..25 {
        if !predicate().await {
            return false;
        }
        REAL.sleep(Duration::from_millis(4)).await;
    }
    true
}

/// Runs a future with a limit of real time, for what might hang.
///
/// # Panics
/// After [`LIMIT`], naming `what`.
pub async fn within<F: Future>(future: F, what: &str) -> F::Output {
    timeout(&**REAL, LIMIT, future)
        .await
        .unwrap_or_else(|_| panic!("waited {LIMIT:?} in vain for: {what}"))
}
