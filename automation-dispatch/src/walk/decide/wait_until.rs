//! `wait_until`: rests until a condition over live state holds (`dispatch §13.11`).
//!
//! The condition is tested on freshly read state; if it does not hold yet, the lock with its wake
//! rows is committed, and then it is tested once more: a change that committed between the first
//! test and the lock found no lock to wake (*arm guard*). Only then does the wait rest.

use super::{End, Event, Failure, FireReason, LockWrite, Node, Step, Walker, Write};
use crate::waits::refs;
use crate::walk::view::Live;
use automation_core::{LockId, StepId};
use plugin_api::Ts;
use serde_json::{Value, json};
use std::sync::Arc;
use template_engine::condition::Condition;

/// The parts of a `wait_until`.
pub(super) struct Wait<'a> {
    pub condition: &'a Condition,
    pub timeout_seconds: Option<u32>,
    pub continue_on_timeout: bool,
}

impl Walker<'_> {
    pub(super) fn wait_until(
        &mut self,
        step: &Step,
        wait: &Wait<'_>,
        node: &mut Node,
    ) -> Option<End> {
        match node {
            Node::New {} => {
                let id = self.new_step();
                self.step(step, id, "running");
                *node = Node::Testing { step: id };
                self.read(false)
            }
            Node::Testing { .. } if self.take_recovered() => self.read(false),
            Node::Arming { .. } if self.take_recovered() => self.read(true),
            Node::Testing { step: id } => {
                let id = *id;
                let live = self.take_read()?;
                if self.holds(wait, &live) {
                    self.step(step, id, "success").result =
                        Some(json!({"satisfied": true, "immediate": true}));
                    return Some(End::Ok);
                }
                self.arm(step, wait, node, id, &live)
            }
            Node::Arming {
                step: id,
                lock,
                info,
            } => {
                let (id, lock, info) = (*id, *lock, std::mem::take(info));
                if let Some(end) = self.fired(step, wait, id, lock, &info) {
                    return Some(end);
                }
                let Some(live) = self.take_read() else {
                    *node = Node::Arming {
                        step: id,
                        lock,
                        info,
                    };
                    return None;
                };
                if self.holds(wait, &live) {
                    self.rows.push(Write::Unlock(lock));
                    self.step(step, id, "success").result =
                        Some(json!({"satisfied": true, "armWindow": true}));
                    return Some(End::Ok);
                }
                let next_check_at = self.next_check(wait, &live);
                self.rows.push(Write::Checked {
                    lock,
                    next_check_at,
                });
                *node = Node::Waiting {
                    step: id,
                    lock,
                    info,
                };
                None
            }
            Node::Waiting {
                step: id,
                lock,
                info,
            } => {
                let (id, lock, info) = (*id, *lock, info.clone());
                self.fired(step, wait, id, lock, &info)
            }
            _ => Some(super::list::corrupt("a wait is in another state")),
        }
    }

    fn read(&mut self, guard: bool) -> Option<End> {
        self.then.push(super::Act::Read {
            path: self.path.clone(),
            guard,
            locals: self.locals(),
        });
        None
    }

    fn take_read(&mut self) -> Option<Arc<Live>> {
        let path = self.path.clone();
        match self.take_event(|e| matches!(e, Event::Read { path: p, .. } if *p == path)) {
            Some(Event::Read { live, .. }) => Some(live),
            _ => None,
        }
    }

    /// State that could not be read satisfies nothing: `x != 'open'` would be true of an unread `x`.
    /// An error of the condition means "not yet".
    fn holds(&mut self, wait: &Wait<'_>, live: &Live) -> bool {
        let tested = wait.condition.test(&self.view_with(live), &self.env());
        match tested {
            Ok(holds) => holds && !live.unresolved,
            Err(e) => {
                self.warn(format!(
                    "The condition of the wait cannot be evaluated and counts as not yet: {e}"
                ));
                false
            }
        }
    }

    fn next_check(&self, wait: &Wait<'_>, live: &Live) -> Option<Ts> {
        refs::next_check(wait.condition, &self.view_with(live), &self.env())
    }

    fn arm(
        &mut self,
        step: &Step,
        wait: &Wait<'_>,
        node: &mut Node,
        id: StepId,
        live: &Live,
    ) -> Option<End> {
        let wake = refs::wake_refs(
            wait.condition,
            &self.view_with(live),
            &self.env(),
            self.cx.context_key,
        );
        if wake.blind {
            self.warn(match wait.timeout_seconds {
                Some(_) => "Part of the condition reads state that cannot be told from its text; for that part the wait relies on the periodic re-check and its timeout.".into(),
                None => "Part of the condition reads state that cannot be told from its text; for that part the wait is woken only by the periodic re-check.".into(),
            });
        }
        let lock = LockId::from((self.cx.ids)());
        let timeout_at = wait
            .timeout_seconds
            .map(|s| self.cx.now.plus_millis(i64::from(s) * 1000));
        let mut info = json!({"waitLockId": lock.to_string(), "wakeRefs": wake.refs});
        if let Some(at) = timeout_at {
            info["timeoutAt"] = json!(at.to_text());
        }
        self.step(step, id, "waiting").result = Some(info.clone());
        let next_check_at = self.next_check(wait, live);
        self.rows.push(Write::Lock(LockWrite {
            id: lock,
            path: self.path.clone(),
            kind: "until",
            awaits: None,
            wait_config: Some(json!({
                "condition": crate::walk::path::written(&self.cx.program.definition, &self.path)
                    .and_then(|w| w.pointer("/wait_until/condition").cloned()),
                "continueOnTimeout": wait.continue_on_timeout,
            })),
            timeout_at,
            next_check_at,
            refs: wake.refs,
        }));
        *node = Node::Arming {
            step: id,
            lock,
            info,
        };
        self.read(true)
    }

    /// The end of the wait, when the event is that its lock was fired.
    fn fired(
        &mut self,
        step: &Step,
        wait: &Wait<'_>,
        id: StepId,
        lock: LockId,
        info: &Value,
    ) -> Option<End> {
        let reason = self.take_fired(lock)?;
        self.rows.push(Write::Unlock(lock));
        let info = told(info.clone(), reason);
        let failure = match reason {
            FireReason::Timeout if !wait.continue_on_timeout => Some(Failure::new(
                "wait_timeout",
                "wait_until timed out before its condition held",
            )),
            FireReason::Invalid => Some(Failure::new(
                "invalid_wait_config",
                "the stored wait cannot be evaluated",
            )),
            _ => None,
        };
        let row = self.step(
            step,
            id,
            if failure.is_some() {
                "failed"
            } else {
                "success"
            },
        );
        row.result = Some(info);
        Some(match failure {
            None => End::Ok,
            Some(failure) => {
                row.error = Some((failure.code, failure.message.clone()));
                End::Failed(failure)
            }
        })
    }
}

/// What a step row tells of a wait that has ended (`dispatch §12.2`).
pub(super) fn told(mut info: Value, reason: FireReason) -> Value {
    if let Value::Object(fields) = &mut info {
        fields.insert("fireReason".into(), json!(reason.name()));
    }
    info
}
