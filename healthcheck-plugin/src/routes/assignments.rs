//! Assignments, below their check and as a list of a system's.

use super::Api;
use crate::{
    evaluate::Thresholds,
    service::{AssignmentInput, NotificationPolicy},
    store::{
        assignments::{self, Assignment},
        configurations,
    },
};
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use plugin_api::{
    Conn, Ts,
    http::{ApiJson, ApiQuery, Problem},
    values::rfc3339,
};
use serde::{Deserialize, Serialize};

/// An assignment as it is sent.
#[derive(Serialize)]
pub(super) struct AssignmentView {
    system_id: String,
    configuration_id: String,
    /// Name of the configuration.
    check: String,
    enabled: bool,
    state_thresholds: Thresholds,
    #[serde(skip_serializing_if = "Option::is_none")]
    notification_policy: Option<NotificationPolicy>,
    #[serde(with = "rfc3339")]
    created_at: Ts,
    #[serde(with = "rfc3339")]
    updated_at: Ts,
}

impl AssignmentView {
    fn of(a: Assignment, check: &str) -> Self {
        Self {
            check: check.to_owned(),
            state_thresholds: a.thresholds(),
            system_id: a.system_id.into_string(),
            configuration_id: a.configuration_id.to_string(),
            enabled: a.enabled,
            // Keys that older versions stored are dropped on read.
            notification_policy: a.notification_policy.and_then(|d| d.decode().ok()),
            created_at: a.created_at,
            updated_at: a.updated_at,
        }
    }
}

/// A whole list; the assignments of one check or system fit on a page.
#[derive(Serialize)]
pub(super) struct All {
    items: Vec<AssignmentView>,
}

pub(super) async fn of_check(
    State(api): State<Api>,
    Path(check): Path<String>,
) -> Result<Json<All>, Problem> {
    let c = api.checks.get(&check).await?;
    let rows = assignments::of_configuration(Conn::Db(&api.checks.db), c.id).await?;
    let view = |a| AssignmentView::of(a, c.name.as_str());
    Ok(Json(All {
        items: rows.into_iter().map(view).collect(),
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfSystem {
    system_id: String,
}

pub(super) async fn list(
    State(api): State<Api>,
    ApiQuery(query): ApiQuery<OfSystem>,
) -> Result<Json<All>, Problem> {
    Ok(Json(all_of(&api, &query.system_id).await?))
}

pub(super) async fn of_system(
    State(api): State<Api>,
    Path(system_id): Path<String>,
) -> Result<Json<All>, Problem> {
    Ok(Json(all_of(&api, &system_id).await?))
}

async fn all_of(api: &Api, system_id: &str) -> Result<All, Problem> {
    let at = || Conn::Db(&api.checks.db);
    let mut items = Vec::new();
    for a in assignments::of_system(at(), system_id).await? {
        if let Some(c) = configurations::by_id(at(), a.configuration_id).await? {
            items.push(AssignmentView::of(a, c.name.as_str()));
        }
    }
    Ok(All { items })
}

/// Assigns, or changes the assignment; repeating it changes nothing.
pub(super) async fn put(
    State(api): State<Api>,
    Path((check, system_id)): Path<(String, String)>,
    ApiJson(input): ApiJson<AssignmentInput>,
) -> Result<Response, Problem> {
    let (a, is_new) = api.checks.assign(&check, &system_id, &input).await?;
    let name = api.checks.get(&check).await?.name;
    let status = if is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(AssignmentView::of(a, name.as_str()))).into_response())
}

pub(super) async fn delete(
    State(api): State<Api>,
    Path((check, system_id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    api.checks.unassign(&check, &system_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Enqueues one run; 202 says that it will happen, not that it has.
pub(super) async fn run(
    State(api): State<Api>,
    Path((check, system_id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    api.checks.run_now(&check, &system_id).await?;
    Ok(StatusCode::ACCEPTED)
}
