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
}

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
    /// Path of the last action that ended or suspended (`dispatch §9.4`); a column of its own.
    #[serde(skip)]
    pub last_path: Option<String>,
    /// `artifacts.<action id>.<local name>`; rebuilt from the artifact rows on resume, so that a
    /// checkpoint does not grow with the run.
    #[serde(skip)]
    pub artifacts: Value,
}

impl Walk {
    /// A run that has not begun.
    pub fn new() -> Self {
        Self {
            tree: Node::NEW,
            variables: Value::Object(Map::new()),
            resume: None,
            last_path: None,
            artifacts: Value::Object(Map::new()),
        }
    }

    /// Adds an artifact to the scope.
    pub fn expose(&mut self, action_id: &str, local: &str, data: Value) {
        if let Value::Object(all) = &mut self.artifacts {
            let entry = all
                .entry(action_id)
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(of_action) = entry {
                of_action.insert(local.to_owned(), data);
            }
        }
    }
}

impl Default for Walk {
    fn default() -> Self {
        Self::new()
    }
}
