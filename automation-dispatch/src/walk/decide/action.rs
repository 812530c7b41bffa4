//! `action`: a provider call (`dispatch §13.1`). Rendering and recording are decided here, the call
//! itself is an act: it happens after the step's row is committed, at least once, always with the
//! same idempotency key.

use super::{Act, CallOutcome, End, Event, Failure, LockWrite, Node, Step, Walker, Write};
use crate::walk::tree::Tries;
use automation_core::{
    LockId, StepId,
    compiled::CompiledProvider,
    registry::{ActionDef, ActionResult, Registered},
};
use serde_json::{Value, json};

/// One execution of a call.
#[derive(Clone)]
struct Execution {
    step: StepId,
    attempt: u32,
    tries: Tries,
}

impl Walker<'_> {
    pub(super) fn provider(
        &mut self,
        step: &Step,
        provider: &CompiledProvider,
        node: &mut Node,
    ) -> Option<End> {
        match node {
            Node::New {} => {
                let first = Execution {
                    step: self.new_step(),
                    attempt: 1,
                    tries: Tries::default(),
                };
                self.call(step, provider, node, first)
            }
            Node::Calling {
                step: id,
                attempt,
                tries,
            } => {
                let mut this = Execution {
                    step: *id,
                    attempt: *attempt,
                    tries: tries.clone(),
                };
                if self.take_recovered() {
                    this.attempt += 1;
                    return self.call(step, provider, node, this);
                }
                let path = self.path.clone();
                let called = self.take_event(|e| {
                    matches!(e, Event::Called { path: p, attempt: a, .. } if *p == path && *a == this.attempt)
                });
                match called {
                    Some(Event::Called { outcome, .. }) => {
                        self.answered(step, provider, node, this, outcome)
                    }
                    _ => None,
                }
            }
            Node::Retrying {
                step: id,
                lock,
                attempt,
                tries,
            } => {
                let lock = *lock;
                let next = Execution {
                    step: *id,
                    attempt: *attempt + 1,
                    tries: tries.clone(),
                };
                self.take_fired(lock)?;
                self.rows.push(Write::Unlock(lock));
                self.call(step, provider, node, next)
            }
            _ => Some(super::list::corrupt("an action is in another state")),
        }
    }

    fn call(
        &mut self,
        step: &Step,
        provider: &CompiledProvider,
        node: &mut Node,
        this: Execution,
    ) -> Option<End> {
        let name = &provider.action;
        if self.cx.registries.action(name).is_none() {
            let text = format!("no plugin offers the action {name}");
            return Some(self.fail(step, &this, Failure::new("unknown_action", text), None));
        }
        let rendered = match &provider.config {
            Ok(config) => config.render(&self.view(), &self.env()),
            Err(why) => {
                let failure = Failure::new("invalid_config", why.clone());
                return Some(self.fail(step, &this, failure, None));
            }
        };
        let mut config = match rendered {
            Ok(config) => config,
            Err(e) => {
                let failure = Failure::new("render_failed", format!("config.{e}"));
                return Some(self.fail(step, &this, failure, None));
            }
        };
        if let Some(Err(problem)) = provider.check.as_ref().map(|c| c.lenient(&mut config)) {
            let failure = Failure::new("invalid_config", format!("config.{problem}"));
            return Some(self.fail(step, &this, failure, None));
        }
        self.step_of(step, this.step, "running", this.attempt);
        self.then.push(Act::Call {
            path: self.path.clone(),
            action: name.clone(),
            config,
            attempt: this.attempt,
            locals: self.locals(),
        });
        *node = Node::Calling {
            step: this.step,
            attempt: this.attempt,
            tries: this.tries,
        };
        None
    }

    fn answered(
        &mut self,
        step: &Step,
        provider: &CompiledProvider,
        node: &mut Node,
        this: Execution,
        outcome: CallOutcome,
    ) -> Option<End> {
        let name = &provider.action;
        let (result, artifact_error) = match outcome {
            CallOutcome::Answered {
                result,
                artifact_error,
            } => (result, artifact_error),
            CallOutcome::InvalidConfig(text) => {
                let failure = Failure::new("invalid_config", text);
                return Some(self.fail(step, &this, failure, None));
            }
            CallOutcome::Broken(text) => {
                let failure = Failure::new("internal_error", text);
                return self.failed(step, provider, node, this, failure, None);
            }
        };
        let external = result.external_id.as_deref();
        if let (Some(text), true) = (&artifact_error, result.success) {
            let failure = Failure::new("invalid_artifact", text.clone());
            return Some(self.fail(step, &this, failure, None));
        }
        let action = self.cx.registries.action(name);
        if !result.success {
            let text = result
                .error
                .clone()
                .unwrap_or_else(|| format!("the action {name} failed without saying why"));
            let failure = Failure::new("action_failed", text);
            let ended = self.failed(step, provider, node, this.clone(), failure, Some(&result));
            if ended.is_some()
                && artifact_error.is_none()
                && let Some(action) = &action
            {
                self.record(step, this.step, action, &result);
            }
            return ended;
        }
        if let Some(action) = &action {
            self.record(step, this.step, action, &result);
        }
        self.step_of(step, this.step, "success", this.attempt)
            .result = told(external, &this.tries);
        Some(End::Ok)
    }

    /// A failed attempt: the end of the step, or a pause before the next one (`retry`). The pause is
    /// a lock with a timer like that of a `delay`, so it survives whatever happens to this process.
    fn failed(
        &mut self,
        step: &Step,
        provider: &CompiledProvider,
        node: &mut Node,
        mut this: Execution,
        failure: Failure,
        result: Option<&ActionResult>,
    ) -> Option<End> {
        let external = result.and_then(|r| r.external_id.as_deref());
        let failures = this.tries.failed.len() as u32 + 1;
        let Some(retry) = step.retry.as_ref().filter(|r| failures < r.max_attempts) else {
            return Some(self.fail(step, &this, failure, external));
        };
        let hint = result.and_then(|r| r.retry_after_ms);
        let millis = match retry.wait_millis(failures, hint, &self.view(), &self.env()) {
            Ok(millis) => millis,
            Err(why) => {
                let text = format!(
                    "{}; and it cannot be tried again: retry: {why}",
                    failure.message
                );
                let failure = Failure::new("invalid_retry", text);
                return Some(self.fail(step, &this, failure, external));
            }
        };
        let at = self.cx.now.plus_millis(millis);
        this.tries.failed.push(json!({
            "attempt": this.attempt,
            "code": failure.code,
            "error": failure.message,
            "at": self.cx.now.to_text(),
            "retryAt": at.to_text(),
        }));
        self.warn(format!(
            "Attempt {failures} of {} failed and is repeated in {} s: {}",
            retry.max_attempts,
            millis as f64 / 1000.0,
            failure.message
        ));
        if millis <= 0 {
            this.attempt += 1;
            return self.call(step, provider, node, this);
        }
        let lock = LockId::from((self.cx.ids)());
        self.step_of(step, this.step, "waiting", this.attempt)
            .result = told(None, &this.tries);
        self.rows.push(Write::Lock(LockWrite {
            id: lock,
            path: self.path.clone(),
            kind: "delay",
            awaits: None,
            wait_config: None,
            timeout_at: Some(at),
            next_check_at: None,
            refs: Vec::new(),
        }));
        *node = Node::Retrying {
            step: this.step,
            lock,
            attempt: this.attempt,
            tries: this.tries,
        };
        None
    }

    /// An artifact is recorded even without an action id, which only names it in the scope; one that
    /// came with a failure is closed, so that nothing consumes it.
    fn record(
        &mut self,
        step: &Step,
        id: StepId,
        action: &Registered<ActionDef>,
        result: &ActionResult,
    ) {
        let (Some(data), Some(local)) = (&result.artifact, &action.produces) else {
            return;
        };
        self.rows.push(Write::Artifact {
            step: id,
            action_id: step.id.clone(),
            artifact_type: action.owner.qualify(local),
            data: data.clone(),
            closed: !result.success,
        });
        if let Some(action_id) = &step.id {
            self.expose(action_id, local, data);
        }
    }

    fn fail(
        &mut self,
        step: &Step,
        this: &Execution,
        failure: Failure,
        external: Option<&str>,
    ) -> End {
        let end = self.fail_step(step, this.step, this.attempt, failure);
        self.step_of(step, this.step, "failed", this.attempt).result = told(external, &this.tries);
        end
    }
}

/// `result_payload` of the step row: `{externalId?, attempts?}` (`dispatch §12.2`).
fn told(external: Option<&str>, tries: &Tries) -> Option<Value> {
    let mut told = serde_json::Map::new();
    if let Some(external) = external {
        told.insert("externalId".into(), json!(external));
    }
    if !tries.is_empty() {
        told.insert("attempts".into(), json!(tries.failed));
    }
    (!told.is_empty()).then_some(Value::Object(told))
}
