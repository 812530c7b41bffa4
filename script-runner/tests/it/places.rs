//! How many programs run at once, and what waiting costs them (`scripts §6.7`).

use crate::{runner, shell};
use plugin_api::{Clock, SystemClock, Ts, clock::Sleep, uuid::Uuid};
use script_runner::Runner;
use std::{
    future::{Future, ready},
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};
use tokio::sync::watch;

/// A clock that stands still until it is moved; the processes themselves are real.
struct Moved {
    since_start: watch::Sender<Duration>,
    ids: Arc<SystemClock>,
}

impl Moved {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            since_start: watch::Sender::new(Duration::ZERO),
            ids: SystemClock::new(),
        })
    }
    fn advance(&self, by: Duration) {
        self.since_start.send_modify(|now| *now += by);
    }
}

impl Clock for Moved {
    fn now(&self) -> Ts {
        let ms = self.monotonic().as_millis();
        Ts::from_millis(i64::try_from(ms).expect("a short test"))
    }
    fn sleep_until(&self, at: Ts) -> Sleep {
        let mut now = self.since_start.subscribe();
        Box::pin(async move {
            let reached = |now: &Duration| now.as_millis() >= at.millis().unsigned_abs().into();
            now.wait_for(reached).await.expect("the clock lives");
        })
    }
    fn new_uuid(&self) -> Uuid {
        self.ids.new_uuid()
    }
    fn monotonic(&self) -> Duration {
        *self.since_start.borrow()
    }
}

/// Lets a future go as far as it can now; true when it is not done.
async fn waits(future: Pin<&mut impl Future>) -> bool {
    tokio::select! {
        biased;
        _ = future => false,
        () = ready(()) => true,
    }
}

#[tokio::test]
async fn waiting_for_a_place_does_not_count_against_the_time_limit() {
    let clock = Moved::new();
    let runner = Runner::new(clock.clone());
    let all = runner.admit(usize::MAX).await;
    let mut spec = shell("echo done");
    spec.timeout = Duration::from_secs(1);
    let mut run = pin!(runner.run(spec));
    assert!(waits(run.as_mut()).await, "there is no place");
    clock.advance(Duration::from_secs(3600));
    assert!(waits(run.as_mut()).await, "its time has not begun");

    drop(all);
    let out = run.await.expect("the process starts");
    assert!(!out.timed_out);
    assert_eq!(out.stdout, "done");
    assert_eq!(out.duration, Duration::ZERO);
}

#[tokio::test]
async fn places_are_given_together_and_in_turn() {
    let runner = runner();
    let one = runner.admit(1).await;
    let mut all = pin!(runner.admit(usize::MAX));
    assert!(waits(all.as_mut()).await, "one is taken");
    let mut late = pin!(runner.admit(1));
    assert!(waits(late.as_mut()).await, "others came first");

    drop(one);
    let all = all.await;
    assert!(waits(late.as_mut()).await, "all are taken");
    drop(all);
    let _late = late.await;
}

#[tokio::test]
async fn giving_up_waiting_leaves_the_place_to_others() {
    let runner = runner();
    let all = runner.admit(usize::MAX).await;
    {
        let mut given_up = pin!(runner.admit(1));
        assert!(waits(given_up.as_mut()).await);
    }
    drop(all);
    let _all = runner.admit(usize::MAX).await;
}

#[tokio::test]
async fn more_programs_than_places_take_turns() {
    let dir = tempfile::tempdir().expect("a directory");
    let alone = format!(
        "mkdir {0}/x || echo not alone; sleep 0.1; rmdir {0}/x",
        dir.path().display()
    );
    let places = runner().admit(0).await;
    let (a, b, c) = tokio::join!(
        places.run(shell(&alone)),
        places.run(shell(&alone)),
        places.run(shell(&alone)),
    );
    for out in [a, b, c] {
        assert_eq!(out.expect("the process starts").stdout, "");
    }
}
