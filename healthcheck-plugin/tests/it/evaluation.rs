//! From runs to statuses (`healthcheck §6`, `§8`).

use healthcheck_plugin::{
    Status::{self, Degraded, Healthy, Unhealthy},
    evaluate::{
        ThresholdError, Thresholds,
        decide::{Transition, aggregate, check_history, check_status, failing, transitions},
    },
};
use serde_json::json;

fn thresholds(written: serde_json::Value) -> Thresholds {
    serde_json::from_value(written).expect("thresholds")
}

/// Runs in order of time, as `+` and `-`, oldest first; the decisions take the newest first.
fn runs(text: &str) -> Vec<Status> {
    text.chars()
        .rev()
        .map(|c| if c == '+' { Healthy } else { Unhealthy })
        .collect()
}

#[track_caller]
fn check(written: serde_json::Value, course: &str, expect: Status) {
    assert_eq!(
        check_status(&runs(course), &thresholds(written)),
        expect,
        "{course}"
    );
}

#[test]
fn healthcheck_19_2_default_thresholds() {
    for (course, expect) in [
        ("", Healthy),
        ("-", Healthy),
        ("--", Degraded),
        ("----", Degraded),
        ("-----", Unhealthy),
        ("-----+", Healthy),
    ] {
        check(json!({}), course, expect);
    }
}

#[test]
fn healthcheck_19_3_three_successes_are_needed() {
    let written = json!({ "healthy": { "minSuccessCount": 3 } });
    check(written.clone(), "-----+", Unhealthy);
    check(written.clone(), "-----++", Unhealthy);
    check(written.clone(), "-----+++", Healthy);
    check(written, "-----++-++", Unhealthy);
}

#[test]
fn healthcheck_19_4_alternating_runs() {
    let course = "+-".repeat(10);
    for end in 1..=course.len() {
        check(json!({ "mode": "consecutive" }), &course[..end], Healthy);
    }
    check(json!({ "mode": "window" }), &course, Degraded);
}

#[test]
fn a_window_smaller_than_its_size_counts_what_there_is() {
    check(json!({ "mode": "window" }), "---", Degraded);
    check(json!({ "mode": "window" }), "-------", Unhealthy);
    check(json!({ "mode": "window" }), "-------++++++++++", Healthy);
}

#[test]
fn an_escalation_never_improves_and_a_blip_never_alarms() {
    let course = runs("-+--+-----");
    let history = check_history(&course, &Thresholds::default());
    assert_eq!(
        history,
        [
            Healthy, Healthy, Healthy, Degraded, Healthy, Healthy, Degraded, Degraded, Degraded,
            Unhealthy
        ]
    );
}

#[test]
fn healthcheck_19_5_unreachable_thresholds_are_refused() {
    let far = thresholds(json!({ "unhealthy": { "minFailureCount": 101 } })).check();
    assert!(
        matches!(
            far[..],
            [ThresholdError::OutOfRange {
                found: 101,
                max: 100,
                ..
            }]
        ),
        "{far:?}"
    );
    let turned = thresholds(
        json!({ "degraded": { "minFailureCount": 4 }, "unhealthy": { "minFailureCount": 3 } }),
    )
    .check();
    assert_eq!(
        turned,
        [ThresholdError::UnhealthyFirst {
            unhealthy: 3,
            degraded: 4
        }]
    );
    let equal = thresholds(
        json!({ "degraded": { "minFailureCount": 3 }, "unhealthy": { "minFailureCount": 3 } }),
    );
    assert_eq!(equal.check(), []);
    assert_eq!(check_status(&runs("---"), &equal), Unhealthy);
    let wide = thresholds(json!({ "mode": "window", "windowSize": 5 })).check();
    assert!(
        matches!(
            wide[..],
            [ThresholdError::OutOfRange {
                found: 7,
                max: 5,
                ..
            }]
        ),
        "{wide:?}"
    );
    assert!(
        !thresholds(json!({ "mode": "window", "windowSize": 2 }))
            .check()
            .is_empty()
    );
    assert!(
        !thresholds(json!({ "degraded": { "minFailureCount": 0 } }))
            .check()
            .is_empty()
    );
    for unknown in [
        json!({ "windowSize": 5 }),
        json!({ "healty": {} }),
        json!({ "mode": "window", "healthy": { "minSuccessCount": 1 } }),
    ] {
        assert!(serde_json::from_value::<Thresholds>(unknown).is_err());
    }
}

#[test]
fn healthcheck_19_6_the_worst_check_decides() {
    let a = aggregate([Degraded, Unhealthy]).expect("checks");
    assert_eq!((a.status, a.healthy, a.total), (Unhealthy, 0, 2));
    let b = aggregate([Healthy, Degraded]).expect("checks");
    assert_eq!((b.status, b.healthy, b.total), (Degraded, 1, 2));
    assert_eq!(aggregate([]), None);
}

fn row(from: impl Into<Option<Status>>, to: Status) -> Transition {
    Transition {
        from: from.into(),
        to,
    }
}

#[test]
fn transition_rows_are_written_once_per_change() {
    let due = transitions;
    assert_eq!(
        due(None, Some(Healthy), Some(Healthy), true),
        [row(None, Healthy)]
    );
    assert_eq!(due(None, Some(Healthy), Some(Healthy), false), []);
    assert_eq!(
        due(None, Some(Healthy), Some(Degraded), true),
        [row(None, Degraded)]
    );
    assert_eq!(due(Some(Healthy), Some(Healthy), Some(Healthy), true), []);
    assert_eq!(
        due(Some(Healthy), Some(Healthy), Some(Degraded), true),
        [row(Healthy, Degraded)]
    );
    assert_eq!(due(Some(Degraded), Some(Degraded), None, false), []);
    assert_eq!(
        due(Some(Unhealthy), None, Some(Healthy), false),
        [row(Unhealthy, Healthy)]
    );
    // Without checks it read as healthy, whatever it was before and is now.
    assert_eq!(
        due(Some(Unhealthy), None, Some(Unhealthy), false),
        [row(Unhealthy, Healthy), row(Healthy, Unhealthy)]
    );
    assert_eq!(due(Some(Healthy), None, Some(Healthy), false), []);
}

#[test]
fn healthcheck_19_24_a_lost_row_is_made_up_for() {
    let due = transitions;
    assert_eq!(
        due(Some(Healthy), Some(Degraded), Some(Degraded), true),
        [row(Healthy, Degraded)]
    );
    assert_eq!(
        due(Some(Healthy), Some(Degraded), Some(Unhealthy), true),
        [row(Healthy, Degraded), row(Degraded, Unhealthy)]
    );
}

#[test]
fn a_check_is_failing_since_its_newest_fine_run() {
    let t = Thresholds::default();
    assert_eq!(failing(&runs(""), &t), (false, None));
    assert_eq!(failing(&runs("++"), &t), (false, Some(0)));
    assert_eq!(failing(&runs("+-"), &t), (true, Some(1)));
    assert_eq!(failing(&runs("---"), &t), (true, None));
    let slow = thresholds(json!({ "healthy": { "minSuccessCount": 3 } }));
    // Two successes do not end the outage, so it began after the run before it.
    assert_eq!(failing(&runs("+++--++"), &slow), (true, Some(4)));
}
