//! Calling a provider: what an action is given, and how its answer comes back.

use super::world::Calling;
use crate::{
    commit::RunHead,
    guards::{self, Guard},
    shared::Shared,
    store::artifacts,
    walk::{
        decide::{CallOutcome, Event},
        frame::Locals,
        view::Base,
    },
};
use automation_core::registry::{
    ActionCx, ActionDef, ActionScope, Cancel, LogLevel, Registered, RunLog,
};
use futures::FutureExt;
use plugin_api::{Actor, BoxError, Clock, RequestContext, Ts};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex},
};

/// What a call needs to know of its run.
pub struct RunFacts {
    pub head: RunHead,
    pub epoch: i64,
    pub base: Arc<Base>,
    pub locals: Locals,
    pub cancel: Cancel,
    pub logs: Lines,
}

/// A line that an action wrote to the run log.
pub struct Line {
    pub at: Ts,
    pub path: String,
    pub level: &'static str,
    pub message: String,
}

/// Lines not yet committed; they are written, masked, with the run's next commit.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<Line>>>);

impl Lines {
    pub fn is_empty(&self) -> bool {
        self.0.lock().expect("run log").is_empty()
    }
    pub fn take(&self) -> Vec<Line> {
        std::mem::take(&mut *self.0.lock().expect("run log"))
    }
}

/// Lines of one run log between two commits at most; more than that is noise.
const MAX_LINES: usize = 1000;

struct Log {
    lines: Lines,
    path: String,
    clock: Arc<dyn Clock>,
}
impl RunLog for Log {
    fn line(&self, level: LogLevel, message: &str) {
        let mut lines = self.lines.0.lock().expect("run log");
        if lines.len() < MAX_LINES {
            lines.push(Line {
                at: self.clock.now(),
                path: self.path.clone(),
                level: match level {
                    LogLevel::Debug => "debug",
                    LogLevel::Info => "info",
                    LogLevel::Warn => "warn",
                    LogLevel::Error => "error",
                },
                message: message.to_owned(),
            });
        }
    }
}

/// Performs one provider call. Whatever happens comes back as an event; none: it did not begin.
pub(super) async fn call(shared: Arc<Shared>, run: RunFacts, mut call: Calling) -> Option<Event> {
    let outcome = match shared.registries.action(&call.action) {
        Some(registered) => perform(&shared, run, &mut call, &registered).await?,
        // It was there when the step began: the plugin has gone since.
        None => {
            let action = &call.action;
            CallOutcome::Broken(format!("no plugin offers the action {action} any more"))
        }
    };
    Some(Event::Called {
        path: call.path,
        attempt: call.attempt,
        outcome,
    })
}

async fn perform(
    shared: &Arc<Shared>,
    run: RunFacts,
    call: &mut Calling,
    action: &Registered<ActionDef>,
) -> Option<CallOutcome> {
    let config = match action.config.migrate_assuming_v1(call.config.take()) {
        Ok(config) => config,
        Err(e) => return Some(CallOutcome::InvalidConfig(e.to_string())),
    };
    let wanted = || !run.cancel.is_cancelled();
    let read = || consumed(shared, &run.head, action);
    let consumed = match super::patiently(&*shared.clock, wanted, read).await {
        Ok(consumed) => consumed,
        Err(e) => {
            let broken = format!("consumed artifacts cannot be read: {e}");
            return Some(CallOutcome::Broken(broken));
        }
    };
    let RunHead {
        run_id,
        automation_id,
        ref context_key,
        ref cause,
    } = run.head;
    // The last moment before it begins: the run may have been cancelled or taken over since it was
    // decided, while artifacts were read or this process stood still.
    let clock = &*shared.clock;
    if !guards::taken_out(Guard::ActsInTime) && !shared.drivers.may_act(run_id, run.epoch, clock) {
        return None;
    }
    let cx = ActionCx {
        consumed,
        scope: ActionScope {
            trigger: trigger_for_actions(&run.base.trigger),
            artifacts: run.locals.artifacts,
            vars: run.locals.variables,
            repeat: run.locals.repeat,
        },
        run_id,
        automation_id,
        context_key: context_key.clone(),
        step_path: call.path.clone(),
        idempotency_key: format!("{run_id}:{}", call.path),
        attempt: call.attempt,
        log: Arc::new(Log {
            lines: run.logs.clone(),
            path: call.path.clone(),
            clock: shared.clock.clone(),
        }),
        services: shared.services.for_consumer(action.owner.clone()),
        cancel: run.cancel,
    };
    let context = RequestContext {
        actor: Actor::automation(automation_id),
        run_id: Some(run_id.uuid()),
        cause: cause.clone(),
    };
    let answer = AssertUnwindSafe(context.scope(action.action.execute(config, &cx)))
        .catch_unwind()
        .await;
    Some(match answer {
        Ok(Ok(result)) => {
            let artifact_error = match (&result.artifact, &action.produces) {
                (Some(data), Some(local)) => {
                    artifacts::check(shared, &action.owner.qualify(local), data)
                }
                _ => None,
            };
            CallOutcome::Answered {
                result,
                artifact_error,
            }
        }
        Ok(Err(e)) => CallOutcome::InvalidConfig(e.to_string()),
        Err(_) => CallOutcome::Broken(format!("the action {} panicked", action.id)),
    })
}

/// `{id, event, actor, payload}`: without the alias that only expressions know.
fn trigger_for_actions(trigger: &Value) -> Value {
    let mut trigger = trigger.clone();
    if let Value::Object(fields) = &mut trigger {
        fields.shift_remove("eventId");
    }
    trigger
}

async fn consumed(
    shared: &Shared,
    head: &RunHead,
    action: &Registered<ActionDef>,
) -> Result<BTreeMap<String, Value>, BoxError> {
    let mut found = BTreeMap::new();
    for local in &action.consumes {
        let data = artifacts::newest_open(&shared.db, head, &action.owner.qualify(local)).await?;
        if let Some(data) = data {
            found.insert(local.clone(), data);
        }
    }
    Ok(found)
}
