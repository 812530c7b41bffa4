//! The decisions: a check's status, a system's status, the transition rows that are due.

use super::{Consecutive, Thresholds, Window};
use crate::status::Status;

/// The status of a check from its newest runs, newest first, at most
/// [`RUNS_CONSIDERED`](super::RUNS_CONSIDERED) (`healthcheck §6.1–6.6`). No runs: healthy.
pub fn check_status(runs: &[Status], thresholds: &Thresholds) -> Status {
    match thresholds {
        Thresholds::Consecutive(c) => fold(runs, c).last().unwrap_or(Status::Healthy),
        Thresholds::Window(w) => in_window(runs, w),
    }
}

/// The status after each of the runs, oldest first. For window thresholds the status after a run
/// is what the window ending with that run says.
pub fn check_history(runs: &[Status], thresholds: &Thresholds) -> Vec<Status> {
    match thresholds {
        Thresholds::Consecutive(c) => fold(runs, c).collect(),
        Thresholds::Window(w) => (0..runs.len())
            .rev()
            .map(|newest| in_window(&runs[newest..], w))
            .collect(),
    }
}

fn fold<'a>(runs: &'a [Status], t: &'a Consecutive) -> impl Iterator<Item = Status> + 'a {
    let (mut status, mut failures, mut successes) = (Status::Healthy, 0u32, 0u32);
    runs.iter().rev().map(move |run| {
        if *run == Status::Healthy {
            failures = 0;
            successes += 1;
            if successes >= t.healthy.min_success_count {
                status = Status::Healthy;
            }
        } else {
            successes = 0;
            failures += 1;
            if failures >= t.unhealthy.min_failure_count {
                status = Status::Unhealthy;
            } else if failures >= t.degraded.min_failure_count && status == Status::Healthy {
                status = Status::Degraded;
            }
        }
        status
    })
}

fn in_window(runs: &[Status], t: &Window) -> Status {
    let failures = runs
        .iter()
        .take(t.window_size as usize)
        .filter(|run| **run != Status::Healthy)
        .count() as u32;
    if failures >= t.unhealthy.min_failure_count {
        Status::Unhealthy
    } else if failures >= t.degraded.min_failure_count {
        Status::Degraded
    } else {
        Status::Healthy
    }
}

/// A system's aggregate over its counted checks (`healthcheck §6.7`, `§7.1`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aggregate {
    /// The worst check status.
    pub status: Status,
    /// Checks that are healthy.
    pub healthy: u32,
    /// Checks counted.
    pub total: u32,
}

/// Aggregates check statuses; none when there is no check to count.
pub fn aggregate(checks: impl IntoIterator<Item = Status>) -> Option<Aggregate> {
    checks.into_iter().fold(None, |so_far, status| {
        let a = so_far.unwrap_or(Aggregate {
            status: Status::Healthy,
            healthy: 0,
            total: 0,
        });
        Some(Aggregate {
            status: a.status.max(status),
            healthy: a.healthy + u32::from(status == Status::Healthy),
            total: a.total + 1,
        })
    })
}

/// One row of a system's history that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The status left; none for the row of a system seen for the first time.
    pub from: Option<Status>,
    /// The status entered.
    pub to: Status,
}

/// The transition rows that a write owes (`healthcheck §8`): the system's newest row says
/// `recorded`, the status was `prev` before the write and is `next` after it; none means no checks.
/// A row that was lost is made up for before the change itself. A system without rows gets its first
/// one with its first run or its first change. One that had no checks counts as healthy in that time,
/// as it reads: otherwise an outage before it would seem to have gone on.
pub fn transitions(
    recorded: Option<Status>,
    prev: Option<Status>,
    next: Option<Status>,
    is_run: bool,
) -> Vec<Transition> {
    let Some(next) = next else {
        return Vec::new();
    };
    let Some(recorded) = recorded else {
        let due = is_run || prev.is_some_and(|p| p != next);
        return due
            .then_some(Transition {
                from: None,
                to: next,
            })
            .into_iter()
            .collect();
    };
    let before = prev.unwrap_or(Status::Healthy);
    [(recorded, before), (before, next)]
        .into_iter()
        .filter(|(from, to)| from != to)
        .map(|(from, to)| Transition {
            from: Some(from),
            to,
        })
        .collect()
}

/// Since when a check has been failing (`healthcheck §10.6`, `check_failed`): given its runs newest
/// first, true and the index of the newest run at which it was fine, if it is failing now, that is
/// its status is not healthy or its newest run failed. No such index: it was never fine.
pub fn failing(runs: &[Status], thresholds: &Thresholds) -> (bool, Option<usize>) {
    let fine = |index: usize, history: &[Status]| {
        let after = history[history.len() - 1 - index];
        after == Status::Healthy && runs[index] == Status::Healthy
    };
    let history = check_history(runs, thresholds);
    let newest_fine = (0..runs.len()).find(|index| fine(*index, &history));
    (!runs.is_empty() && newest_fine != Some(0), newest_fine)
}
