//! Artifacts: what actions leave behind (`dispatch §13.13`).

use crate::{commit::RunHead, shared::Shared, walk::tree::Walk};
use automation_core::{ArtifactId, RunId, StepId};
use plugin_api::{Db, Doc, Text, Ts, db::DbError};
use serde_json::Value;

plugin_api::row! {
    /// An artifact (`dispatch §3.4`).
    #[derive(Clone, Debug)]
    pub struct ArtifactRecord {
        /// Its id.
        pub id: ArtifactId,
        /// The run that left it.
        pub run_id: RunId,
        /// The step that left it.
        pub step_id: StepId,
        /// The operator's id of the action.
        pub action_id: Option<String>,
        /// Qualified type.
        pub artifact_type: String,
        /// The data, masked.
        pub data: Doc,
        /// The domain entity it is about.
        pub context_key: Option<String>,
        /// Set: nothing consumes it any more.
        pub closed_at: Option<Ts>,
        /// When it was recorded.
        pub created_at: Ts,
    }
}

impl ArtifactRecord {
    /// Lays it into the scope of a run, if its action has an id; the later one wins.
    pub(crate) fn expose(self, walk: &mut Walk) {
        if let (Some(action_id), Some((_, local))) =
            (&self.action_id, self.artifact_type.split_once('.'))
        {
            walk.expose(action_id, local, self.data.0);
        }
    }
}

plugin_api::statements! {
    pub OF_RUN = "select id, run_id, step_id, action_id, artifact_type, data, context_key, closed_at, created_at from signalbox.automation_artifacts where run_id = $1 order by created_at, id";
    /// Newest open one of the automation and context key, over all its runs.
    pub NEWEST_OPEN = "select data from signalbox.automation_artifacts where automation_id = $1 and context_key = $2 and artifact_type = $3 and closed_at is null order by created_at desc, id desc limit 1";
    /// Without a context key only the run's own artifacts qualify.
    pub NEWEST_OPEN_OF_RUN = "select data from signalbox.automation_artifacts where run_id = $1 and artifact_type = $2 and closed_at is null order by created_at desc, id desc limit 1";
    pub MARK_CLOSED = "update signalbox.automation_artifacts set closed_at = $2 where id = $1 and closed_at is null";
}

/// Artifacts of a run, oldest first.
pub async fn of_run(db: &Db, run: RunId) -> Result<Vec<ArtifactRecord>, DbError> {
    db.sql(OF_RUN).bind(run).all().await
}

/// What an action of this run consumes of a type.
pub async fn newest_open(
    db: &Db,
    head: &RunHead,
    artifact_type: &str,
) -> Result<Option<Value>, DbError> {
    let found: Option<Doc> = match &head.context_key {
        Some(key) => {
            db.sql(NEWEST_OPEN)
                .bind(head.automation_id)
                .bind(Text::new(key.as_str()))
                .bind(artifact_type.to_owned())
                .optional()
                .await?
        }
        None => {
            db.sql(NEWEST_OPEN_OF_RUN)
                .bind(head.run_id)
                .bind(artifact_type.to_owned())
                .optional()
                .await?
        }
    };
    Ok(found.map(|d| d.0))
}

/// Closes an artifact; false when it is unknown or closed already.
pub async fn mark_closed(db: &Db, id: ArtifactId, at: Ts) -> Result<bool, DbError> {
    Ok(db.sql(MARK_CLOSED).bind(id).bind(at).execute().await? == 1)
}

/// Why data does not fit its artifact type (`invalid_artifact`); none when it fits.
pub fn check(shared: &Shared, artifact_type: &str, data: &Value) -> Option<String> {
    let Some(registered) = shared.registries.artifact_type(artifact_type) else {
        return Some(format!("artifact type {artifact_type} is not registered"));
    };
    let checks = shared.artifact_checks.get_or_make(artifact_type, || {
        automation_core::schema::ConfigCheck::new(registered.schema.clone())
    });
    match checks.as_ref() {
        Ok(check) => check
            .strict(data, false)
            .into_iter()
            .next()
            .map(|problem| format!("the artifact does not fit {artifact_type}: {problem}")),
        Err(e) => Some(format!("the schema of {artifact_type} is not valid: {e}")),
    }
}
