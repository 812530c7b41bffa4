//! What can be decided about one occurrence at one trigger, with the detail each verdict carries.

use crate::{automations::Program, walk::view::Base};
use automation_core::{AutomationId, RunId, definition::Mode};
use plugin_api::Ts;
use std::sync::Arc;

/// What a gate looked at, kept until its answer is explained.
#[derive(Clone)]
pub struct Scene {
    pub(super) program: Arc<Program>,
    /// Position of the trigger.
    pub(super) trigger: usize,
    pub(super) base: Base,
}

impl Scene {
    /// The trigger at a position of a program, and the scope it was asked in.
    pub(crate) fn new(program: &Arc<Program>, trigger: usize, base: Base) -> Box<Self> {
        Box::new(Self {
            program: program.clone(),
            trigger,
            base,
        })
    }
}

/// Programs are not worth printing, and scopes are not to be printed.
impl std::fmt::Debug for Scene {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scene")
            .field("trigger", &self.trigger)
            .finish_non_exhaustive()
    }
}

/// What ended an armed dwell before its time.
#[derive(Clone, Debug, PartialEq)]
pub enum Cancelled {
    /// An occurrence for which the trigger's own gate says no (`dispatch §6.3`).
    OwnGate,
    /// What it was armed on does not hold any more (`dispatch §6.4`); the status it was armed with.
    Left(Option<String>),
    /// The automation was disabled.
    Disabled,
}

/// Why an expired dwell, or one that could not be armed, came to nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Dropped {
    /// What it was armed on does not hold at its end; the status it was armed with.
    Over(Option<String>),
    /// The automation is disabled or gone.
    Disabled,
    /// The trigger was edited or removed: a new match arms it again.
    TriggerChanged,
    /// `for` gives no valid duration.
    InvalidFor(String),
}

/// A verdict, one per decision (`issue 3 C`). Each is stored under its [`Ruling::verdict`] name.
#[derive(Clone, Debug)]
pub enum Ruling {
    /// A run was created and walks.
    Started {
        /// The run.
        run: RunId,
    },
    /// A run was created and waits for its turn.
    Queued {
        /// The run.
        run: RunId,
        /// Pending runs of the bucket before it.
        ahead: u64,
    },
    /// The automation listens to the event but is disabled.
    Disabled,
    /// The trigger's own gate (`evaluate_config`) said no, or failed with this error.
    ConfigGate {
        /// Why it failed; none: a plain no.
        error: Option<String>,
    },
    /// The filter is false.
    FilterFalse(Box<Scene>),
    /// The filter failed.
    FilterError {
        /// How.
        error: String,
        /// What it looked at.
        scene: Box<Scene>,
    },
    /// The window has not counted enough occurrences, or has fired already.
    WindowHeld {
        /// n: occurrences in the window, this one included.
        count: u64,
        /// m: the occurrences it takes.
        needed: u32,
        /// Length of the window.
        minutes: u32,
        /// `refire: once`: with `count` above `needed` it has fired already.
        once: bool,
        /// What is counted by; none: the null key.
        partition: Option<String>,
    },
    /// A dwell was armed.
    DwellArmed {
        /// When it fires if it still holds then.
        until: Ts,
        /// At its end it had been left and entered again: it counts from there.
        again: bool,
    },
    /// One was armed already and keeps its deadline.
    DwellKept,
    /// An armed dwell ended early.
    DwellCancelled(Cancelled),
    /// A dwell came to nothing at its end, or could not be armed.
    DwellDropped(Dropped),
    /// A condition is false.
    ConditionFalse {
        /// Position in `conditions`.
        index: usize,
        /// What it looked at.
        scene: Box<Scene>,
    },
    /// A condition failed, which counts as false.
    ConditionError {
        /// Position in `conditions`.
        index: usize,
        /// How.
        error: String,
        /// What it looked at.
        scene: Box<Scene>,
    },
    /// The bucket is full.
    Refused {
        /// The automation's mode.
        mode: Mode,
        /// Its `max_runs`.
        max_runs: u32,
    },
    /// The occurrence was delivered again; its first decision stands.
    Duplicate,
    /// The automation is already in the chain that caused the occurrence, or the chain is too deep.
    Loop {
        /// Automations from the root cause on.
        chain: Vec<AutomationId>,
        /// This automation is among them, and must not be again; else the chain is too long.
        again: bool,
    },
    /// The trigger started a run of this context key a short while ago.
    Cooldown {
        /// When it may fire again.
        until: Ts,
    },
}

impl Ruling {
    /// The stored name; exactly the names of `issue 3 C` and D.
    pub fn verdict(&self) -> &'static str {
        match self {
            Ruling::Started { .. } => "started",
            Ruling::Queued { .. } => "queued",
            Ruling::Disabled => "disabled",
            Ruling::ConfigGate { .. } => "config_gate",
            Ruling::FilterFalse(_) => "filter_false",
            Ruling::FilterError { .. } => "filter_error",
            Ruling::WindowHeld { .. } => "window_held",
            Ruling::DwellArmed { .. } => "dwell_armed",
            Ruling::DwellKept => "dwell_kept",
            Ruling::DwellCancelled(_) => "dwell_cancelled",
            Ruling::DwellDropped(_) => "dwell_dropped",
            Ruling::ConditionFalse { .. } => "condition_false",
            Ruling::ConditionError { .. } => "condition_error",
            Ruling::Refused { .. } => "refused",
            Ruling::Duplicate => "duplicate",
            Ruling::Loop { .. } => "loop",
            Ruling::Cooldown { .. } => "cooldown",
        }
    }

    /// The gate that decided; none for a run that starts, which passed them all.
    pub fn gate(&self) -> Option<&'static str> {
        match self {
            Ruling::Started { .. } => None,
            Ruling::Disabled => Some("enabled"),
            Ruling::ConfigGate { .. } => Some("evaluate_config"),
            Ruling::FilterFalse(_) | Ruling::FilterError { .. } => Some("filter"),
            Ruling::WindowHeld { .. } => Some("window"),
            Ruling::DwellArmed { .. }
            | Ruling::DwellKept
            | Ruling::DwellCancelled(_)
            | Ruling::DwellDropped(_) => Some("for"),
            Ruling::ConditionFalse { .. } | Ruling::ConditionError { .. } => Some("conditions"),
            Ruling::Queued { .. } | Ruling::Refused { .. } => Some("concurrency"),
            Ruling::Duplicate => Some("ledger"),
            Ruling::Loop { .. } => Some("causality"),
            Ruling::Cooldown { .. } => Some("cooldown"),
        }
    }

    /// The run it made.
    pub fn run(&self) -> Option<RunId> {
        match self {
            Ruling::Started { run } | Ruling::Queued { run, .. } => Some(*run),
            _ => None,
        }
    }
}

/// Names of all verdicts, for filters.
pub const VERDICTS: [&str; 17] = [
    "started",
    "queued",
    "disabled",
    "config_gate",
    "filter_false",
    "filter_error",
    "window_held",
    "dwell_armed",
    "dwell_kept",
    "dwell_cancelled",
    "dwell_dropped",
    "condition_false",
    "condition_error",
    "refused",
    "duplicate",
    "loop",
    "cooldown",
];
