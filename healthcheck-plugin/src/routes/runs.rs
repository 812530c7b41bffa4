//! The history of runs.

use super::Api;
use crate::{
    executor::worker::ExecutorStats,
    store::runs::{self, Run},
};
use axum::{
    Json,
    extract::{Path, State},
};
use plugin_api::{
    Conn, Id, Ts,
    http::{ApiQuery, Page, PageQuery, Problem, fingerprint},
    values::rfc3339,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A run as it is sent.
#[derive(Serialize)]
pub(super) struct RunView {
    id: String,
    configuration_id: String,
    system_id: String,
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Value>,
    #[serde(with = "rfc3339")]
    timestamp: Ts,
}

impl From<Run> for RunView {
    fn from(r: Run) -> Self {
        Self {
            id: r.id.to_string(),
            configuration_id: r.configuration_id.to_string(),
            system_id: r.system_id.into_string(),
            status: r.status,
            latency_ms: r.latency_ms,
            result: r.result.map(|d| d.0),
            timestamp: r.timestamp,
        }
    }
}

/// Whose runs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RunsQuery {
    system_id: String,
    /// Name or id.
    check: String,
    limit: Option<String>,
    cursor: Option<String>,
}

/// Runs of one assignment, newest first.
pub(super) async fn list(
    State(api): State<Api>,
    ApiQuery(q): ApiQuery<RunsQuery>,
) -> Result<Json<Page<RunView>>, Problem> {
    let c = api.checks.get(&q.check).await?;
    let filters = fingerprint(&(&q.system_id, c.id));
    let page = PageQuery {
        limit: q.limit,
        cursor: q.cursor,
    };
    let limit = page.limit()?;
    let before = match page.cursor(&filters)? {
        // Later than any run.
        None => (Ts::from_millis(253_402_300_799_000), Id(uuid::Uuid::max())),
        Some(cursor) => {
            let (at, id) = cursor.instant_and_id()?;
            (at, Id(id))
        }
    };
    let at = Conn::Db(&api.checks.db);
    let rows = runs::page(at, &q.system_id, c.id, before, limit + 1).await?;
    let views: Vec<RunView> = rows.into_iter().map(Into::into).collect();
    Ok(Json(Page::cut(views, limit, &filters, |r| {
        (r.timestamp.millis().to_string(), r.id.clone())
    })))
}

pub(super) async fn get(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<RunView>, Problem> {
    let not_found = || Problem::not_found(format!("run {id:?} of a check does not exist"));
    let parsed = id.parse().map(Id).map_err(|_| not_found())?;
    let run = runs::get(Conn::Db(&api.checks.db), parsed).await?;
    Ok(Json(run.ok_or_else(not_found)?.into()))
}

/// What this process's executor has done since it started.
pub(super) async fn executor(State(api): State<Api>) -> Json<ExecutorStats> {
    Json(api.worker.stats())
}
