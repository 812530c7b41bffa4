//! `/checks`: configurations.

use super::Api;
use crate::{
    service::CheckError,
    store::configurations::{self, Configuration},
    validate::CheckInput,
};
use axum::{
    Json,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use plugin_api::{
    Conn, Id, Ts,
    http::{ApiJson, ApiQuery, Page, PageQuery, Problem, fingerprint},
    values::rfc3339,
};
use serde::Serialize;
use serde_json::{Value, json};

/// A configuration as it is sent. `config` and `collectors` are as authored.
#[derive(Serialize)]
pub(super) struct CheckView {
    id: String,
    name: String,
    strategy: String,
    interval_seconds: i64,
    config: Value,
    collectors: Value,
    paused: bool,
    #[serde(with = "rfc3339")]
    created_at: Ts,
    #[serde(with = "rfc3339")]
    updated_at: Ts,
}

impl From<Configuration> for CheckView {
    fn from(c: Configuration) -> Self {
        Self {
            id: c.id.to_string(),
            name: c.name.into_string(),
            strategy: c.strategy_id,
            interval_seconds: c.interval_seconds,
            config: c.config.0,
            collectors: c.collectors.map_or_else(|| json!([]), |d| d.0),
            paused: c.paused,
            created_at: c.created_at,
            updated_at: c.updated_at,
        }
    }
}

pub(super) async fn list(
    State(api): State<Api>,
    ApiQuery(page): ApiQuery<PageQuery>,
) -> Result<Json<Page<CheckView>>, Problem> {
    let filters = fingerprint(&"checks");
    let limit = page.limit()?;
    let after = match page.cursor(&filters)? {
        None => (String::new(), Id(uuid::Uuid::nil())),
        Some(c) => {
            let id = c.id.parse().map_err(|_| Problem::bad_cursor())?;
            (c.key, Id(id))
        }
    };
    let at = Conn::Db(&api.checks.db);
    let rows = configurations::list(at, (&after.0, after.1), limit + 1).await?;
    let views: Vec<CheckView> = rows.into_iter().map(Into::into).collect();
    Ok(Json(Page::cut(views, limit, &filters, |c| {
        (configurations::name_key(&c.name), c.id.clone())
    })))
}

/// A body that names the check beside what a change takes. A name that is no text is one issue among
/// the others.
fn named(body: Value) -> (String, CheckInput) {
    let mut body = body;
    let name = body.as_object_mut().and_then(|b| b.shift_remove("name"));
    let input = CheckInput::read(&body);
    match name {
        Some(Value::String(name)) => (name, input),
        _ => (String::new(), input.with_issue("name", "must be a text")),
    }
}

pub(super) async fn create(
    State(api): State<Api>,
    ApiJson(body): ApiJson<Value>,
) -> Result<Response, Problem> {
    let (name, input) = named(body);
    let c = api.checks.create(&name, &input).await?;
    Ok(created(c))
}

fn created(c: Configuration) -> Response {
    let location = [(header::LOCATION, format!("/api/v1/checks/{}", c.id))];
    (StatusCode::CREATED, location, Json(CheckView::from(c))).into_response()
}

/// Says everything that is wrong with a check, or what would be stored: `{issues, normalized?}`.
/// An issue is `{severity, code, path, message}`.
pub(super) async fn validate(
    State(api): State<Api>,
    ApiJson(body): ApiJson<Value>,
) -> Result<Json<Value>, Problem> {
    let (name, input) = named(body);
    match api.checks.validate(&name, &input) {
        Ok(valid) => Ok(Json(json!({
            "issues": [],
            "normalized": {
                "strategy": valid.strategy_id,
                "config": valid.config,
                "collectors": valid.collectors,
                "interval_seconds": valid.interval_seconds,
            },
        }))),
        Err(CheckError::Invalid(issues)) => {
            let issues: Vec<Value> = issues
                .into_iter()
                .map(|i| {
                    json!({
                        "severity": "error",
                        "code": "invalid_check",
                        "path": i.path,
                        "message": i.message,
                    })
                })
                .collect();
            Ok(Json(json!({ "issues": issues })))
        }
        Err(other) => Err(other.into()),
    }
}

pub(super) async fn get(
    State(api): State<Api>,
    Path(check): Path<String>,
) -> Result<Json<CheckView>, Problem> {
    Ok(Json(api.checks.get(&check).await?.into()))
}

/// Creates or changes by name or id; a `name` in the body is its name from now on. Repeating it
/// changes nothing.
pub(super) async fn put(
    State(api): State<Api>,
    Path(check): Path<String>,
    ApiJson(body): ApiJson<Value>,
) -> Result<Response, Problem> {
    let named_otherwise = body.get("name").is_some();
    let (name, input) = if named_otherwise {
        let (name, input) = named(body);
        (Some(name), input)
    } else {
        (None, CheckInput::read(&body))
    };
    let (c, is_new) = api.checks.put(&check, name.as_deref(), &input).await?;
    Ok(if is_new {
        created(c)
    } else {
        Json(CheckView::from(c)).into_response()
    })
}

pub(super) async fn delete(
    State(api): State<Api>,
    Path(check): Path<String>,
) -> Result<StatusCode, Problem> {
    api.checks.delete(&check).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn pause(
    State(api): State<Api>,
    Path(check): Path<String>,
) -> Result<Json<CheckView>, Problem> {
    Ok(Json(api.checks.set_paused(&check, true).await?.into()))
}

pub(super) async fn resume(
    State(api): State<Api>,
    Path(check): Path<String>,
) -> Result<Json<CheckView>, Problem> {
    Ok(Json(api.checks.set_paused(&check, false).await?.into()))
}
