//! What a run's expressions and scripts saw, rebuilt from its rows (`dispatch §16`, `scripts §8.2`):
//! the trigger from the run row, artifacts from theirs, variables and `repeat` from the state row while
//! there is one. Nothing is walked and nothing is read live.

use crate::{
    drive::{base_of, read_walk},
    engine::Engine,
    store::{
        artifacts,
        runs::{self, RunRecord, StepRecord},
    },
    walk::{path, tree::Walk},
};
use automation_core::StepId;
use plugin_api::{Doc, db::DbError};
use serde_json::{Map, Value, json};
use std::{collections::HashSet, sync::Arc};

plugin_api::statements! {
    pub SNAPSHOT = "select scope_snapshot from signalbox.automation_run_state where run_id = $1";
}

/// The scope of a run (`api §5.3`), masked.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplayScope {
    /// `{trigger: {id, event, actor, payload}, artifacts, var, repeat?}`
    pub context: Value,
    /// False: the run has no readable checkpoint, as after its end, so that `var` is empty and
    /// `repeat` is missing.
    pub scope_snapshot_available: bool,
}

/// Why a scope could not be rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The version that the run executes has no action there.
    #[error("the definition of the run has no action at {path}")]
    NoSuchAction {
        /// What was asked for.
        path: String,
    },
    /// The database refused.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl Engine {
    /// The scope of a run; at the action at `at`, or without a place (`dispatch §16`).
    ///
    /// # Errors
    /// [`ReplayError`].
    pub async fn replay_scope(
        &self,
        run: &RunRecord,
        at: Option<&str>,
    ) -> Result<ReplayScope, ReplayError> {
        let shared = &self.shared;
        if let Some(at) = at {
            self.known_action(run, at).await?;
        }
        let stored: Option<Doc> = shared.db.sql(SNAPSHOT).bind(run.id).optional().await?;
        let checkpoint = stored.as_ref().and_then(readable);
        let scope_snapshot_available = checkpoint.is_some();
        let mut walk = checkpoint.unwrap_or_default();
        let all = artifacts::of_run(&shared.db, run.id).await?;
        let seen = match at {
            Some(at) => Some(finished_before(at, &runs::steps(&shared.db, run.id).await?)),
            None => None,
        };
        for a in all {
            if seen.as_ref().is_none_or(|s| s.contains(&a.step_id)) {
                a.expose(&mut walk);
            }
        }
        let locals = walk.locals(at.unwrap_or_default());
        let base = base_of(run, Arc::default());
        let trigger = json!({
            "id": base.trigger["id"], "event": base.trigger["event"],
            "actor": base.trigger["actor"], "payload": base.trigger["payload"],
        });
        // What is stored was masked then; a secret that the run has resolved since was not known.
        let masks = shared.secrets.set(run.id.uuid().as_u128());
        let mut context = json!({
            "trigger": masks.mask_json(trigger),
            "artifacts": masks.mask_document(locals.artifacts),
            "var": masks.mask_document(locals.variables),
        });
        if let Some(repeat) = locals.repeat {
            context["repeat"] = masks.mask_json(repeat).into_inner();
        }
        Ok(ReplayScope {
            context,
            scope_snapshot_available,
        })
    }

    /// A version that is gone, or does not compile any more, cannot tell; any path is taken then.
    async fn known_action(&self, run: &RunRecord, at: &str) -> Result<(), ReplayError> {
        let version = run.definition_version;
        let program = self.shared.automations.program(run.automation_id, version);
        let known = match program.await {
            Ok(Some(program)) => path::action(&program.actions, at).is_some(),
            _ => true,
        };
        if known {
            return Ok(());
        }
        Err(ReplayError::NoSuchAction {
            path: at.to_owned(),
        })
    }
}

/// The checkpoint, if this program can read it; malformed variables count as none (`scripts §8.2`).
fn readable(stored: &Doc) -> Option<Walk> {
    let mut walk = read_walk(stored).ok().flatten()?;
    if !walk.variables.is_object() {
        walk.variables = Value::Object(Map::new());
    }
    Some(walk)
}

/// Steps that had ended when the action at a path began, as that action sees them: not what is in
/// itself, and nothing of sibling branches of a `parallel`. An action that has not begun is after all
/// that has ended.
fn finished_before(at: &str, steps: &[StepRecord]) -> HashSet<StepId> {
    let begun = steps.iter().find(|s| s.action_path == at);
    let inside = |s: &StepRecord| {
        let rest = s.action_path.strip_prefix(at);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let before = |s: &StepRecord| match (s.finished_at, begun) {
        (None, _) => false,
        (Some(_), None) => true,
        // Within one millisecond the order in which they were begun decides.
        (Some(end), Some(b)) => end <= b.started_at && (s.started_at, s.id) < (b.started_at, b.id),
    };
    steps
        .iter()
        .filter(|s| before(s) && !inside(s) && !path::apart(&s.action_path, at))
        .map(|s| s.id)
        .collect()
}
