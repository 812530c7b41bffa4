//! Whether a run may start beside those that are active.

use automation_core::{
    AutomationId,
    definition::{ConcurrencyScope, Mode},
};

/// What a bucket says of one more run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It starts.
    Start,
    /// It is refused.
    Refuse,
    /// The active ones are cancelled, then it starts.
    Replace,
}

/// Decides with `active` runs in the bucket (`dispatch §8.2`).
pub fn admit(mode: Mode, max_runs: u32, active: u64) -> Admission {
    match mode {
        Mode::Single if active > 0 => Admission::Refuse,
        Mode::Parallel if active >= u64::from(max_runs) => Admission::Refuse,
        Mode::Restart if active > 0 => Admission::Replace,
        // Validation refuses `queued` until runs can wait in line; never let two walk at once.
        Mode::Queued if active > 0 => Admission::Refuse,
        _ => Admission::Start,
    }
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
            (Mode::Single, 10, 0, Start),
            (Mode::Single, 10, 1, Refuse),
            (Mode::Parallel, 2, 1, Start),
            (Mode::Parallel, 2, 2, Refuse),
            (Mode::Parallel, 2, 5, Refuse),
            (Mode::Restart, 1, 0, Start),
            (Mode::Restart, 1, 1, Replace),
        ];
        for (mode, max, active, expected) in cases {
            assert_eq!(
                admit(mode, max, active),
                expected,
                "{mode:?} {max} {active}"
            );
        }
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
