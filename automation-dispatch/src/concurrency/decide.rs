//! Whether a run may start beside those that are active.

use super::Occupancy;
use automation_core::{
    AutomationId,
    definition::{ConcurrencyScope, Mode},
};
use plugin_api::Cause;

/// What a bucket says of one more run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It starts.
    Start,
    /// It waits for its turn.
    Queue,
    /// It is refused.
    Refuse,
    /// The active ones are cancelled, then it starts.
    Replace,
}

/// Decides with what is in the bucket (`dispatch §8.2`).
pub fn admit(mode: Mode, max_runs: u32, bucket: Occupancy) -> Admission {
    let active = bucket.walking + bucket.pending;
    let max = u64::from(max_runs);
    match mode {
        Mode::Single if active > 0 => Admission::Refuse,
        Mode::Parallel if active >= max => Admission::Refuse,
        Mode::Restart if active > 0 => Admission::Replace,
        Mode::Queued if active > 0 && bucket.pending >= max => Admission::Refuse,
        Mode::Queued if active > 0 => Admission::Queue,
        _ => Admission::Start,
    }
}

/// Runs that may lead to each other, at most.
pub const DEEPEST: usize = 16;

/// Whether a run would only go on with a chain that must end: its own automation is in it already,
/// or it has become too long whoever is in it.
pub fn loops(cause: Option<&Cause>, automation: AutomationId, allow_reentry: bool) -> bool {
    cause.is_some_and(|cause| {
        cause.depth() >= DEEPEST || (!allow_reentry && cause.contains(automation.uuid()))
    })
}

/// The key of a bucket's critical section (`dispatch §8.3`).
pub fn bucket_key(
    automation: AutomationId,
    bucket: ConcurrencyScope,
    context_key: Option<&str>,
) -> String {
    match (bucket, context_key) {
        (ConcurrencyScope::Automation, _) => format!("automation.concurrency:{automation}:@@all"),
        (ConcurrencyScope::ContextKey, None) => {
            format!("automation.concurrency:{automation}:@@null")
        }
        (ConcurrencyScope::ContextKey, Some(k)) => {
            format!("automation.concurrency:{automation}:k:{k}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Admission::*, *};

    #[test]
    fn modes_against_active_runs() {
        let cases = [
            (Mode::Single, 10, (0, 0), Start),
            (Mode::Single, 10, (1, 0), Refuse),
            (Mode::Single, 10, (0, 1), Refuse),
            (Mode::Parallel, 2, (1, 0), Start),
            (Mode::Parallel, 2, (2, 0), Refuse),
            (Mode::Parallel, 2, (5, 0), Refuse),
            (Mode::Restart, 1, (0, 0), Start),
            (Mode::Restart, 1, (1, 0), Replace),
            (Mode::Queued, 2, (0, 0), Start),
            (Mode::Queued, 2, (1, 0), Queue),
            (Mode::Queued, 2, (1, 1), Queue),
            (Mode::Queued, 2, (1, 2), Refuse),
            // Nobody walks, but others were first.
            (Mode::Queued, 2, (0, 1), Queue),
        ];
        for (mode, max, (walking, pending), expected) in cases {
            let bucket = Occupancy { walking, pending };
            assert_eq!(
                admit(mode, max, bucket),
                expected,
                "{mode:?} {max} {bucket:?}"
            );
        }
    }

    #[test]
    fn an_automation_in_its_own_chain_loops_unless_it_may() {
        let id = |n| AutomationId::from(uuid::Uuid::from_u128(n));
        let chain = |ids: &[u128]| Cause {
            root: "o".into(),
            chain: ids.iter().map(|n| id(*n).uuid()).collect(),
        };
        assert!(!loops(None, id(1), false));
        assert!(!loops(Some(&chain(&[2, 3])), id(1), false));
        assert!(loops(Some(&chain(&[2, 1])), id(1), false));
        assert!(!loops(Some(&chain(&[2, 1])), id(1), true));
        assert!(loops(Some(&chain(&[1; DEEPEST])), id(1), true));
        assert!(loops(Some(&chain(&[2; DEEPEST])), id(1), false));
    }

    #[test]
    fn a_context_key_never_meets_the_null_bucket() {
        let a = AutomationId::from(uuid::Uuid::nil());
        let keys = [
            bucket_key(a, ConcurrencyScope::Automation, Some("x")),
            bucket_key(a, ConcurrencyScope::ContextKey, None),
            bucket_key(a, ConcurrencyScope::ContextKey, Some("@@null")),
        ];
        assert_ne!(keys[1], keys[2]);
        assert_ne!(keys[0], keys[1]);
    }
}
