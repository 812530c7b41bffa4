//! The compiled action tree.

use super::{CompiledDelay, CompiledRetry, Condition, ConfigTemplate};
use crate::schema::ConfigCheck;
use std::sync::Arc;
use template_engine::{Expression, Template};

/// One action.
#[derive(Clone, Debug)]
pub struct CompiledAction {
    /// The author's id.
    pub id: Option<String>,
    /// False: recorded as skipped.
    pub enabled: bool,
    /// True: a failed step does not end the list.
    pub continue_on_error: bool,
    /// Whether a failed call is made again; provider actions only.
    pub retry: Option<CompiledRetry>,
    /// What it does.
    pub kind: CompiledKind,
}

/// A provider call.
#[derive(Clone, Debug)]
pub struct CompiledProvider {
    /// Qualified action id.
    pub action: String,
    /// The config at its current version, or why its migration failed (the step fails with
    /// `invalid_config`).
    pub config: Result<ConfigTemplate, String>,
    /// The check of the rendered config; none when the action was unknown when compiled.
    pub check: Option<Arc<ConfigCheck>>,
}

/// The kinds, named as in [`ActionKind`](crate::definition::ActionKind).
#[derive(Clone, Debug)]
pub enum CompiledKind {
    /// `action`
    Provider(CompiledProvider),
    /// `choose`
    Choose {
        /// Clauses in order.
        branches: Vec<CompiledBranch>,
        /// `else`
        otherwise: Option<Vec<CompiledAction>>,
    },
    /// `parallel`
    Parallel(Vec<CompiledAction>),
    /// `sequence`
    Sequence(Vec<CompiledAction>),
    /// `repeat`
    Repeat {
        /// How often.
        mode: CompiledRepeat,
        /// What.
        sequence: Vec<CompiledAction>,
    },
    /// `delay`
    Delay(CompiledDelay),
    /// `variables`; a mapping.
    Variables(ConfigTemplate),
    /// `condition`
    Condition(Condition),
    /// `stop`
    Stop {
        /// Not rendered.
        reason: Option<String>,
        /// As a failure.
        error: bool,
    },
    /// `wait_for_trigger`
    WaitForTrigger {
        /// Event id with one dot.
        event: String,
        /// Which of them.
        filter: Option<Expression>,
        /// 1–2 592 000.
        timeout_seconds: Option<u32>,
        /// None: the run's context key.
        context_key: Option<Template>,
    },
    /// `wait_until`
    WaitUntil {
        /// The condition.
        condition: Condition,
        /// 1–2 592 000.
        timeout_seconds: Option<u32>,
        /// A timeout is success.
        continue_on_timeout: bool,
    },
}

impl CompiledKind {
    /// The kind's name in step rows: the key it is written with.
    pub fn name(&self) -> &'static str {
        match self {
            CompiledKind::Provider(_) => "action",
            CompiledKind::Choose { .. } => "choose",
            CompiledKind::Parallel(_) => "parallel",
            CompiledKind::Sequence(_) => "sequence",
            CompiledKind::Repeat { .. } => "repeat",
            CompiledKind::Delay(_) => "delay",
            CompiledKind::Variables(_) => "variables",
            CompiledKind::Condition(_) => "condition",
            CompiledKind::Stop { .. } => "stop",
            CompiledKind::WaitForTrigger { .. } => "wait_for_trigger",
            CompiledKind::WaitUntil { .. } => "wait_until",
        }
    }
}

/// A clause of `choose`.
#[derive(Clone, Debug)]
pub struct CompiledBranch {
    /// Its condition.
    pub when: Condition,
    /// What it does.
    pub sequence: Vec<CompiledAction>,
}

/// How often a loop runs.
#[derive(Clone, Debug)]
pub enum CompiledRepeat {
    /// 1–10 000 times.
    Count(u32),
    /// For each element.
    ForEach(Expression),
    /// While it holds.
    While {
        /// The test.
        test: Expression,
        /// 1–10 000.
        max_iterations: u32,
    },
    /// Until it holds.
    Until {
        /// The test.
        test: Expression,
        /// 1–10 000.
        max_iterations: u32,
    },
}
