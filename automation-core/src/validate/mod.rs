//! Validation: a pure function of a document and the registries (`definition §13`).
//!
//! Stages: text → structure → expressions and semantics. A stage with errors ends the run, except
//! that the last two report together. Each check of the last stages is one function over the
//! [`Outline`], a flat list of everything the definition says with its path; a new
//! check is a new file and a line in [`CHECKS`].

mod actions;
mod artifacts;
mod capabilities;
mod conditions;
mod expressions;
mod loops;
mod names;
mod outline;
mod payload;
mod places;
mod removed;
mod secrets;
mod state;
mod triggers;
mod wait_events;
mod waits;

pub use capabilities::Capabilities;
pub use waits::{WaitReads, wait_reads};

use crate::definition::Definition;
use crate::diagnostic::Diagnostics;
use crate::registry::Registries;
use crate::yaml::{self, Node};
use outline::Outline;
use places::Place;
use serde_json::Value;

/// What a document is judged by.
#[derive(Clone, Copy)]
pub struct Validator<'a> {
    /// What plugins registered.
    pub registries: &'a Registries,
    /// What the engine can run.
    pub capabilities: &'a Capabilities,
}

/// The outcome.
#[derive(Clone, Debug)]
pub struct Validation {
    /// The definition, when its text and structure are right.
    pub definition: Option<Definition>,
    /// Located and ordered.
    pub issues: Diagnostics,
}

impl Validation {
    /// No issue is an error.
    pub fn is_valid(&self) -> bool {
        !self.issues.has_errors()
    }

    /// Whether it may be stored (`definition §13.3`): structural errors always block, others only an
    /// enabled automation; a disabled one may be a draft. Warnings never block.
    pub fn may_store(&self, enabled: bool) -> bool {
        self.definition.is_some() && (!enabled || self.is_valid())
    }
}

/// What a check sees.
struct Subject<'a> {
    definition: &'a Definition,
    outline: &'a Outline<'a>,
    /// What holds at each action, in the outline's order.
    places: &'a [Place<'a>],
    registries: &'a Registries,
    capabilities: &'a Capabilities,
}

type Check = fn(&Subject<'_>, &mut Diagnostics);

/// All checks of the last two stages.
const CHECKS: &[Check] = &[
    expressions::check,
    triggers::check,
    actions::check,
    artifacts::check,
    names::check,
    secrets::check,
    conditions::check,
    loops::check,
    waits::check,
    wait_events::check,
    state::check,
    capabilities::check,
];

impl Validator<'_> {
    /// Validates a YAML or JSON text.
    pub fn text(&self, text: &str, limits: &yaml::Limits) -> Validation {
        match yaml::read(text, limits) {
            Ok(node) => self.node(&node, Some(text)),
            Err(issues) => Validation {
                definition: None,
                issues,
            },
        }
    }

    /// Validates a JSON value; issues have no lines.
    pub fn value(&self, value: &Value) -> Validation {
        self.node(&Node::from_json(value), None)
    }

    /// Validates a tree; `source` is the text its places point into.
    pub fn node(&self, node: &Node, source: Option<&str>) -> Validation {
        let (definition, mut issues) = Definition::read(node);
        if let Some(definition) = &definition {
            let outline = Outline::of(definition, self.registries);
            let places = places::places(definition);
            let subject = Subject {
                definition,
                outline: &outline,
                places: &places,
                registries: self.registries,
                capabilities: self.capabilities,
            };
            for check in CHECKS {
                check(&subject, &mut issues);
            }
        }
        Validation {
            definition,
            issues: issues.locate(node, source),
        }
    }
}
