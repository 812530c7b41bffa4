//! Runs and steps, as they are stored and as the API shows them.

use super::artifacts::ArtifactRecord;
use crate::engine::Engine;
use automation_core::{ArtifactId, AutomationId, RunId, StepId};
use plugin_api::{Conn, Db, Doc, Id, Text, Ts, db::DbError};

plugin_api::row! {
    /// A run (`dispatch §3.2`).
    #[derive(Clone, Debug)]
    pub struct RunRecord {
        /// Its id.
        pub id: RunId,
        /// Its automation.
        pub automation_id: AutomationId,
        /// Effective trigger id.
        pub trigger_id: String,
        /// Qualified event id.
        pub trigger_event_id: String,
        /// What the event carried.
        pub trigger_payload: Doc,
        /// The domain entity it is about.
        pub context_key: Option<String>,
        /// `dispatch §9.1`
        pub status: String,
        /// `dispatch §19`
        pub error_code: Option<String>,
        /// Failure, or reason of a stop.
        pub error_message: Option<String>,
        /// Who caused it.
        pub actor: Doc,
        /// The version it executes.
        pub definition_version: i64,
        /// What led to it, itself included.
        pub cause: Option<Doc>,
        /// When it began.
        pub started_at: Ts,
        /// When it ended.
        pub finished_at: Option<Ts>,
    }
}

plugin_api::row! {
    /// A step (`dispatch §3.3`).
    #[derive(Clone, Debug)]
    pub struct StepRecord {
        /// Its id.
        pub id: StepId,
        /// `dispatch §11`
        pub action_path: String,
        /// The operator's id.
        pub action_id: Option<String>,
        /// Kind of action.
        pub action_kind: String,
        /// Only for kind `action`.
        pub provider_action_id: Option<String>,
        /// `running`, `success`, `failed`, `skipped`, `waiting`.
        pub status: String,
        /// Executions.
        pub attempts: i64,
        /// `dispatch §19`
        pub error_code: Option<String>,
        /// For people.
        pub error_message: Option<String>,
        /// `dispatch §12.2`
        pub result_payload: Option<Doc>,
        /// When it began.
        pub started_at: Ts,
        /// When it ended.
        pub finished_at: Option<Ts>,
    }
}

plugin_api::row! {
    /// A line of a run log.
    #[derive(Clone, Debug)]
    pub struct LogRecord {
        /// Orders lines.
        pub id: Id,
        /// The step that wrote it.
        pub action_path: Option<String>,
        /// When.
        pub at: Ts,
        /// `debug`, `info`, `warn`, `error`.
        pub level: String,
        /// The line.
        pub message: String,
    }
}

plugin_api::statements! {
    pub GET = "select id, automation_id, trigger_id, trigger_event_id, trigger_payload, context_key, status, error_code, error_message, actor, definition_version, cause, started_at, finished_at from signalbox.automation_runs where id = $1";
    pub GET_MANY = {
        sqlite: "select id, automation_id, trigger_id, trigger_event_id, trigger_payload, context_key, status, error_code, error_message, actor, definition_version, cause, started_at, finished_at from automation_runs where id in (select value from json_each($1))",
        postgres: "select id, automation_id, trigger_id, trigger_event_id, trigger_payload, context_key, status, error_code, error_message, actor, definition_version, cause, started_at, finished_at from signalbox.automation_runs where id = any($1)",
    };
    /// Newest first. `$1` automation, `$2` statuses, `$3` trigger, `$4` context key, `$5` `$6` from
    /// when until when, `$7` `$8` the last row of the page before, `$9` how many; null or empty: any.
    pub LIST = {
        sqlite: "select id, automation_id, trigger_id, trigger_event_id, trigger_payload, context_key, status, error_code, error_message, actor, definition_version, cause, started_at, finished_at from automation_runs where ($1 is null or automation_id = $1) and (json_array_length($2) = 0 or status in (select value from json_each($2))) and ($3 is null or trigger_id = $3) and ($4 is null or context_key = $4) and ($5 is null or started_at >= $5) and ($6 is null or started_at < $6) and ($7 is null or (started_at, id) < ($7, $8)) order by started_at desc, id desc limit $9",
        postgres: "select id, automation_id, trigger_id, trigger_event_id, trigger_payload, context_key, status, error_code, error_message, actor, definition_version, cause, started_at, finished_at from signalbox.automation_runs where ($1::uuid is null or automation_id = $1) and (cardinality($2::text[]) = 0 or status = any($2)) and ($3::text is null or trigger_id = $3) and ($4::text is null or context_key = $4) and ($5::timestamptz is null or started_at >= $5) and ($6::timestamptz is null or started_at < $6) and ($7::timestamptz is null or (started_at, id) < ($7, $8::uuid)) order by started_at desc, id desc limit $9",
    };
    /// In the order they were begun.
    pub STEPS = "select id, action_path, action_id, action_kind, provider_action_id, status, attempts, error_code, error_message, result_payload, started_at, finished_at from signalbox.automation_run_steps where run_id = $1 order by started_at, id";
    pub STEPS_PAGE = "select id, action_path, action_id, action_kind, provider_action_id, status, attempts, error_code, error_message, result_payload, started_at, finished_at from signalbox.automation_run_steps where run_id = $1 and (started_at, id) > ($2, $3) order by started_at, id limit $4";
    pub ARTIFACTS_PAGE = "select id, run_id, step_id, action_id, artifact_type, data, context_key, closed_at, created_at from signalbox.automation_artifacts where run_id = $1 and (created_at, id) > ($2, $3) order by created_at, id limit $4";
    pub LOGS_PAGE = "select id, action_path, at, level, message from signalbox.automation_run_logs where run_id = $1 and id > $2 order by id limit $3";
    pub LOGS = "select id, action_path, at, level, message from signalbox.automation_run_logs where run_id = $1 order by id";
}

/// Which runs to list.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Of one automation.
    pub automation_id: Option<AutomationId>,
    /// With one of these statuses; empty: with any.
    pub statuses: Vec<String>,
    /// Started by this trigger (its effective id).
    pub trigger_id: Option<String>,
    /// About this entity.
    pub context_key: Option<String>,
    /// Started at this instant or later.
    pub started_after: Option<Ts>,
    /// Started before this instant.
    pub started_before: Option<Ts>,
}

/// One run.
pub async fn get<'a>(at: impl Into<Conn<'a>>, id: RunId) -> Result<Option<RunRecord>, DbError> {
    at.into().sql(GET).bind(id).optional().await
}

/// Several runs, in no order.
pub async fn get_many<'a>(
    at: impl Into<Conn<'a>>,
    ids: &[uuid::Uuid],
) -> Result<Vec<RunRecord>, DbError> {
    at.into().sql(GET_MANY).ids(ids).all().await
}

/// A page of runs, newest first, after the row `(started_at, id)`.
pub async fn list(
    db: &Db,
    filter: &RunFilter,
    after: Option<(Ts, RunId)>,
    limit: u32,
) -> Result<Vec<RunRecord>, DbError> {
    db.sql(LIST)
        .bind(filter.automation_id)
        .texts(&filter.statuses)
        .bind(filter.trigger_id.clone().map(Text::new))
        .bind(filter.context_key.clone().map(Text::new))
        .bind(filter.started_after)
        .bind(filter.started_before)
        .bind(after.map(|a| a.0))
        .bind(after.map(|a| a.1))
        .bind(i64::from(limit))
        .all()
        .await
}

/// Steps of a run.
pub async fn steps(db: &Db, run: RunId) -> Result<Vec<StepRecord>, DbError> {
    db.sql(STEPS).bind(run).all().await
}

/// Log lines of a run.
pub async fn logs(db: &Db, run: RunId) -> Result<Vec<LogRecord>, DbError> {
    db.sql(LOGS).bind(run).all().await
}

/// Before every row of a page that begins with an instant and an id.
fn first() -> (Ts, uuid::Uuid) {
    (Ts::from_millis(0), uuid::Uuid::nil())
}

/// Pages of what belongs to a run, each in a fixed order that nothing written later changes.
impl Engine {
    /// Up to `limit` steps in the order they were begun, after the row `(started_at, id)`.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn steps_page(
        &self,
        run: RunId,
        after: Option<(Ts, StepId)>,
        limit: usize,
    ) -> Result<Vec<StepRecord>, DbError> {
        let (at, id) = after.map_or_else(first, |(at, id)| (at, id.uuid()));
        let query = self.shared.db.sql(STEPS_PAGE).bind(run).bind(at);
        query.bind(Id(id)).bind(limit as i64).all().await
    }

    /// Up to `limit` artifacts, oldest first, after the row `(created_at, id)`.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn artifacts_page(
        &self,
        run: RunId,
        after: Option<(Ts, ArtifactId)>,
        limit: usize,
    ) -> Result<Vec<ArtifactRecord>, DbError> {
        let (at, id) = after.map_or_else(first, |(at, id)| (at, id.uuid()));
        let query = self.shared.db.sql(ARTIFACTS_PAGE).bind(run).bind(at);
        query.bind(Id(id)).bind(limit as i64).all().await
    }

    /// Up to `limit` log lines, oldest first, after the line with this id.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn logs_page(
        &self,
        run: RunId,
        after: Option<Id>,
        limit: usize,
    ) -> Result<Vec<LogRecord>, DbError> {
        let after = after.unwrap_or(Id(uuid::Uuid::nil()));
        let query = self.shared.db.sql(LOGS_PAGE).bind(run).bind(after);
        query.bind(limit as i64).all().await
    }
}
