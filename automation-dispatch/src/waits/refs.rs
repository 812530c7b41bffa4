//! What wakes a wait, and when its answer may flip without a change.

use automation_entity::refs::{self, Narrow};
use plugin_api::Ts;
use template_engine::{Env, Scope, condition::Condition};

/// Refs for the wake index, narrowed as far as the scope tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WakeRefs {
    /// `kind:id` and `kind:*`, in order of appearance.
    pub refs: Vec<String>,
    /// Some part of what the condition reads cannot be told: only the periodic re-check serves it.
    pub blind: bool,
}

/// The refs of a condition, narrowed at suspend (`entity §19.1.6`).
pub fn wake_refs(
    condition: &Condition,
    scope: &dyn Scope,
    env: &Env<'_>,
    context_key: Option<&str>,
) -> WakeRefs {
    let found = refs::narrowed(
        condition,
        Narrow {
            scope,
            env,
            context_key,
        },
    );
    WakeRefs {
        blind: found.indeterminate || found.partial,
        refs: found.texts(),
    }
}

/// When the condition may become true by time alone (`entity §19.3`).
pub fn next_check(condition: &Condition, scope: &dyn Scope, env: &Env<'_>) -> Option<Ts> {
    refs::next_check(condition, scope, env)
}
