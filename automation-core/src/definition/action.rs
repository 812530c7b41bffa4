//! Actions of all eleven kinds (`definition §7`).

use super::{Condition, Expr, Retry};
use serde_json::{Map, Value};

/// One action.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// `^[A-Za-z_][A-Za-z0-9_]*$`, 1–64, unique in the whole tree.
    pub id: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// Default true; false is recorded as skipped.
    pub enabled: bool,
    /// Default false; true lets the walk go on after a failed step.
    pub continue_on_error: bool,
    /// Whether a failed call is made again; only provider actions have one.
    pub retry: Option<Retry>,
    /// What it does.
    pub kind: ActionKind,
}

/// The eleven kinds.
#[derive(Clone, Debug, PartialEq)]
pub enum ActionKind {
    /// Calls a provider.
    Provider {
        /// `<plugin>.<name>`.
        action: String,
        /// Rendered, then checked against the action's schema.
        config: Map<String, Value>,
    },
    /// The first branch whose condition holds.
    Choose {
        /// At least one.
        branches: Vec<Branch>,
        /// Otherwise.
        otherwise: Option<Vec<Action>>,
    },
    /// All at once.
    Parallel(Vec<Action>),
    /// One after another.
    Sequence(Vec<Action>),
    /// A loop.
    Repeat {
        /// How often.
        mode: Repeat,
        /// What.
        sequence: Vec<Action>,
    },
    /// Waits for a time.
    Delay(Delay),
    /// Sets variables; strings are rendered at any depth.
    Variables(Map<String, Value>),
    /// Goes on only while it holds.
    Condition(Condition),
    /// Ends the run.
    Stop {
        /// Why; not rendered.
        reason: Option<String>,
        /// As a failure.
        error: bool,
    },
    /// Waits for an event.
    WaitForTrigger {
        /// Qualified event id with one dot.
        event: String,
        /// Which of them; never blank.
        filter: Option<Expr>,
        /// 1–2 592 000.
        timeout_seconds: Option<u32>,
        /// Template; none: the run's context key.
        context_key: Option<String>,
    },
    /// Waits until a condition holds.
    WaitUntil {
        /// The condition.
        condition: Condition,
        /// 1–2 592 000.
        timeout_seconds: Option<u32>,
        /// Default true: a timeout is success.
        continue_on_timeout: bool,
    },
}

impl ActionKind {
    /// The keys that decide the kind, in the order of `definition §7`.
    pub const KEYS: [&'static str; 11] = [
        "action",
        "choose",
        "parallel",
        "sequence",
        "repeat",
        "delay",
        "variables",
        "condition",
        "stop",
        "wait_for_trigger",
        "wait_until",
    ];

    /// The key that is written for this kind; also its name in step rows.
    pub fn key(&self) -> &'static str {
        match self {
            ActionKind::Provider { .. } => "action",
            ActionKind::Choose { .. } => "choose",
            ActionKind::Parallel(_) => "parallel",
            ActionKind::Sequence(_) => "sequence",
            ActionKind::Repeat { .. } => "repeat",
            ActionKind::Delay(_) => "delay",
            ActionKind::Variables(_) => "variables",
            ActionKind::Condition(_) => "condition",
            ActionKind::Stop { .. } => "stop",
            ActionKind::WaitForTrigger { .. } => "wait_for_trigger",
            ActionKind::WaitUntil { .. } => "wait_until",
        }
    }
}

/// A clause of `choose`.
#[derive(Clone, Debug, PartialEq)]
pub struct Branch {
    /// Its condition.
    pub when: Condition,
    /// What it does; at least one action.
    pub sequence: Vec<Action>,
}

/// How long a `delay` takes.
#[derive(Clone, Debug, PartialEq)]
pub enum Delay {
    /// 0–2 592 000.
    Seconds(u32),
    /// An expression giving seconds.
    Template(Expr),
}

/// How often a `repeat` runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Repeat {
    /// 1–10 000 times.
    Count(u32),
    /// Once for each element of a list.
    ForEach(Expr),
    /// As long as it holds, tested before each pass.
    While {
        /// The test.
        test: Expr,
        /// 1–10 000, default 1000.
        max_iterations: u32,
    },
    /// Until it holds, tested after each pass.
    Until {
        /// The test.
        test: Expr,
        /// 1–10 000, default 1000.
        max_iterations: u32,
    },
}
