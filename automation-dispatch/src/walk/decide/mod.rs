//! One decision of the walker.
//!
//! [`decide`] descends the live nodes of the tree, hands the event to the node it is for, and lets
//! the walk go on from there until something must be awaited or the run has ended. What it wants
//! done comes back as data: rows first, acts second. It reads no clock, no database and no
//! randomness: instants, ids and live state are handed in, so equal inputs give equal decisions.

mod action;
mod choose;
mod condition;
mod delay;
mod frames;
mod list;
mod parallel;
mod repeat;
mod rows;
mod sequence;
mod stop;
mod variables;
mod wait_for_trigger;
mod wait_until;

use super::frame::Locals;
use super::tree::{End, Failure, Fork, Node, Walk};
use super::view::{Base, Live, View};
use automation_core::{
    LockId, StepId,
    compiled::{CompiledAction as Step, CompiledDefinition, CompiledKind},
    registry::{ActionResult, Registries},
};
use frames::Frame;
use plugin_api::Ts;
use rows::Rows;
use serde_json::Value;
use std::{borrow::Cow, sync::Arc};
use template_engine::{Env, Filters};

/// What a walk is decided with.
pub struct Cx<'a> {
    /// The compiled definition the run is pinned to.
    pub program: &'a CompiledDefinition,
    /// What plugins registered; an in-memory look-up.
    pub registries: &'a Registries,
    /// Expression filters.
    pub filters: &'a Filters,
    /// Its context key.
    pub context_key: Option<&'a str>,
    /// Trigger, start, and live state as old as the walk's start or last resume.
    pub base: &'a Base,
    /// The present instant of the one clock.
    pub now: Ts,
    /// Gives a fresh UUIDv7 at each call.
    pub ids: &'a (dyn Fn() -> uuid::Uuid + Sync),
    /// Steps a run may begin before it fails with `step_budget_exceeded`.
    pub step_budget: u32,
}

/// Steps a run may begin when nothing else is said.
pub const STEP_BUDGET: u32 = 10_000;

/// What happened to a run.
#[derive(Clone, Debug)]
pub enum Event {
    /// It begins.
    Start,
    /// Its node died, or gave the lease back: whatever was in flight is done again.
    Recovered,
    /// A provider call answered.
    Called {
        /// Path of the step.
        path: String,
        /// The execution that answered.
        attempt: u32,
        /// The answer.
        outcome: CallOutcome,
    },
    /// Live state a `wait_until` asked for.
    Read {
        /// Path of the step.
        path: String,
        /// The state.
        live: Arc<Live>,
    },
    /// A lock of the run was fired (`dispatch §14.1`).
    Fired {
        /// Path of the wait.
        path: String,
        /// The lock.
        lock: LockId,
        /// Why.
        reason: FireReason,
        /// What the event carried.
        payload: Option<Value>,
    },
}

/// What fired a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FireReason {
    /// The awaited event.
    Event,
    /// A delay has passed.
    Timer,
    /// The condition holds.
    Condition,
    /// The deadline has passed.
    Timeout,
    /// The stored wait cannot be evaluated (`invalid_wait_config`).
    Invalid,
}

impl FireReason {
    /// As stored.
    pub fn name(self) -> &'static str {
        match self {
            FireReason::Event => "event",
            FireReason::Timer => "timer",
            FireReason::Condition => "condition",
            FireReason::Timeout => "timeout",
            FireReason::Invalid => "invalid",
        }
    }
    /// From the stored text.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "event" => FireReason::Event,
            "timer" => FireReason::Timer,
            "condition" => FireReason::Condition,
            "timeout" => FireReason::Timeout,
            "invalid" => FireReason::Invalid,
            _ => return None,
        })
    }
}

/// How a provider call ended.
#[derive(Clone, Debug)]
pub enum CallOutcome {
    /// The action answered.
    Answered {
        /// Its answer.
        result: ActionResult,
        /// Why the artifact that came with it does not fit its type.
        artifact_error: Option<String>,
    },
    /// The rendered config does not decode.
    InvalidConfig(String),
    /// The action panicked or could not be called.
    Broken(String),
}

/// A row to write under the run's fence.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// A step row, made or completed.
    Step(StepWrite),
    /// An artifact of a step; replaces what an earlier execution left.
    Artifact {
        /// Its step.
        step: StepId,
        /// The operator's id of the action.
        action_id: Option<String>,
        /// Qualified type.
        artifact_type: String,
        /// The data.
        data: Value,
        /// Recorded closed: it came with a failure.
        closed: bool,
    },
    /// A wait, with the refs that wake it.
    Lock(LockWrite),
    /// The end of a wait: the lock goes, its wake rows with it.
    Unlock(LockId),
    /// A wait was evaluated and did not end.
    Checked {
        /// The lock.
        lock: LockId,
        /// When its answer may flip without a change.
        next_check_at: Option<Ts>,
    },
    /// A line of the run log.
    Log {
        /// Path of the step.
        path: String,
        /// `debug`, `info`, `warn` or `error`.
        level: &'static str,
        /// The line.
        message: String,
    },
}

/// A step row as a decision wants it. Absent result and error leave what the row has.
#[derive(Clone, Debug, PartialEq)]
pub struct StepWrite {
    /// Row id, used when the row is made.
    pub id: StepId,
    /// `dispatch §11`.
    pub path: String,
    /// The operator's id.
    pub action_id: Option<String>,
    /// One of the kinds.
    pub kind: &'static str,
    /// Only for kind `action`.
    pub provider: Option<String>,
    /// `running`, `success`, `failed`, `skipped` or `waiting`.
    pub status: &'static str,
    /// Executions so far.
    pub attempts: u32,
    /// Code and text.
    pub error: Option<(&'static str, String)>,
    /// `dispatch §12.2`.
    pub result: Option<Value>,
    /// The step has ended.
    pub finished: bool,
}

/// A lock row as a decision wants it.
#[derive(Clone, Debug, PartialEq)]
pub struct LockWrite {
    /// Its id.
    pub id: LockId,
    /// Path of the wait.
    pub path: String,
    /// `delay`, `until` or `trigger`.
    pub kind: &'static str,
    /// Kind `trigger`: what it waits for.
    pub awaits: Option<Awaited>,
    /// Kind `until`: condition and policy.
    pub wait_config: Option<Value>,
    /// Deadline.
    pub timeout_at: Option<Ts>,
    /// When an `until` may flip without a change.
    pub next_check_at: Option<Ts>,
    /// `kind:id` and `kind:*` that wake it.
    pub refs: Vec<String>,
}

/// What a `wait_for_trigger` waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct Awaited {
    /// Qualified event id.
    pub event: String,
    /// Only an event with exactly this key.
    pub context_key: Option<String>,
    /// Which of them, as bare expression.
    pub filter: Option<String>,
}

/// Something to do after the rows are committed; its answer is an [`Event`].
#[derive(Clone, Debug)]
pub enum Act {
    /// Call a provider; answers [`Event::Called`].
    Call {
        /// Path of the step.
        path: String,
        /// `<plugin>.<name>`.
        action: String,
        /// Rendered config.
        config: Value,
        /// Which execution.
        attempt: u32,
        /// The scope it was rendered in.
        locals: Locals,
    },
    /// Read live state for the `wait_until` at a path; answers [`Event::Read`].
    Read {
        /// Path of the step.
        path: String,
        /// True: its lock is committed, this is the second look.
        guard: bool,
        /// The scope in which computed ids are evaluated.
        locals: Locals,
    },
}

/// What the run is after a decision.
#[derive(Clone, Debug, PartialEq)]
pub enum Rest {
    /// Not begun: it waits for its turn in a queue (`dispatch §8.5`). No decision leads here.
    Pending,
    /// Acts are under way.
    Walking,
    /// Only locks are left.
    Suspended,
    /// Terminal.
    Finished {
        /// `success` or `failed`.
        status: &'static str,
        /// `dispatch §19`.
        code: Option<&'static str>,
        /// The failure's text, or the reason of a stop.
        message: Option<String>,
    },
}

/// What a decision wants done.
#[derive(Debug)]
pub struct Decision {
    /// Committed together under the fence, before any act.
    pub writes: Vec<Write>,
    /// Performed only after that.
    pub then: Vec<Act>,
    /// What the run is now.
    pub rest: Rest,
}

impl Decision {
    /// True when the rows must be durable before the acts: a call has effects, a guard must see its
    /// lock committed, a consumed lock must not be found again, what a provider did must not be
    /// done again (`dispatch §9.4`), and resting or ending is a fact. Reads alone can share a later
    /// commit.
    pub fn must_commit(&self) -> bool {
        let binding = |w: &Write| match w {
            Write::Lock(_) | Write::Unlock(_) | Write::Artifact { .. } => true,
            Write::Step(step) => step.provider.is_some() && step.finished,
            _ => false,
        };
        !matches!(self.rest, Rest::Walking)
            || self.then.iter().any(|a| matches!(a, Act::Call { .. }))
            || self.writes.iter().any(binding)
    }
}

/// Lets `event` happen to `walk`.
///
/// An event that is for no live node – an answer of a superseded execution, a lock that is gone –
/// changes nothing.
pub fn decide(walk: &mut Walk, event: Event, cx: &Cx<'_>) -> Decision {
    if let Event::Fired {
        payload: Some(payload),
        ..
    } = &event
    {
        walk.resume = Some(serde_json::json!({"payload": payload}));
    }
    let mut tree = std::mem::replace(&mut walk.tree, Node::NEW);
    let mut walker = Walker {
        cx,
        walk,
        event: Some(event),
        path: String::from("actions"),
        frames: Vec::new(),
        rows: Rows::default(),
        then: Vec::new(),
        exhausted: false,
    };
    let end = walker.list(&cx.program.actions, &mut tree);
    let (exhausted, writes, then) = (walker.exhausted, walker.rows.done(), walker.then);
    let rest = match end {
        _ if exhausted => finished(End::Failed(Failure::new(
            "step_budget_exceeded",
            format!("the run began more than {} steps", cx.step_budget),
        ))),
        None if suspended(&tree) => Rest::Suspended,
        None => Rest::Walking,
        Some(end) => finished(end),
    };
    walk.tree = tree;
    Decision { writes, then, rest }
}

fn finished(end: End) -> Rest {
    let (status, code, message) = match end {
        End::Ok => ("success", None, None),
        End::Failed(Failure { code, message }) => ("failed", Some(code), Some(message)),
        End::Stopped {
            code,
            reason,
            error,
        } => (if error { "failed" } else { "success" }, code, reason),
    };
    Rest::Finished {
        status,
        code,
        message,
    }
}

/// True when no node is waiting for an answer of this process.
fn suspended(node: &Node) -> bool {
    match node {
        Node::Waiting { .. } | Node::Retrying { .. } => true,
        Node::New {} | Node::Calling { .. } | Node::Testing { .. } | Node::Arming { .. } => false,
        Node::List { child: below, .. }
        | Node::Body { list: below, .. }
        | Node::Repeat { list: below, .. } => suspended(below),
        Node::Parallel { forks, .. } => suspended_forks(forks),
    }
}

/// True when every branch that has not ended rests.
fn suspended_forks(forks: &[Fork]) -> bool {
    let mut live = forks.iter().filter(|f| f.end.is_none());
    live.all(|f| suspended(&f.node))
}

/// The path step of a container's list.
pub(super) fn body_key(branch: Option<super::tree::Branch>) -> Cow<'static, str> {
    use super::tree::Branch;
    match branch {
        None => "sequence".into(),
        Some(Branch::Else {}) => "else".into(),
        Some(Branch::When(b)) => format!("choose[{b}].sequence").into(),
    }
}

/// One decision being made: where it is, and what it has collected.
struct Walker<'a> {
    cx: &'a Cx<'a>,
    walk: &'a mut Walk,
    /// Taken by the node it is for.
    event: Option<Event>,
    /// Path of the list or action at hand.
    path: String,
    /// Iterations and branches around it, outermost first.
    frames: Vec<Frame>,
    rows: Rows,
    then: Vec<Act>,
    /// The run has begun too many steps.
    exhausted: bool,
}

impl<'a> Walker<'a> {
    fn env(&self) -> Env<'a> {
        Env::new(self.cx.filters, self.cx.now.timestamp())
    }

    /// Runs `f` with `key` appended to the path.
    fn below<T>(&mut self, key: &str, f: impl FnOnce(&mut Self) -> T) -> T {
        let len = self.path.len();
        self.path.push_str(key);
        let out = f(self);
        self.path.truncate(len);
        out
    }

    fn new_step(&mut self) -> StepId {
        self.walk.steps = self.walk.steps.saturating_add(1);
        StepId::from((self.cx.ids)())
    }

    /// A row for the action at hand.
    fn step(&mut self, step: &Step, id: StepId, status: &'static str) -> &mut StepWrite {
        self.step_of(step, id, status, 1)
    }

    fn step_of(
        &mut self,
        step: &Step,
        id: StepId,
        status: &'static str,
        attempts: u32,
    ) -> &mut StepWrite {
        self.rows.step(&self.path, status, attempts, || StepWrite {
            id,
            path: self.path.clone(),
            action_id: step.id.clone(),
            kind: step.kind.name(),
            provider: match &step.kind {
                CompiledKind::Provider(p) => Some(p.action.clone()),
                _ => None,
            },
            status,
            attempts,
            error: None,
            result: None,
            finished: matches!(status, "success" | "failed" | "skipped"),
        })
    }

    /// A step that failed with this.
    fn fail_step(&mut self, step: &Step, id: StepId, attempt: u32, failure: Failure) -> End {
        self.step_of(step, id, "failed", attempt).error =
            Some((failure.code, failure.message.clone()));
        End::Failed(failure)
    }

    fn warn(&mut self, message: String) {
        self.rows.push(Write::Log {
            path: self.path.clone(),
            level: "warn",
            message,
        });
    }

    /// The event, if it is one of this path's.
    fn take_event(&mut self, wanted: impl FnOnce(&Event) -> bool) -> Option<Event> {
        if self.event.as_ref().is_some_and(wanted) {
            self.event.take()
        } else {
            None
        }
    }

    /// The firing of a lock at this path.
    fn take_fired(&mut self, lock: LockId) -> Option<FireReason> {
        let path = self.path.clone();
        let fired = self.take_event(
            |e| matches!(e, Event::Fired { path: p, lock: l, .. } if *p == path && *l == lock),
        );
        match fired {
            Some(Event::Fired { reason, .. }) => Some(reason),
            _ => None,
        }
    }

    fn take_recovered(&mut self) -> bool {
        // Every node in flight hears of it, so it stays for the others.
        matches!(self.event, Some(Event::Recovered))
    }

    /// Whether the event can be for something at or below a path.
    fn concerns(&self, path: &str) -> bool {
        let at = match &self.event {
            None => return false,
            Some(Event::Start | Event::Recovered) => return true,
            Some(
                Event::Called { path, .. } | Event::Read { path, .. } | Event::Fired { path, .. },
            ) => path,
        };
        at.strip_prefix(path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}
