//! How a child ends when it does not end by itself (`scripts §6.2–6.3`, `healthcheck §3.3.6`).

use crate::{run, runner, shell};
use nix::{sys::signal::kill, unistd::Pid};
use plugin_api::{Clock, SystemClock, clock::timeout};
use std::time::Duration;

fn alive(pid: &str) -> bool {
    let pid: i32 = pid.trim().parse().expect("a process id");
    if kill(Pid::from_raw(pid), None).is_err() {
        return false;
    }
    // A zombie that nobody has reaped yet is dead for our purposes.
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|s| !s.rsplit(')').next().unwrap_or("").trim().starts_with('Z'))
}

/// Waits for a condition that the operating system brings about, with a deadline.
async fn until(condition: impl Fn() -> bool) -> bool {
    let clock = SystemClock::new();
    timeout(clock.as_ref(), Duration::from_secs(10), async {
        while !condition() {
            clock.sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .is_ok()
}

#[tokio::test]
async fn the_time_limit_kills_the_whole_group() {
    let mut spec = shell("sleep 1000 & echo $!; sleep 1000 | cat");
    spec.timeout = Duration::from_millis(300);
    let out = run(spec).await;
    assert!(out.timed_out);
    assert_eq!(out.exit_code, -1);
    assert!(out.duration < Duration::from_secs(10));
    assert!(until(|| !alive(&out.stdout)).await, "a grandchild survived");
}

#[tokio::test]
async fn a_child_that_ignores_term_is_killed() {
    let mut spec = shell("trap '' TERM; echo $$; while :; do sleep 1; done");
    spec.timeout = Duration::from_millis(300);
    let out = run(spec).await;
    assert!(out.timed_out);
    assert!(!alive(&out.stdout));
}

#[tokio::test]
async fn dropping_the_future_kills_the_group() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("pid");
    let spec = shell(&format!("echo $$ > {}; sleep 1000", file.display()));
    let written = || std::fs::read_to_string(&file).is_ok_and(|t| t.ends_with('\n'));
    tokio::select! {
        _ = async { runner().run(spec).await } => panic!("it sleeps"),
        ok = until(written) => assert!(ok),
    }
    let pid = std::fs::read_to_string(&file).expect("written");
    assert!(until(|| !alive(&pid)).await, "the script survived");
}

#[tokio::test]
async fn a_background_job_neither_delays_the_answer_nor_survives() {
    let out = run(shell("sleep 1000 & echo $!")).await;
    assert_eq!(out.exit_code, 0);
    assert!(!out.timed_out);
    assert!(out.duration < Duration::from_secs(10));
    assert!(
        until(|| !alive(&out.stdout)).await,
        "the background job survived"
    );
}

#[tokio::test]
async fn a_background_job_that_holds_no_pipe_does_not_survive_either() {
    let out = run(shell("sleep 1000 >/dev/null 2>&1 & echo $!; exit 3")).await;
    assert_eq!(out.exit_code, 3);
    assert!(
        until(|| !alive(&out.stdout)).await,
        "the background job survived"
    );
}

#[tokio::test]
async fn no_zombie_is_left_when_the_answer_comes() {
    let out = run(shell("echo $$")).await;
    let pid: i32 = out.stdout.parse().expect("a process id");
    assert!(kill(Pid::from_raw(pid), None).is_err());
}
