//! Jitter, first delays, percentiles, rollups.

use healthcheck_plugin::{
    jitter::{first_delay_ms, fnv1a, jitter_ms},
    rollup,
    sketch::Sketch,
};
use serde_json::json;

#[test]
fn healthcheck_18_1_jitter_is_stable_and_bounded() {
    assert_eq!(fnv1a(""), 0x811c_9dc5);
    assert_eq!(fnv1a("a"), 0xe40c_292c);
    assert_eq!(fnv1a("foobar"), 0xbf9c_f968);
    for system in 0..200 {
        let system = format!("system-{system}");
        assert!(jitter_ms("c", &system, 1) < 1000);
        assert!(jitter_ms("c", &system, 3600) < 30_000);
        assert_eq!(jitter_ms("c", &system, 60), jitter_ms("c", &system, 60));
    }
    let spread: std::collections::BTreeSet<u64> = (0..50)
        .map(|n| jitter_ms("c", &n.to_string(), 60))
        .collect();
    assert!(spread.len() > 40);
}

#[test]
fn healthcheck_19_26_the_first_delay_is_what_is_left_of_the_interval() {
    assert_eq!(first_delay_ms(Some(40_000), 60, 0), 20_000);
    assert_eq!(first_delay_ms(Some(40_000), 60, 1_500), 21_500);
    assert_eq!(first_delay_ms(None, 60, 7), 7);
    assert_eq!(first_delay_ms(Some(400_000), 60, 7), 7);
    assert_eq!(first_delay_ms(Some(-5), 60, 0), 60_000);
}

#[test]
fn a_sketch_is_small_close_and_mergeable() {
    let (mut all, mut odd, mut even) = (Sketch::default(), Sketch::default(), Sketch::default());
    assert_eq!(all.quantile(0.95), None);
    // A permutation of 0..10_000.
    for n in (0..10_000).map(|n| (n * 7_919) % 10_000) {
        all.add(f64::from(n));
        if n % 2 == 0 {
            even.add(f64::from(n))
        } else {
            odd.add(f64::from(n))
        }
    }
    odd.merge(&even);
    for sketch in [&all, &odd] {
        assert!(sketch.len() <= 120, "{}", sketch.len());
        let p95 = sketch.quantile(0.95).expect("values");
        assert!((p95 - 9_500.0).abs() < 100.0, "{p95}");
    }
    let mut one = Sketch::default();
    one.add(12.0);
    one.add(f64::NAN);
    assert_eq!((one.len(), one.quantile(0.95)), (1, Some(12.0)));
    let stored = serde_json::to_value(&one).expect("serialises");
    assert_eq!(stored, json!([[12.0, 1.0]]));
}

#[test]
fn buckets_keep_averages_rates_and_errors() {
    let run = |code: u64, ok: bool| {
        let mut v = json!({ "a": { "_collectorId": "x.y", "statusCode": code, "success": ok, "statusText": "s" } });
        if !ok {
            v["a"]["error"] = json!("HTTP 500");
        }
        v.as_object().unwrap().clone()
    };
    let once = rollup::add(None, &run(200, true));
    let twice = rollup::add(Some(once), &run(500, false));
    assert_eq!(
        twice,
        json!({ "collectors": { "a": {
            "_collectorId": "x.y", "_runs": 2, "_errors": 1,
            "statusCode": { "avg": 350.0, "count": 2 },
            "success": { "rate": 0.5, "count": 2 },
        } } })
    );
}
