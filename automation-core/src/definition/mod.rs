//! The definition model: what one automation says, in normal form.
//!
//! [`Definition::read`] takes a positioned tree and answers a model plus diagnostics; whatever is
//! written in more than one way is brought to one (`definition §9`): defaults are filled in, an
//! enclosing pair of braces is stripped from expressions, event ids get one dot. [`Definition::to_value`]
//! writes the normal form back, [`Definition::to_minimal`] the shortest form with the same meaning.
//! Whether names exist and expressions parse is not this module's business: see [`crate::validate`].
//!
//! ```
//! use automation_core::definition::Definition;
//! let yaml = "name: Log it\ntriggers: [{ event: incident.created }]\n";
//! let node = automation_core::yaml::read(yaml, &Default::default()).unwrap();
//! let (definition, issues) = Definition::read(&node);
//! assert!(issues.is_empty());
//! assert_eq!(definition.unwrap().triggers[0].effective_id(), "incident_created");
//! ```

mod action;
mod condition;
mod event;
mod expr;
pub(crate) mod flapping;
mod normal;
mod read;
mod retry;
mod trigger;

pub use action::{Action, ActionKind, Branch, Delay, Repeat};
pub use condition::{Condition, NumericValue};
pub use event::{effective_id, normal_event};
pub use expr::{Expr, ExprError};
pub use read::Lenient;
pub use retry::{Backoff, Retry};
pub use trigger::{Duration, Refire, Trigger, Window};

use crate::{Diagnostics, yaml::Node};

/// The limits of `definition §2.2` and `dispatch §1` that more than one place needs.
pub mod limits {
    /// Nesting of actions.
    pub const ACTION_DEPTH: usize = 24;
    /// Nesting of conditions.
    pub const CONDITION_DEPTH: usize = 16;
    /// Actions of a definition, nested ones included.
    pub const ACTIONS: usize = 1000;
    /// Triggers.
    pub const TRIGGERS: usize = 50;
    /// Top-level conditions.
    pub const CONDITIONS: usize = 100;
    /// Branches of one `choose` or `parallel`.
    pub const BRANCHES: usize = 200;
    /// Ids in `uses_state`, and health ids read for one evaluation.
    pub const STATE_IDS: usize = 50;
    /// 30 days in seconds: the longest delay, duration and timeout.
    pub const LONGEST_SECONDS: u32 = 2_592_000;
}

/// What happens when an automation fires while runs of its bucket are active (`definition §3.1`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The firing is dropped.
    #[default]
    Single,
    /// Up to `max_runs` at once.
    Parallel,
    /// One after another; up to `max_runs` wait.
    Queued,
    /// Active runs are cancelled.
    Restart,
}

/// What a bucket is (`definition §3.1`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ConcurrencyScope {
    /// The whole automation.
    #[default]
    Automation,
    /// One context key; none is a bucket of its own.
    ContextKey,
}

impl Mode {
    /// All, as they are written.
    pub const ALL: [(&'static str, Mode); 4] = [
        ("single", Mode::Single),
        ("parallel", Mode::Parallel),
        ("queued", Mode::Queued),
        ("restart", Mode::Restart),
    ];
    /// As it is written.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }
}
impl ConcurrencyScope {
    /// All, as they are written.
    pub const ALL: [(&'static str, ConcurrencyScope); 2] = [
        ("automation", ConcurrencyScope::Automation),
        ("context_key", ConcurrencyScope::ContextKey),
    ];
    /// As it is written.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }
}

/// One automation's definition (`definition §3`).
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// 1–200 characters.
    pub name: String,
    /// Free text.
    pub description: Option<String>,
    /// At least one.
    pub triggers: Vec<Trigger>,
    /// All must hold before a run starts.
    pub conditions: Vec<Condition>,
    /// In order.
    pub actions: Vec<Action>,
    /// Default `single`.
    pub mode: Mode,
    /// Default `automation`.
    pub concurrency_scope: ConcurrencyScope,
    /// 1–1000, default 10; read in `parallel` and `queued` only.
    pub max_runs: u32,
    /// Whether it may start from what one of its own runs caused, directly or through others.
    /// Default false: such a firing is refused as a loop.
    pub allow_reentry: bool,
    /// Ids of systems whose health is read besides the context key; at most 50.
    pub uses_state: Vec<String>,
    /// Trailing window of `transitions_in_window`, 1–10 080 minutes; none resolves as 60.
    pub state_window_minutes: Option<u32>,
}

impl Definition {
    /// Reads a document strictly. The model is there exactly when no diagnostic is an error; all
    /// errors have structural codes (`definition §13`) and block storing. Diagnostics are not
    /// located yet.
    pub fn read(node: &Node) -> (Option<Self>, Diagnostics) {
        read::definition(node)
    }

    /// Reads a stored document: unknown keys are ignored and listed, everything else is checked as
    /// ever (`definition §8`).
    ///
    /// # Errors
    /// The diagnostics, when the document does not parse; such a row is skipped by dispatch.
    pub fn read_stored(value: &serde_json::Value) -> Result<Lenient, Diagnostics> {
        read::stored(value)
    }

    /// The normal form (`definition §9.1`): what is stored and returned.
    pub fn to_value(&self) -> serde_json::Value {
        normal::value(self, normal::Form::Normal)
    }

    /// The shortest form that reads back to the same definition.
    pub fn to_minimal(&self) -> serde_json::Value {
        normal::value(self, normal::Form::Minimal)
    }

    /// The trigger with an effective id.
    pub fn trigger(&self, effective_id: &str) -> Option<&Trigger> {
        self.triggers
            .iter()
            .find(|t| t.effective_id() == effective_id)
    }

    /// Minutes of the state window, resolved (`definition §3`).
    pub fn state_window(&self) -> u32 {
        self.state_window_minutes.unwrap_or(60)
    }
}
