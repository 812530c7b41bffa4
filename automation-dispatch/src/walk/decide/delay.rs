//! `delay`: a lock with a deadline and a timer at it (`dispatch §13.4`).

use super::{End, Failure, LockWrite, Node, Step, Walker, Write};
use automation_core::{LockId, compiled::CompiledDelay};
use serde_json::json;

impl Walker<'_> {
    pub(super) fn delay(
        &mut self,
        step: &Step,
        seconds: &CompiledDelay,
        node: &mut Node,
    ) -> Option<End> {
        match node {
            Node::New {} => self.begin_delay(step, seconds, node),
            Node::Waiting {
                step: id,
                lock,
                info,
            } => {
                let (id, lock) = (*id, *lock);
                let reason = self.take_fired(lock)?;
                let info = super::wait_until::told(std::mem::take(info), reason);
                self.rows.push(Write::Unlock(lock));
                self.step(step, id, "success").result = Some(info);
                Some(End::Ok)
            }
            _ => Some(super::list::corrupt("a delay is in another state")),
        }
    }

    fn begin_delay(
        &mut self,
        step: &Step,
        seconds: &CompiledDelay,
        node: &mut Node,
    ) -> Option<End> {
        let id = self.new_step();
        let seconds = match self.delay_seconds(seconds) {
            Ok(s) => s,
            Err(message) => {
                let failure = Failure::new("invalid_delay", message);
                return Some(self.fail_step(step, id, 1, failure));
            }
        };
        if seconds == 0 {
            self.step(step, id, "success").result = Some(json!({"sleepSeconds": 0}));
            return Some(End::Ok);
        }
        let lock = LockId::from((self.cx.ids)());
        let info =
            json!({"sleepSeconds": seconds, "waitLockId": lock.to_string(), "queueBacked": true});
        self.step(step, id, "waiting").result = Some(info.clone());
        self.rows.push(Write::Lock(LockWrite {
            id: lock,
            path: self.path.clone(),
            kind: "delay",
            awaits: None,
            wait_config: None,
            timeout_at: Some(self.cx.now.plus_millis(seconds * 1000)),
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

    fn delay_seconds(&self, seconds: &CompiledDelay) -> Result<i64, String> {
        match seconds.seconds(&self.view(), &self.env()) {
            Ok(Some(s)) => Ok(i64::from(s)),
            Ok(None) => Err("a delay is a number of seconds from 0 to 2592000 (30 days)".into()),
            Err(e) => Err(format!("delay.template: {e}")),
        }
    }
}
