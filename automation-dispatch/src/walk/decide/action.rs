//! `action`: a provider call (`dispatch §13.1`). Rendering and recording are decided here, the call
//! itself is an act: it happens after the step's row is committed, at least once, always with the
//! same idempotency key.

use super::{Act, CallOutcome, End, Event, Failure, Node, Step, Walker, Write};
use automation_core::{
    StepId,
    compiled::CompiledProvider,
    registry::{ActionDef, ActionResult, Registered},
};
use serde_json::json;

impl Walker<'_> {
    pub(super) fn provider(
        &mut self,
        step: &Step,
        provider: &CompiledProvider,
        node: &mut Node,
    ) -> Option<End> {
        match node {
            Node::New {} => {
                let id = self.new_step();
                self.call(step, provider, node, id, 1)
            }
            Node::Calling { step: id, attempt } => {
                let (id, attempt) = (*id, *attempt);
                if self.take_recovered() {
                    return self.call(step, provider, node, id, attempt + 1);
                }
                let path = self.path.clone();
                let called = self.take_event(|e| {
                    matches!(e, Event::Called { path: p, attempt: a, .. } if *p == path && *a == attempt)
                });
                match called {
                    Some(Event::Called { outcome, .. }) => {
                        Some(self.answered(step, &provider.action, id, attempt, outcome))
                    }
                    _ => None,
                }
            }
            _ => Some(super::list::corrupt("an action is in another state")),
        }
    }

    fn call(
        &mut self,
        step: &Step,
        provider: &CompiledProvider,
        node: &mut Node,
        id: StepId,
        attempt: u32,
    ) -> Option<End> {
        let name = &provider.action;
        if self.cx.registries.action(name).is_none() {
            return Some(self.fail(
                step,
                id,
                attempt,
                Failure::new(
                    "unknown_action",
                    format!("no plugin offers the action {name}"),
                ),
            ));
        }
        let rendered = match &provider.config {
            Ok(config) => config.render(&self.view(), &self.env()),
            Err(why) => {
                let failure = Failure::new("invalid_config", why.clone());
                return Some(self.fail(step, id, attempt, failure));
            }
        };
        let mut config = match rendered {
            Ok(config) => config,
            Err(e) => {
                let failure = Failure::new("render_failed", format!("config.{e}"));
                return Some(self.fail(step, id, attempt, failure));
            }
        };
        if let Some(Err(problem)) = provider.check.as_ref().map(|c| c.lenient(&mut config)) {
            let failure = Failure::new("invalid_config", format!("config.{problem}"));
            return Some(self.fail(step, id, attempt, failure));
        }
        self.step_of(step, id, "running", attempt);
        self.then.push(Act::Call {
            path: self.path.clone(),
            action: name.clone(),
            config,
            attempt,
        });
        *node = Node::Calling { step: id, attempt };
        None
    }

    fn answered(
        &mut self,
        step: &Step,
        name: &str,
        id: StepId,
        attempt: u32,
        outcome: CallOutcome,
    ) -> End {
        let (result, artifact_error) = match outcome {
            CallOutcome::Answered {
                result,
                artifact_error,
            } => (result, artifact_error),
            CallOutcome::InvalidConfig(text) => {
                let failure = Failure::new("invalid_config", text);
                return self.fail(step, id, attempt, failure);
            }
            CallOutcome::Broken(text) => {
                return self.fail(step, id, attempt, Failure::new("internal_error", text));
            }
        };
        let told = result
            .external_id
            .as_ref()
            .map(|external| json!({"externalId": external}));
        let action = self.cx.registries.action(name);
        if let (Some(text), true) = (&artifact_error, result.success) {
            return self.fail(
                step,
                id,
                attempt,
                Failure::new("invalid_artifact", text.clone()),
            );
        }
        if artifact_error.is_none()
            && let Some(action) = &action
        {
            self.record(step, id, action, &result);
        }
        if !result.success {
            let text = result
                .error
                .unwrap_or_else(|| format!("the action {name} failed without saying why"));
            let end = self.fail(step, id, attempt, Failure::new("action_failed", text));
            self.step_of(step, id, "failed", attempt).result = told;
            return end;
        }
        self.step_of(step, id, "success", attempt).result = told;
        End::Ok
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
        self.writes.push(Write::Artifact {
            step: id,
            action_id: step.id.clone(),
            artifact_type: action.owner.qualify(local),
            data: data.clone(),
            closed: !result.success,
        });
        if let Some(action_id) = &step.id {
            self.walk.expose(action_id, local, data.clone());
        }
    }

    fn fail(&mut self, step: &Step, id: StepId, attempt: u32, failure: Failure) -> End {
        self.step_of(step, id, "failed", attempt).error =
            Some((failure.code, failure.message.clone()));
        End::Failed(failure)
    }
}
