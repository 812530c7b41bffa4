//! What a re-check of a wait leads to (`dispatch §14.4`, `entity §19.4`). Pure.

use super::refs;
use crate::walk::{decide::FireReason, path};
use automation_core::compiled::{CompiledAction, CompiledKind};
use plugin_api::Ts;
use template_engine::{Env, Error, Scope};

/// The outcome of one re-check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recheck {
    /// The wait is over.
    Fire(FireReason),
    /// Still waiting.
    Still,
    /// State it reads could not be read: neither over nor evaluated, try again.
    Inconclusive,
}

/// What only time can end here: a `delay`, which is never early, and the deadline of a `trigger` lock,
/// which may have none.
pub fn timer(kind: &str, timeout_at: Option<Ts>, now: Ts) -> Recheck {
    match (kind, timeout_at) {
        (_, Some(at)) if at > now => Recheck::Still,
        ("delay", _) => Recheck::Fire(FireReason::Timer),
        ("trigger", Some(_)) => Recheck::Fire(FireReason::Timeout),
        _ => Recheck::Still,
    }
}

/// A `wait_until`: the condition wins over the deadline; the deadline holds whatever could be read.
/// `holds` is none when the condition could not be evaluated, which is "not yet".
pub fn until(holds: Option<bool>, unresolved: bool, timeout_at: Option<Ts>, now: Ts) -> Recheck {
    if holds == Some(true) && !unresolved {
        return Recheck::Fire(FireReason::Condition);
    }
    if timeout_at.is_some_and(|at| at <= now) {
        return Recheck::Fire(FireReason::Timeout);
    }
    if unresolved {
        Recheck::Inconclusive
    } else {
        Recheck::Still
    }
}

/// The condition of a `wait_until`, looked at once.
pub struct Tested {
    /// Whether it holds, or why it cannot be told.
    pub holds: Result<bool, Error>,
    /// When it may become true without a change.
    pub next_check_at: Option<Ts>,
}

/// Tests the `wait_until` at a path; none when there is none.
pub fn test(
    actions: &[CompiledAction],
    at: &str,
    scope: &dyn Scope,
    env: &Env<'_>,
) -> Option<Tested> {
    let CompiledKind::WaitUntil { condition, .. } = &path::action(actions, at)?.kind else {
        return None;
    };
    Some(Tested {
        holds: condition.test(scope, env),
        next_check_at: refs::next_check(condition, scope, env),
    })
}

/// What a test of the condition leads to, and when to look again. A wait that is none cannot go on.
pub fn outcome(
    tested: Option<Tested>,
    unresolved: bool,
    timeout_at: Option<Ts>,
    now: Ts,
) -> (Recheck, Option<Ts>) {
    match tested {
        None => (Recheck::Fire(FireReason::Invalid), None),
        Some(t) => (
            until(t.holds.ok(), unresolved, timeout_at, now),
            t.next_check_at,
        ),
    }
}

/// State that could not be read is tried again after this long, where something has to be tried.
const UNREAD_MS: i64 = 60_000;

/// When a lock that goes on waiting is looked at next without a change, and whether that takes a new
/// timer. `armed` is what the lock says so far, `wanted` what the condition asks for. A timer that is
/// armed for sooner serves too: with one of its own for each look, timers would beget timers.
pub fn look_again(
    outcome: Recheck,
    armed: Option<Ts>,
    wanted: Option<Ts>,
    now: Ts,
) -> (Option<Ts>, bool) {
    let ahead = armed.filter(|at| *at > now);
    match (outcome, ahead, wanted) {
        (Recheck::Inconclusive, None, _) => {
            (armed.map(|_| now.plus_millis(UNREAD_MS)), armed.is_some())
        }
        (Recheck::Inconclusive, ahead, _) => (ahead, false),
        (_, Some(ahead), Some(wanted)) if ahead <= wanted => (Some(ahead), false),
        (_, _, wanted) => (wanted, wanted.is_some()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn until_table() {
        use Recheck::*;
        let (due, later) = (Some(Ts::from_millis(10)), Some(Ts::from_millis(11)));
        let now = Ts::from_millis(10);
        let cases = [
            (Some(true), false, None, Fire(FireReason::Condition)),
            (Some(true), false, due, Fire(FireReason::Condition)),
            (Some(false), false, due, Fire(FireReason::Timeout)),
            (Some(false), false, later, Still),
            (None, false, None, Still),
            // An unread `x` makes `x != 'open'` true: that satisfies nothing.
            (Some(true), true, None, Inconclusive),
            (Some(true), true, due, Fire(FireReason::Timeout)),
            (Some(false), true, later, Inconclusive),
        ];
        for (holds, unresolved, timeout, expected) in cases {
            assert_eq!(until(holds, unresolved, timeout, now), expected);
        }
        assert_eq!(timer("delay", later, now), Still);
        assert_eq!(timer("delay", due, now), Fire(FireReason::Timer));
        assert_eq!(timer("trigger", later, now), Still);
        assert_eq!(timer("trigger", due, now), Fire(FireReason::Timeout));
        assert_eq!(timer("trigger", None, now), Still);
    }

    #[test]
    fn look_again_table() {
        use Recheck::*;
        let at = |s: i64| Some(Ts::from_millis(s * 1000));
        let cases = [
            // (outcome, armed, wanted) at 100 s
            (Still, None, None, (None, false)),
            (Still, None, at(160), (at(160), true)),
            (Still, at(160), at(161), (at(160), false)),
            (Still, at(160), at(160), (at(160), false)),
            (Still, at(160), at(130), (at(130), true)),
            // Its timer has come: the next one.
            (Still, at(100), at(160), (at(160), true)),
            (Still, at(160), None, (None, false)),
            (Inconclusive, None, None, (None, false)),
            (Inconclusive, None, at(160), (None, false)),
            (Inconclusive, at(100), at(130), (at(160), true)),
            (Inconclusive, at(130), at(160), (at(130), false)),
        ];
        for (outcome, armed, wanted, expected) in cases {
            assert_eq!(
                look_again(outcome, armed, wanted, Ts::from_millis(100_000)),
                expected,
                "{outcome:?} {armed:?} {wanted:?}"
            );
        }
    }
}
