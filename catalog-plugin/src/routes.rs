//! `/systems`: list, create, read, change, put, delete.

use crate::{
    MANAGE, READ,
    model::{NewSystem, System, SystemChange, SystemError, name_key},
    store::Store,
};
use axum::{
    Json,
    extract::{Path, State},
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use plugin_api::http::{ApiJson, ApiQuery, FieldError, Page, PageQuery, Problem, Routes};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The plugin's routes.
pub fn routes(store: Store) -> Routes {
    Routes::new()
        .get("/systems", &READ, list)
        .post("/systems", &MANAGE, create)
        .get("/systems/{id}", &READ, get)
        .rehearsable(Method::PUT, "/systems/{id}", &MANAGE, put)
        .rehearsable(Method::PATCH, "/systems/{id}", &MANAGE, patch)
        .delete("/systems/{id}", &MANAGE, delete)
        .with_state(store)
}

impl From<SystemError> for Problem {
    fn from(e: SystemError) -> Self {
        match e {
            SystemError::NotFound(_) => Problem::not_found(e.to_string()),
            SystemError::NameTaken(_) | SystemError::IdTaken(_) => {
                Problem::conflict("already_exists", e.to_string())
            }
            SystemError::Invalid { field, ref reason } => Problem::invalid(
                e.to_string(),
                vec![FieldError {
                    pointer: format!("/{field}"),
                    code: "bad_format".into(),
                    message: reason.clone(),
                }],
            ),
            SystemError::Db(e) => e.into(),
            SystemError::Entity(e) => (*e).into(),
        }
    }
}

async fn list(
    State(store): State<Store>,
    ApiQuery(query): ApiQuery<PageQuery>,
) -> Result<Json<Page<System>>, Problem> {
    let limit = query.limit()?;
    let after = query.cursor("systems")?;
    let (key, id) = after
        .as_ref()
        .map_or(("", ""), |c| (c.key.as_str(), c.id.as_str()));
    let items = store.page((key, id), limit + 1).await?;
    Ok(Json(Page::cut(items, limit, "systems", |s| {
        (name_key(&s.name), s.id.clone())
    })))
}

async fn create(
    State(store): State<Store>,
    ApiJson(new): ApiJson<NewSystem>,
) -> Result<Response, Problem> {
    let system = store.create(new).await?;
    let location = format!("/api/v1/systems/{}", system.id);
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        Json(system),
    )
        .into_response())
}

async fn get(State(store): State<Store>, Path(id): Path<String>) -> Result<Json<System>, Problem> {
    Ok(Json(store.get(&id).await?))
}

async fn patch(
    State(store): State<Store>,
    Path(id): Path<String>,
    ApiJson(change): ApiJson<SystemChange>,
) -> Result<Json<System>, Problem> {
    Ok(Json(store.change(&id, change).await?))
}

/// The whole system; what is absent is cleared.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Put {
    name: String,
    description: Option<String>,
    #[serde(default)]
    metadata: Map<String, Value>,
}

/// Creates or replaces under an id the caller chose: declaring twice changes nothing.
async fn put(
    State(store): State<Store>,
    Path(id): Path<String>,
    ApiJson(put): ApiJson<Put>,
) -> Result<Response, Problem> {
    let change = SystemChange {
        name: Some(put.name.clone()),
        description: Some(put.description.clone()),
        metadata: Some(Some(put.metadata.clone())),
    };
    match store.change(&id, change.clone()).await {
        Err(SystemError::NotFound(_)) => {}
        changed => return Ok(Json(changed?).into_response()),
    }
    let new = NewSystem {
        id: Some(id.clone()),
        name: put.name,
        description: put.description,
        metadata: put.metadata,
    };
    match store.create(new).await {
        // Somebody declared it in between.
        Err(SystemError::IdTaken(_)) => Ok(Json(store.change(&id, change).await?).into_response()),
        created => Ok((StatusCode::CREATED, Json(created?)).into_response()),
    }
}

async fn delete(State(store): State<Store>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    store.delete(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}
