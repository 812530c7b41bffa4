//! One decision on its way to the ring.

use super::ruling::Ruling;
use crate::{
    dwell::Dwell,
    fire::{Candidate, Firing},
};
use automation_core::AutomationId;
use plugin_api::{Id, Ts};

/// What was decided about one occurrence at one trigger. Making one copies no document.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Given by the recorder; orders the ring.
    pub(super) id: Option<Id>,
    pub(super) at: Ts,
    pub(super) subject: Subject,
    pub(super) ruling: Ruling,
}

/// Which automation, trigger, occurrence and context key.
#[derive(Clone)]
pub(super) enum Subject {
    /// As they met.
    Firing(Firing),
    /// By name, where there is no occurrence at hand.
    Named(Box<Named>),
}

/// A subject by name.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub automation: AutomationId,
    pub trigger_id: String,
    pub occurrence: String,
    pub context_key: Option<String>,
    /// Somebody started the run by hand.
    pub by_hand: bool,
}

impl std::fmt::Debug for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subject")
            .field("automation", &self.automation())
            .field("trigger", &self.trigger_id())
            .field("occurrence", &self.occurrence())
            .finish_non_exhaustive()
    }
}

impl Subject {
    pub fn automation(&self) -> AutomationId {
        match self {
            Subject::Firing(f) => f.automation.id,
            Subject::Named(n) => n.automation,
        }
    }
    pub fn trigger_id(&self) -> &str {
        match self {
            Subject::Firing(f) => &f.automation.program.triggers[f.trigger].id,
            Subject::Named(n) => &n.trigger_id,
        }
    }
    pub fn occurrence(&self) -> &str {
        match self {
            Subject::Firing(f) => &f.occurrence.id,
            Subject::Named(n) => &n.occurrence,
        }
    }
    /// A run by hand?
    pub fn is_manual(&self) -> bool {
        matches!(self, Subject::Named(n) if n.by_hand)
    }
    pub fn context_key(&self) -> Option<&str> {
        match self {
            Subject::Firing(f) => f.occurrence.context_key.as_deref(),
            Subject::Named(n) => n.context_key.as_deref(),
        }
    }
}

impl Entry {
    /// A decision about a firing. `at` is the instant the gates looked at their clock: an
    /// explanation is evaluated with it.
    pub(crate) fn of(firing: &Firing, at: Ts, ruling: Ruling) -> Self {
        Self {
            id: None,
            at,
            subject: Subject::Firing(firing.clone()),
            ruling,
        }
    }

    /// A decision about a dwell; its occurrence is `dwell:<id>` (`dispatch §5.2`).
    pub(crate) fn of_dwell(dwell: &Dwell, at: Ts, ruling: Ruling) -> Self {
        Self::named(
            Named {
                automation: dwell.automation_id,
                trigger_id: dwell.trigger_id.clone(),
                occurrence: format!("dwell:{}", dwell.id),
                context_key: dwell.context_key.clone(),
                by_hand: false,
            },
            at,
            ruling,
        )
    }

    /// A decision about a run that might start. One without a dedup key is started by hand
    /// (`dispatch §17.2`).
    pub(crate) fn of_candidate(candidate: &Candidate, at: Ts, ruling: Ruling) -> Self {
        Self::named(
            Named {
                automation: candidate.automation.id,
                trigger_id: candidate.trigger_id.clone(),
                occurrence: candidate.occurrence.clone(),
                context_key: candidate.context_key.clone(),
                by_hand: candidate.dedup_key.is_none(),
            },
            at,
            ruling,
        )
    }

    fn named(named: Named, at: Ts, ruling: Ruling) -> Self {
        Self {
            id: None,
            at,
            subject: Subject::Named(Box::new(named)),
            ruling,
        }
    }

    /// A decision about a named occurrence, for tests of what becomes of entries.
    #[cfg(test)]
    pub(super) fn plain(automation: AutomationId, occurrence: &str, ruling: Ruling) -> Self {
        let named = Named {
            automation,
            trigger_id: "t".to_owned(),
            occurrence: occurrence.to_owned(),
            context_key: None,
            by_hand: false,
        };
        Self::named(named, Ts::from_millis(0), ruling)
    }

    /// The gate that decided, by its name in the ring.
    pub(crate) fn gate(&self) -> Option<&'static str> {
        self.ruling.gate()
    }

    /// The automation it is about.
    pub fn automation(&self) -> AutomationId {
        self.subject.automation()
    }
}
