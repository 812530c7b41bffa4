//! What comes back: codes, streams, limits (`scripts §6`).

use crate::{run, shell};
use plugin_api::masking::MaskSet;
use script_runner::OUTPUT_LIMIT;
use std::{sync::Arc, time::Duration};

#[tokio::test]
async fn streams_and_exit_code_are_reported() {
    let out = run(shell("echo out; echo err >&2; exit 3")).await;
    assert_eq!(
        (out.exit_code, out.stdout.as_str(), out.stderr.as_str()),
        (3, "out", "err")
    );
    assert!(!out.timed_out && !out.truncated);
}

#[tokio::test]
async fn a_signal_is_reported_as_shells_do() {
    assert_eq!(run(shell("kill -9 $$")).await.exit_code, 137);
}

#[tokio::test]
async fn standard_input_is_empty() {
    assert_eq!(run(shell("cat; echo end")).await.stdout, "end");
}

#[tokio::test]
async fn a_chatty_program_is_cut_and_not_blocked() {
    let out = run(shell("yes 0123456789 | head -c 3000000; echo done >&2")).await;
    assert_eq!(out.stderr, "done");
    assert!(out.truncated);
    assert!(out.stdout.len() <= OUTPUT_LIMIT && out.stdout.len() > OUTPUT_LIMIT - 16);
    assert_eq!(out.exit_code, 0);
}

#[tokio::test]
async fn a_secret_across_the_cut_leaves_nothing_behind() {
    let secret = "s3cr3t-value-0123456789";
    let mut spec = shell(&format!(
        "head -c {} /dev/zero | tr '\\0' x; printf %s \"$TOKEN\"",
        OUTPUT_LIMIT - 6
    ));
    spec.env.insert("TOKEN".into(), secret.into());
    spec.mask = Arc::new(MaskSet::of([secret]));
    let out = run(spec).await;
    assert!(out.truncated);
    assert!(
        out.stdout.ends_with("x****"),
        "{}",
        &out.stdout[OUTPUT_LIMIT - 20..]
    );
}

#[tokio::test]
async fn a_secret_cut_in_two_where_capturing_stops_leaves_nothing_behind() {
    // Far more than is captured; masking shrinks it to far less than is shown. A line is 24 bytes
    // long, so the widths let the capture end after each byte of it, inside a character too.
    let secret = "sß3cr3t-välue-→-123";
    for width in 1..=secret.len() {
        let mut spec = shell(&format!(
            "printf '%{width}s\\n' ''; yes \"$TOKEN\" | head -c 300000"
        ));
        spec.env.insert("TOKEN".into(), secret.into());
        spec.mask = Arc::new(MaskSet::of([secret]));
        let out = run(spec).await;
        assert!(out.truncated);
        let odd = out.stdout.lines().skip(1).find(|line| *line != "****");
        assert_eq!(odd, None, "after {width} blanks");
    }
}

#[tokio::test]
async fn a_secret_cut_in_two_by_the_time_limit_leaves_nothing_behind() {
    let mut spec = shell("echo begun; printf %s s3cr3t-va; sleep 1000");
    spec.timeout = Duration::from_millis(500);
    spec.mask = Arc::new(MaskSet::of(["s3cr3t-value"]));
    let out = run(spec).await;
    assert!(out.timed_out);
    assert_eq!(out.stdout, "begun");
}
