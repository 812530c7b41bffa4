//! Virtual time.

use plugin_api::Clock;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use test_kit::{VirtualClock, eventually};

#[tokio::test]
async fn sleepers_wake_in_order_and_not_before() {
    let clock = VirtualClock::new();
    let order = Arc::new(Mutex::new(Vec::new()));
    for seconds in [3u64, 1, 2] {
        let sleep = clock.sleep(Duration::from_secs(seconds));
        let order = order.clone();
        plugin_api::spawn(async move {
            sleep.await;
            order.lock().unwrap().push(seconds);
        });
    }
    // The single-threaded executor polls every task once, so that all of them wait.
    tokio::task::yield_now().await;
    clock.advance(Duration::from_millis(999));
    assert_eq!(clock.next_wake(), Some(clock.now().plus_millis(1)));
    assert!(order.lock().unwrap().is_empty());
    clock.advance(Duration::from_secs(5));
    eventually(async || order.lock().unwrap().len() == 3, "three sleepers").await;
    assert_eq!(*order.lock().unwrap(), [1, 2, 3]);
}

#[test]
fn ids_sort_by_creation_and_differ_between_clocks() {
    let (a, b) = (VirtualClock::new(), VirtualClock::new());
    let first = a.new_uuid();
    let second = a.new_uuid();
    a.advance(Duration::from_millis(1));
    let third = a.new_uuid();
    assert!(first < second && second < third);
    assert_eq!(first.get_version_num(), 7);
    assert_ne!(b.new_uuid(), first);
}
