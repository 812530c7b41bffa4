//! From a decision to rows. This is where run data is masked (`dispatch §20`): every text and every
//! document of a run enters a row only as a [`Masked`] value.

use super::rows::*;
use crate::{
    store::runs::RunRecord,
    version,
    walk::{
        decide::{Rest, Write},
        tree::Walk,
    },
};
use automation_core::{ArtifactId, AutomationId, LockId, RunId};
use plugin_api::{Actor, Cause, Doc, Masked, Text, Ts, masking::MaskSet, queue::NewJob};
use serde_json::{Value, json};
use std::{collections::HashMap, sync::Arc};
use uuid::Uuid;

/// Queue of delay timers.
pub const DELAY_QUEUE: &str = "automation-delay";
/// Queue of deadlines and re-checks of `wait_until`.
pub const TIMEOUT_QUEUE: &str = "automation-wait-timeout";

fn doc(v: Masked<Value>) -> Doc {
    Doc(v.into_inner())
}
fn text(t: Masked<String>) -> Text {
    Text::new(t.into_inner())
}

/// What identifies a run in every row about it.
#[derive(Clone, Debug)]
pub struct RunHead {
    /// The run.
    pub run_id: RunId,
    /// Its automation.
    pub automation_id: AutomationId,
    /// Its context key.
    pub context_key: Option<String>,
    /// What led to it, itself included; what it changes and emits carries it on.
    pub cause: Option<Arc<Cause>>,
}

impl RunHead {
    /// Of a stored run.
    pub fn of(record: &RunRecord) -> Self {
        let cause = record.cause.as_ref().and_then(|c| c.decode().ok());
        Self {
            run_id: record.id,
            automation_id: record.automation_id,
            context_key: record.context_key.clone(),
            cause: cause.map(Arc::new),
        }
    }
}

/// A run to create.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Effective trigger id.
    pub trigger_id: String,
    /// Qualified event id.
    pub event_id: String,
    /// As gates saw it.
    pub payload: Arc<Value>,
    /// Who caused the occurrence.
    pub actor: Actor,
    /// The version it is pinned to.
    pub definition_version: i64,
    /// What led to it, itself included.
    pub cause: Cause,
    /// `dispatch §17.2`.
    pub dedup_key: Option<String>,
    /// Now.
    pub started_at: Ts,
}

/// What makes a commit the business of its writer.
#[derive(Clone, Debug)]
pub enum Fence {
    /// The run is created by this commit.
    New(NewRun),
    /// The run waited for its turn and starts with this commit, at this instant.
    Turn(Ts),
    /// The lease with this epoch.
    Epoch(i64),
}

/// Everything one run writes in one commit.
#[derive(Clone)]
pub struct RunCommit {
    /// The run.
    pub head: RunHead,
    /// Its fence.
    pub fence: Fence,
    /// It was `waiting` and walks again.
    pub resumed: bool,
    /// What it is afterwards.
    pub rest: Rest,
    /// Steps that are open although the run ends get this status, code and text (`dispatch §9.6`).
    pub close_open: Option<(&'static str, &'static str, &'static str)>,
    pub(crate) snapshot: Doc,
    pub(crate) last_path: Option<String>,
    pub(crate) cursors: Doc,
    pub(crate) message: Option<Text>,
    pub(crate) steps: Vec<StepRow>,
    pub(crate) artifacts: Vec<ArtifactRow>,
    pub(crate) locks: Vec<LockRow>,
    pub(crate) wakes: Vec<WakeRow>,
    pub(crate) unlocked: Vec<LockId>,
    pub(crate) checked: Vec<CheckedRow>,
    pub(crate) logs: Vec<LogRow>,
    pub(crate) jobs: Vec<(&'static str, NewJob)>,
    /// Where the row of a path stands in `steps`.
    by_path: HashMap<String, usize>,
}

/// What rows are built with.
pub struct BuildCx<'a> {
    /// The instant of the decision.
    pub now: Ts,
    /// Fresh ids.
    pub ids: &'a (dyn Fn() -> Uuid + Sync),
    /// The run's secrets.
    pub masks: &'a MaskSet,
}

impl RunCommit {
    /// The rows of one or more decisions of one run, in their order; the last one's `rest` counts.
    pub fn new(
        head: RunHead,
        fence: Fence,
        walk: &Walk,
        writes: Vec<Write>,
        rest: Rest,
        cx: &BuildCx<'_>,
    ) -> Self {
        let message = match &rest {
            Rest::Finished {
                message: Some(m), ..
            } => Some(text(cx.masks.mask_text(m.clone()))),
            _ => None,
        };
        let snapshot = match rest {
            Rest::Finished { .. } => Doc::default(),
            _ => Doc(walk.checkpoint(cx.masks)),
        };
        let mut commit = RunCommit {
            snapshot,
            last_path: walk.last_path.clone(),
            cursors: Doc(json!(walk.cursors())),
            message,
            head,
            fence,
            resumed: false,
            rest,
            close_open: None,
            steps: Vec::new(),
            artifacts: Vec::new(),
            locks: Vec::new(),
            wakes: Vec::new(),
            unlocked: Vec::new(),
            checked: Vec::new(),
            logs: Vec::new(),
            jobs: Vec::new(),
            by_path: HashMap::new(),
        };
        for write in writes {
            commit.add(write, cx);
        }
        commit.close_open = cut_short(&commit.rest);
        if matches!(commit.rest, Rest::Finished { .. }) && !matches!(commit.fence, Fence::Epoch(_))
        {
            commit.end_at_once(cx.now);
        }
        commit
    }

    /// A run that ends in the commit that creates or begins it has no rows yet that could be closed
    /// and deleted: what it leaves is written as if that had been done (`dispatch §9.6`).
    fn end_at_once(&mut self, now: Ts) {
        self.locks.clear();
        self.wakes.clear();
        self.jobs.clear();
        let Some((status, code, message)) = self.close_open.take() else {
            return;
        };
        for step in self.steps.iter_mut().filter(|s| s.finished_at.is_none()) {
            step.status = status.to_owned();
            step.error_code = Some(code.to_owned());
            step.error_message = Some(Text::new(message));
            step.finished_at = Some(now);
        }
    }

    fn add(&mut self, write: Write, cx: &BuildCx<'_>) {
        let RunHead {
            run_id,
            automation_id,
            ..
        } = self.head;
        match write {
            Write::Step(s) => {
                let (code, message) = match s.error {
                    Some((code, message)) => (
                        Some(code.to_owned()),
                        Some(text(cx.masks.mask_text(message))),
                    ),
                    None => (None, None),
                };
                let row = StepRow {
                    id: s.id,
                    run_id,
                    action_path: s.path,
                    action_id: s.action_id,
                    action_kind: s.kind.to_owned(),
                    provider_action_id: s.provider,
                    status: s.status.to_owned(),
                    attempts: i64::from(s.attempts),
                    error_code: code,
                    error_message: message,
                    result_payload: s.result.map(|r| doc(cx.masks.mask_json(r))),
                    started_at: cx.now,
                    finished_at: s.finished.then_some(cx.now),
                };
                self.put_step(row);
            }
            Write::Artifact {
                step,
                action_id,
                artifact_type,
                data,
                closed,
            } => self.artifacts.push(ArtifactRow {
                id: ArtifactId::from((cx.ids)()),
                automation_id,
                run_id,
                step_id: step,
                action_id,
                artifact_type,
                data: doc(cx.masks.mask_json(data)),
                context_key: self.head.context_key.clone().map(Text::new),
                closed_at: closed.then_some(cx.now),
                created_at: cx.now,
            }),
            Write::Lock(l) => {
                for r in &l.refs {
                    self.wakes.push(WakeRow {
                        id: row_id((cx.ids)()),
                        wait_lock_id: l.id,
                        entity_ref: Text::new(r.clone()),
                    });
                }
                self.timers(l.id, l.kind, l.timeout_at, l.next_check_at);
                self.locks.push(LockRow {
                    id: l.id,
                    run_id,
                    event_id: match &l.awaits {
                        Some(awaited) => awaited.event.clone(),
                        None => format!("@@{}:{run_id}:{}", l.kind, l.path),
                    },
                    context_key: match &l.awaits {
                        Some(awaited) => awaited.context_key.clone().map(Text::new),
                        None => self.head.context_key.clone().map(Text::new),
                    },
                    filter_template: l.awaits.and_then(|a| a.filter).map(Text::new),
                    action_path: l.path,
                    kind: l.kind.to_owned(),
                    wait_config: l.wait_config.map(Doc),
                    timeout_at: l.timeout_at,
                    next_check_at: l.next_check_at,
                    created_at: cx.now,
                });
            }
            Write::Unlock(lock) => {
                // A lock that is taken back before it was ever committed leaves nothing.
                self.locks.retain(|l| l.id != lock);
                self.wakes.retain(|w| w.wait_lock_id != lock);
                self.unlocked.push(lock);
            }
            Write::Checked {
                lock,
                next_check_at,
            } => {
                self.timers(lock, "until", None, next_check_at);
                self.checked.push(CheckedRow {
                    id: lock,
                    checked_at: cx.now,
                    next_check_at,
                });
            }
            Write::Log {
                path,
                level,
                message,
            } => self.logs.push(LogRow {
                id: row_id((cx.ids)()),
                run_id,
                action_path: Some(path),
                at: cx.now,
                level: level.to_owned(),
                message: text(cx.masks.mask_text(message)),
            }),
        }
    }

    /// Adds a line of the run log; the message is already masked.
    pub fn log(&mut self, id: Uuid, at: Ts, path: Option<String>, level: &str, m: Masked<String>) {
        self.logs.push(LogRow {
            id: row_id(id),
            run_id: self.head.run_id,
            action_path: path,
            at,
            level: level.to_owned(),
            message: text(m),
        });
    }

    /// A path has one row: what began and ended since the last commit is written once.
    fn put_step(&mut self, row: StepRow) {
        let Some(at) = self.by_path.get(&row.action_path) else {
            self.by_path
                .insert(row.action_path.clone(), self.steps.len());
            self.steps.push(row);
            return;
        };
        let have = &mut self.steps[*at];
        *have = StepRow {
            id: have.id,
            started_at: have.started_at,
            error_code: row.error_code.or(have.error_code.take()),
            error_message: row.error_message.or(have.error_message.take()),
            result_payload: row.result_payload.or(have.result_payload.take()),
            ..row
        };
    }

    fn timers(
        &mut self,
        lock: LockId,
        kind: &str,
        timeout_at: Option<Ts>,
        next_check_at: Option<Ts>,
    ) {
        self.jobs.extend(timer_jobs(
            self.head.run_id,
            lock,
            kind,
            timeout_at,
            next_check_at,
        ));
    }
}

/// What becomes of steps that are open when their run ends otherwise than by walking to its end
/// (`dispatch §9.6`): status, code and text.
fn cut_short(rest: &Rest) -> Option<(&'static str, &'static str, &'static str)> {
    let Rest::Finished { code, .. } = rest else {
        return None;
    };
    match *code {
        Some(code @ "internal_error") => {
            Some(("failed", code, "the step failed inside the engine"))
        }
        Some(code @ "step_budget_exceeded") => {
            Some(("skipped", code, "the run ended at its step budget"))
        }
        _ => None,
    }
}

/// The timer jobs of a wait (`dispatch §17.1`): part of the transaction that makes it wait, so a
/// crash cannot leave the one without the other.
pub fn timer_jobs(
    run: RunId,
    lock: LockId,
    kind: &str,
    timeout_at: Option<Ts>,
    next_check_at: Option<Ts>,
) -> Vec<(&'static str, NewJob)> {
    let data = version::mark(json!({"runId": run, "waitLockId": lock}));
    let mut jobs = Vec::new();
    if let Some(at) = timeout_at {
        jobs.push(if kind == "delay" {
            (
                DELAY_QUEUE,
                NewJob::new(data.clone()).id(format!("{run}:{lock}")).at(at),
            )
        } else {
            (
                TIMEOUT_QUEUE,
                NewJob::new(data.clone())
                    .id(format!("{run}:{lock}:timeout"))
                    .at(at),
            )
        });
    }
    if let Some(at) = next_check_at {
        jobs.push((
            TIMEOUT_QUEUE,
            NewJob::new(data)
                .id(format!("{run}:{lock}:check:{}", at.millis()))
                .at(at),
        ));
    }
    jobs
}

impl RunCommit {
    /// What it says of steps: id, path, status.
    pub fn step_facts(&self) -> impl Iterator<Item = (automation_core::StepId, &str, &str)> {
        self.steps
            .iter()
            .map(|s| (s.id, s.action_path.as_str(), s.status.as_str()))
    }
    /// The run's masked message, if it ends with one.
    pub fn message_text(&self) -> Option<&str> {
        self.message.as_ref().map(Text::as_str)
    }
}
