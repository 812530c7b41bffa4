//! What a batch of candidates may do, given what was counted under their buckets' locks
//! (`dispatch §8`), and what a verdict of the gates leads to. Pure.

use super::Decision;
use crate::{
    concurrency::{
        Bucket, Occupancy,
        decide::{Admission, admit, loops},
    },
    gates::decide::Verdict,
};
use automation_core::{AutomationId, RunId, compiled::CompiledTrigger, definition::Definition};
use plugin_api::{Cause, Ts};
use std::collections::{HashMap, HashSet};

/// What became of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// A run was created.
    Run(RunId),
    /// A run was created and waits for its turn.
    Queued {
        /// The run.
        run: RunId,
        /// Pending runs before it.
        ahead: u64,
    },
    /// Its bucket refused it.
    Refused,
    /// Its own automation led to it.
    Loop,
    /// Its trigger cools down.
    Cooldown {
        /// When it may fire again.
        until: Ts,
    },
    /// It was decided before.
    Duplicate,
}

/// A candidate that was not decided before.
pub struct Seek<'a> {
    /// Its position.
    pub at: usize,
    /// The run it would become.
    pub run: RunId,
    /// Its automation.
    pub automation: AutomationId,
    /// Mode, limits and re-entry.
    pub definition: &'a Definition,
    /// Effective trigger id.
    pub trigger: &'a str,
    /// The domain entity it is about.
    pub context_key: Option<&'a str>,
    /// What led to it.
    pub cause: Option<&'a Cause>,
    /// False: a manual run, which nothing holds back.
    pub gated: bool,
    /// `cooldown` of its trigger, in milliseconds.
    pub cooldown_ms: Option<i64>,
    /// The newest start of the trigger within it.
    pub last_start: Option<Ts>,
    /// Where it counts.
    pub bucket: Bucket,
}

/// What all of them may do.
#[derive(Debug, Default)]
pub struct Admissions {
    /// One each, by position.
    pub answers: Vec<(usize, Started)>,
    /// Positions of those that become rows.
    pub admitted: Vec<usize>,
    /// Buckets whose active runs are cancelled, and the run that replaces them.
    pub superseded: Vec<(Bucket, RunId)>,
}

/// Decides them in order; each sees what those before it have taken.
pub fn admission(
    seeks: &[Seek<'_>],
    mut occupied: HashMap<Bucket, Occupancy>,
    now: Ts,
) -> Admissions {
    let mut out = Admissions::default();
    let mut answers: HashMap<usize, Started> = HashMap::new();
    // Starts of this very batch are not rows yet.
    let mut cooled: HashSet<(AutomationId, &str, Option<&str>)> = HashSet::new();
    let mut admitted: Vec<&Seek<'_>> = Vec::new();
    for seek in seeks {
        if !seek.gated {
            answers.insert(seek.at, Started::Run(seek.run));
            admitted.push(seek);
            continue;
        }
        if loops(seek.cause, seek.automation, seek.definition.allow_reentry) {
            answers.insert(seek.at, Started::Loop);
            continue;
        }
        let cooldown_key = (seek.automation, seek.trigger, seek.context_key);
        let just_now = cooled.contains(&cooldown_key).then_some(now);
        if let Some(last) = seek.last_start.or(just_now) {
            let until = last.plus_millis(seek.cooldown_ms.unwrap_or_default());
            answers.insert(seek.at, Started::Cooldown { until });
            continue;
        }
        let bucket = occupied.entry(seek.bucket.clone()).or_default();
        let answer = match admit(seek.definition.mode, seek.definition.max_runs, *bucket) {
            Admission::Start => {
                bucket.walking += 1;
                Started::Run(seek.run)
            }
            Admission::Queue => {
                let ahead = bucket.pending;
                bucket.pending += 1;
                Started::Queued {
                    run: seek.run,
                    ahead,
                }
            }
            Admission::Replace => {
                // Those of this very batch are not rows yet: the last one of them stands.
                admitted.retain(|other| {
                    let same = other.gated && other.bucket == seek.bucket;
                    if same {
                        answers.insert(other.at, Started::Refused);
                    }
                    !same
                });
                out.superseded.retain(|(bucket, _)| *bucket != seek.bucket);
                out.superseded.push((seek.bucket.clone(), seek.run));
                *bucket = Occupancy {
                    walking: 1,
                    pending: 0,
                };
                Started::Run(seek.run)
            }
            Admission::Refuse => {
                answers.insert(seek.at, Started::Refused);
                continue;
            }
        };
        answers.insert(seek.at, answer);
        if seek.cooldown_ms.is_some() {
            cooled.insert(cooldown_key);
        }
        admitted.push(seek);
    }
    out.admitted = admitted.iter().map(|s| s.at).collect();
    out.answers = answers.into_iter().collect();
    out.answers.sort_unstable_by_key(|(at, _)| *at);
    out
}

/// What a verdict of the gates leads to.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// A dwell of this many milliseconds.
    Arm(i64),
    /// On to concurrency.
    Start,
    /// Only its decision is recorded.
    Record(Decision),
    /// The dwell that hangs on the trigger's own gate is over, if there is one.
    OwnNo,
    /// No trace.
    Nothing,
}

/// Reads a verdict for a trigger.
pub fn outcome(verdict: &Verdict, trigger: &CompiledTrigger) -> Outcome {
    match verdict {
        Verdict::Arm { millis } => Outcome::Arm(*millis),
        Verdict::Pass => Outcome::Start,
        Verdict::ConditionFalse { .. } | Verdict::ConditionError { .. } => {
            Outcome::Record(Decision::ConditionsFailed)
        }
        Verdict::WindowHeld { .. } => Outcome::Record(Decision::WindowHeld),
        // Counted, so a redelivery must not count it again.
        Verdict::InvalidFor(_) if trigger.window.is_some() => {
            Outcome::Record(Decision::WindowPassed)
        }
        v if v.is_own_no() && trigger.dwell.is_some() => Outcome::OwnNo,
        _ => Outcome::Nothing,
    }
}
