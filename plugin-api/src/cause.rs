//! Why something happens: the chain of automations that led to it.
//!
//! An event from outside starts a chain. A run that an event starts is one link, and what the run
//! changes or emits carries the chain on, so that automations that set each other off are found
//! before they run away.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The chain behind an entity change, an event or a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Occurrence id of the event it all began with.
    pub root: String,
    /// Automations whose runs led here, oldest first; one that was let run again is in it twice.
    pub chain: Vec<Uuid>,
}

impl Cause {
    /// Links between the root and here.
    pub fn depth(&self) -> usize {
        self.chain.len()
    }
    /// True when a run of the automation led here.
    pub fn contains(&self, automation: Uuid) -> bool {
        self.chain.contains(&automation)
    }
    /// The cause of a run that an occurrence starts: its own chain, or a new one, with the automation
    /// added.
    pub fn extend(before: Option<&Cause>, occurrence: &str, automation: Uuid) -> Self {
        let mut cause = before.cloned().unwrap_or_else(|| Cause {
            root: occurrence.to_owned(),
            chain: Vec::new(),
        });
        cause.chain.push(automation);
        cause
    }
}
