//! `wait_for_trigger`: rests until an event arrives (`dispatch §13.10`). The event itself is matched
//! where it arrives; here the wait is armed and ended.

use super::{Awaited, End, Failure, FireReason, LockWrite, Node, Step, Walker, Write};
use automation_core::LockId;
use serde_json::json;
use template_engine::{Expression, Template};

/// The parts of a `wait_for_trigger`.
pub(super) struct Wait<'a> {
    pub event: &'a str,
    pub filter: Option<&'a Expression>,
    pub timeout_seconds: Option<u32>,
    pub context_key: Option<&'a Template>,
}

impl Walker<'_> {
    pub(super) fn wait_for_trigger(
        &mut self,
        step: &Step,
        wait: &Wait<'_>,
        node: &mut Node,
    ) -> Option<End> {
        match node {
            Node::New {} => self.await_trigger(step, wait, node),
            Node::Waiting {
                step: id,
                lock,
                info,
            } => {
                let (id, lock) = (*id, *lock);
                let reason = self.take_fired(lock)?;
                let info = super::wait_until::told(std::mem::take(info), reason);
                self.rows.push(Write::Unlock(lock));
                if reason == FireReason::Event {
                    self.step(step, id, "success").result = Some(info);
                    return Some(End::Ok);
                }
                let failure = match reason {
                    FireReason::Invalid => {
                        Failure::new("invalid_wait_config", "the stored wait cannot be evaluated")
                    }
                    _ => Failure::new(
                        "wait_timeout",
                        format!("no event {} arrived in time", wait.event),
                    ),
                };
                let end = self.fail_step(step, id, 1, failure);
                self.step(step, id, "failed").result = Some(info);
                Some(end)
            }
            _ => Some(super::list::corrupt("a wait is in another state")),
        }
    }

    fn await_trigger(&mut self, step: &Step, wait: &Wait<'_>, node: &mut Node) -> Option<End> {
        let id = self.new_step();
        let context_key = match wait.context_key {
            None => self.cx.context_key.map(str::to_owned),
            Some(template) => match template.render(&self.view(), &self.env()) {
                Ok(key) => Some(key),
                Err(e) => {
                    let text = format!("wait_for_trigger.context_key: {e}");
                    let failure = Failure::new("render_failed", text);
                    return Some(self.fail_step(step, id, 1, failure));
                }
            },
        };
        let lock = LockId::from((self.cx.ids)());
        let timeout_at = wait
            .timeout_seconds
            .map(|s| self.cx.now.plus_millis(i64::from(s) * 1000));
        let mut info = json!({"waitLockId": lock.to_string(), "event": wait.event});
        if let Some(key) = &context_key {
            info["contextKey"] = json!(key);
        }
        if let Some(at) = timeout_at {
            info["timeoutAt"] = json!(at.to_text());
        }
        self.step(step, id, "waiting").result = Some(info.clone());
        self.rows.push(Write::Lock(LockWrite {
            id: lock,
            path: self.path.clone(),
            kind: "trigger",
            awaits: Some(Awaited {
                event: wait.event.to_owned(),
                context_key,
                filter: wait.filter.map(|f| f.source().to_owned()),
            }),
            wait_config: None,
            timeout_at,
            next_check_at: None,
            refs: Vec::new(),
        }));
        *node = Node::Waiting {
            step: id,
            lock,
            info,
        };
        None
    }
}
