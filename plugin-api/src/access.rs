//! Access rules and principals (`plugins §9`). Enforcement is central, in the router.

use crate::actor::Actor;
use std::collections::BTreeSet;

/// A rule that procedures name and principals hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AccessRule {
    /// `<plugin>.<read|manage>` or `<plugin>.<resource>.<read|manage>`, given once, in full.
    pub id: &'static str,
    /// For administrators.
    pub description: &'static str,
    /// Given to the role `users` unless an administrator removed it.
    pub is_default: bool,
    /// Usable without login.
    pub is_public: bool,
}

impl AccessRule {
    /// A rule that is neither default nor public.
    pub const fn new(id: &'static str, description: &'static str) -> Self {
        Self {
            id,
            description,
            is_default: false,
            is_public: false,
        }
    }
    /// Given to signed-in users.
    pub const fn default_for_users(mut self) -> Self {
        self.is_default = true;
        self
    }
    /// Usable without login.
    pub const fn public(mut self) -> Self {
        self.is_public = true;
        self
    }
}

/// Who calls a route, and what they may.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The caller.
    pub actor: Actor,
    /// Rule ids; `*` is everything.
    pub rules: BTreeSet<String>,
}

impl Principal {
    /// True when the principal holds the rule, `*`, or the `manage` rule that implies a `read` one
    /// (`api §1.6`).
    pub fn may(&self, rule: &str) -> bool {
        self.rules.contains("*")
            || self.rules.contains(rule)
            || rule
                .strip_suffix(".read")
                .is_some_and(|r| self.rules.contains(&format!("{r}.manage")))
    }
}
