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
use plugin_api::Cause;
use std::collections::{HashMap, HashSet};

/// What became of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// A run was created.
    Run(RunId),
    /// A run was created and waits for its turn.
    Queued(RunId),
    /// Its bucket refused it.
    Refused,
    /// Its own automation led to it.
    Loop,
    /// Its trigger cools down.
    Cooldown,
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
    /// Its trigger has a `cooldown`.
    pub cools_down: bool,
    /// A run of the trigger began within it.
    pub cooling: bool,
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
pub fn admission(seeks: &[Seek<'_>], mut occupied: HashMap<Bucket, Occupancy>) -> Admissions {
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
        if seek.cooling || cooled.contains(&cooldown_key) {
            answers.insert(seek.at, Started::Cooldown);
            continue;
        }
        let bucket = occupied.entry(seek.bucket.clone()).or_default();
        let answer = match admit(seek.definition.mode, seek.definition.max_runs, *bucket) {
            Admission::Start => {
                bucket.walking += 1;
                Started::Run(seek.run)
            }
            Admission::Queue => {
                bucket.pending += 1;
                Started::Queued(seek.run)
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
        if seek.cools_down {
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
