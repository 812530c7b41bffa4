//! The tree of live nodes, and the parts of a run that are not in it.
//!
//! Each node stands for one action or list of the definition, in the state it is in now. A list
//! keeps only its position and its one live child; what is done leaves no trace but step rows. So
//! the tree stays small however long a run is, and serialised it *is* the checkpoint
//! (`dispatch §9.4`): resuming at a path is walking down the tree, and paths derive from it.
//!
//! Variants carry their name as an object key and never as a text, because a checkpoint is masked
//! before it is written and masking leaves keys alone.

use automation_core::{LockId, StepId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;

/// One action or list that is being walked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Node {
    /// Not begun.
    New {},
    /// A provider call is in flight, or was when the node died.
    Calling {
        /// Its step row.
        step: StepId,
        /// 1 on the first execution.
        attempt: u32,
        /// What `retry` has seen so far.
        #[serde(default, skip_serializing_if = "Tries::is_empty")]
        tries: Tries,
    },
    /// A provider call has failed and rests until it is tried again.
    Retrying {
        /// Its step row.
        step: StepId,
        /// The lock that ends the pause.
        lock: LockId,
        /// The execution that failed.
        attempt: u32,
        /// The failed attempts.
        tries: Tries,
    },
    /// A `wait_until` reads live state for its first test; nothing durable depends on it yet.
    Testing {
        /// Its step row.
        step: StepId,
    },
    /// The lock of a `wait_until` is committed and the condition is tested once more.
    Arming {
        /// Its step row.
        step: StepId,
        /// The lock.
        lock: LockId,
        /// What its step row tells about the wait.
        info: Value,
    },
    /// Rests until its lock is fired.
    Waiting {
        /// Its step row.
        step: StepId,
        /// The lock.
        lock: LockId,
        /// What its step row tells about the wait; completed when it ends.
        info: Value,
    },
    /// A list: everything before `at` is done.
    List {
        /// Position of the live child.
        at: usize,
        /// The live child.
        child: Box<Node>,
    },
    /// A container with one live list: a `sequence`, or the branch a `choose` took.
    Body {
        /// Its step row.
        step: StepId,
        /// Which branch; none for a `sequence`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        branch: Option<Branch>,
        /// Its step row says `waiting`, because everything live in it rests.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        waiting: bool,
        /// The list.
        list: Box<Node>,
    },
    /// A `parallel`: one fork for each branch, in order.
    Parallel {
        /// Its step row.
        step: StepId,
        /// Its step row says `waiting`.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        waiting: bool,
        /// The branches.
        forks: Vec<Fork>,
    },
    /// A `repeat` in one of its iterations.
    Repeat {
        /// Its step row.
        step: StepId,
        /// The iteration, from 0.
        index: u32,
        /// The element of this iteration, of a `for_each`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        item: Option<Value>,
        /// All elements of a `for_each`: kept in the step row, so that a checkpoint stays small, and
        /// given back by [`Walk::give_list`] when the run is loaded.
        #[serde(skip)]
        items: Option<Arc<Vec<Value>>>,
        /// Variables that this iteration has set; they vanish with it.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        vars: Map<String, Value>,
        /// Its step row says `waiting`.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        waiting: bool,
        /// The iteration's list.
        list: Box<Node>,
    },
}

/// One branch of a `parallel`: what it does, what it has written for itself until the join, and how
/// it ended (`dispatch §10`, `§13.3`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fork {
    /// The branch's action.
    pub node: Node,
    /// Variables it has set.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub vars: Map<String, Value>,
    /// Action ids whose artifacts it has made; its siblings see them after the join.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made: Vec<String>,
    /// Path of the last action that ended in it (`dispatch §13.3`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// How it ended; none while it lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<ForkEnd>,
}

impl Fork {
    /// A branch that has not begun.
    pub fn new() -> Self {
        Self {
            node: Node::NEW,
            vars: Map::new(),
            made: Vec::new(),
            last: None,
            end: None,
        }
    }
}

/// How a branch of a `parallel` ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForkEnd {
    /// Its action is done.
    Completed {},
    /// A `stop` without error, or a false guard: ends this branch only.
    Stopped {
        /// For people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Failed, or stopped with an error. One entry: the code as its key, the text as its value.
    Failed(Map<String, Value>),
}

/// The attempts of a provider call that failed and were, or will be, tried again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tries {
    /// `{attempt, error, at, retryAt}` of each.
    pub failed: Vec<Value>,
}

impl Tries {
    /// True while nothing has failed.
    pub fn is_empty(&self) -> bool {
        self.failed.is_empty()
    }
}

impl Node {
    /// A node that has not begun.
    pub const NEW: Node = Node::New {};
}

/// The branch a `choose` took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Branch {
    /// `choose[n].sequence`
    When(usize),
    /// `else`
    Else {},
}

/// Why a step failed: a code of `dispatch §19` and a text for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Stable code.
    pub code: &'static str,
    /// For people.
    pub message: String,
}

impl Failure {
    /// A failure.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// As a checkpoint keeps it: the code as the key, which masking leaves alone.
    pub fn to_entry(&self) -> Map<String, Value> {
        Map::from_iter([(self.code.to_owned(), Value::String(self.message.clone()))])
    }

    /// From a checkpoint; a code of another program is an `internal_error`.
    pub fn from_entry(entry: &Map<String, Value>) -> Self {
        let (code, message) = match entry.iter().next() {
            Some((code, message)) => (code.as_str(), message.as_str().unwrap_or_default()),
            None => ("", ""),
        };
        let code = CODES.iter().find(|c| **c == code).copied();
        Self::new(code.unwrap_or("internal_error"), message)
    }
}

/// What a step can fail with (`dispatch §19`).
pub const CODES: &[&str] = &[
    "unknown_action",
    "render_failed",
    "invalid_config",
    "action_failed",
    "invalid_artifact",
    "condition_error",
    "invalid_delay",
    "invalid_retry",
    "for_each_not_list",
    "for_each_too_long",
    "wait_timeout",
    "invalid_wait_config",
    "guard_false",
    "stopped",
    "corrupt_path",
    "resume_state_missing",
    "resume_target_missing",
    "state_missing",
    "step_budget_exceeded",
    "internal_error",
];

/// How an action or a list ended (`dispatch §12.1`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Done, or skipped.
    Ok,
    /// Failed; the action's own or an enclosing `continue_on_error` may absorb it.
    Failed(Failure),
    /// `stop`, or a false guard: ends the run whatever `continue_on_error` says.
    Stopped {
        /// The code recorded on the run, if any.
        code: Option<&'static str>,
        /// For people.
        reason: Option<String>,
        /// True: the run fails.
        error: bool,
    },
}

/// Everything a run carries from one decision to the next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Walk {
    /// The list of top-level actions.
    pub tree: Node,
    /// `variables` of the frame that top level, branches and sequences share.
    pub variables: Value,
    /// `resume` of the scope: what the last event that ended a wait carried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Value>,
    /// Steps begun so far; a run has a budget of them.
    #[serde(default)]
    pub steps: u32,
    /// The form of this checkpoint; a node leaves one that is newer than [`FORMAT`] to a newer node.
    #[serde(default)]
    pub format: u32,
    /// Path of the last action that ended or suspended (`dispatch §9.4`); a column of its own.
    #[serde(skip)]
    pub last_path: Option<String>,
    /// `artifacts.<action id>.<local name>`; rebuilt from the artifact rows on resume, so that a
    /// checkpoint does not grow with the run.
    #[serde(skip, default = "no_members")]
    pub artifacts: Value,
}

/// What comes back without its artifacts takes them in again ([`Walk::expose`]).
fn no_members() -> Value {
    Value::Object(Map::new())
}

/// The newest form of a checkpoint that this program reads and writes.
pub const FORMAT: u32 = 1;

impl Walk {
    /// A run that has not begun.
    pub fn new() -> Self {
        Self {
            tree: Node::NEW,
            variables: Value::Object(Map::new()),
            resume: None,
            steps: 0,
            format: FORMAT,
            last_path: None,
            artifacts: no_members(),
        }
    }
}

impl Default for Walk {
    fn default() -> Self {
        Self::new()
    }
}
