//! Telling connected clients what a commit changed (`api §5`): after it, never as part of it.

use crate::{
    commit::{Fence, RunCommit, Verdict},
    shared::Shared,
    walk::decide::Rest,
};
use automation_core::{AutomationId, RunId};
use serde_json::json;

/// A run was created. `{run_id, automation_id, trigger_id, context_key?}`
pub const RUN_STARTED: &str = "automation.run.started";
/// A run's status changed. `{run_id, automation_id, status, error_code?, error_message?}`
pub const RUN_STATUS: &str = "automation.run.status";
/// A step began, waits or ended. `{run_id, step_id, action_path, status}`
pub const RUN_STEP: &str = "automation.run.step";

/// Announces what one commit of one run changed.
pub fn committed(shared: &Shared, commit: &RunCommit, verdict: Verdict) {
    if matches!(verdict, Verdict::Lost | Verdict::Duplicate) {
        return;
    }
    let masks = shared.secrets.set(commit.head.run_id.uuid().as_u128());
    let send = |signal: &str, payload| shared.signals.broadcast(signal, masks.mask_json(payload));
    let (run, automation) = (commit.head.run_id, commit.head.automation_id);
    if let Fence::New(new) = &commit.fence {
        let mut payload =
            json!({"run_id": run, "automation_id": automation, "trigger_id": new.trigger_id});
        if let Some(key) = &commit.head.context_key {
            payload["context_key"] = json!(key);
        }
        send(RUN_STARTED, payload);
    }
    for (id, path, status) in commit.step_facts() {
        send(
            RUN_STEP,
            json!({"run_id": run, "step_id": id, "action_path": path, "status": status}),
        );
    }
    match (&commit.rest, verdict) {
        (Rest::Finished { status, code, .. }, _) => {
            let mut payload = json!({"run_id": run, "automation_id": automation, "status": status});
            if let Some(code) = code {
                payload["error_code"] = json!(code);
            }
            if let Some(message) = commit.message_text() {
                payload["error_message"] = json!(message);
            }
            send(RUN_STATUS, payload);
        }
        (_, Verdict::Resting) => send(RUN_STATUS, status(run, automation, "waiting")),
        _ if commit.resumed || matches!(commit.fence, Fence::Turn(_)) => {
            send(RUN_STATUS, status(run, automation, "running"))
        }
        _ => {}
    }
}

fn status(run: RunId, automation: AutomationId, status: &str) -> serde_json::Value {
    json!({"run_id": run, "automation_id": automation, "status": status})
}

/// Announces that a run was ended from outside its walk.
pub fn ended(shared: &Shared, run: RunId, automation: AutomationId, status: &str, code: &str) {
    let payload =
        json!({"run_id": run, "automation_id": automation, "status": status, "error_code": code});
    let masks = shared.secrets.set(run.uuid().as_u128());
    shared
        .signals
        .broadcast(RUN_STATUS, masks.mask_json(payload));
}
