//! What live state an expression reads, told from its text (`entity §19.1`).
//!
//! Two users. A waiting run is indexed under the references of its condition, so that a change finds
//! it; scope enrichment reads what the expressions of a site refer to. Extraction sees every member
//! and index chain, also in branches that never run, in filter arguments and inside indexes. An id
//! that only an evaluation can tell stands as the wildcard of its kind, unless a [`Narrow`] evaluates
//! it: that changes cost, never outcome.

mod collect;
mod next_check;

pub use collect::{Collector, Narrow};
pub use next_check::next_check;

use std::fmt;
use template_engine::condition::Condition;

/// The name through which an expression reads an entity; enrichment fills the two differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Root {
    /// `state.<kind>.<id>`
    State,
    /// `health.system`, `health.systems.<id>`, and structured `state` conditions.
    Health,
}

/// An entity, or all of a kind, that an expression reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EntityRef {
    /// The kind.
    pub kind: String,
    /// The id; none: any of the kind.
    pub id: Option<String>,
    /// How it is read.
    pub root: Root,
}

impl EntityRef {
    /// True when a change of `kind` and `id` concerns it.
    pub fn matches(&self, kind: &str, id: &str) -> bool {
        self.kind == kind && self.id.as_deref().is_none_or(|own| own == id)
    }
}

/// `<kind>:<id>` or `<kind>:*`, as the wake index stores it.
impl fmt::Display for EntityRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.id.as_deref().unwrap_or("*"))
    }
}

/// What a condition, or all expressions of a site, read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Refs {
    /// Unique, in order of appearance.
    pub refs: Vec<EntityRef>,
    /// Something was looked at, yet no reference found at all: no change can wake a wait on it.
    pub indeterminate: bool,
    /// Some part could not be resolved although references were found: that part wakes nothing.
    pub partial: bool,
}

impl Refs {
    /// The index texts, each once.
    pub fn texts(&self) -> Vec<String> {
        let mut texts = Vec::with_capacity(self.refs.len());
        for text in self.refs.iter().map(EntityRef::to_string) {
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        texts
    }
    /// True when the rich `health` namespace is read.
    pub fn reads_health(&self) -> bool {
        self.indeterminate || self.partial || self.refs.iter().any(|r| r.root == Root::Health)
    }
    /// The references with an id, blanks left out.
    pub fn concrete(&self) -> impl Iterator<Item = (&EntityRef, &str)> {
        let with_id = |r| {
            let r: &EntityRef = r;
            r.id.as_deref().map(|id| (r, id))
        };
        let refs = self.refs.iter().filter_map(with_id);
        refs.filter(|(_, id)| !id.trim().is_empty())
    }
}

/// The references of a condition, as far as its text tells.
pub fn of_condition(condition: &Condition) -> Refs {
    let mut collector = Collector::new();
    collector.condition(condition);
    collector.finish()
}

/// The references of a condition at suspend, computed ids evaluated where that is safe
/// (`entity §19.1.6`).
pub fn narrowed(condition: &Condition, narrow: Narrow<'_>) -> Refs {
    let mut collector = Collector::narrowing(narrow);
    collector.condition(condition);
    collector.finish()
}
