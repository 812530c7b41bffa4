//! `/incidents`: list, open, read, change, add to the timeline, resolve, delete.

use crate::{
    MANAGE, READ,
    model::{
        Incident, IncidentChange, IncidentError, IncidentId, NewIncident, Note, Severity, Status,
        Update,
    },
    store::{Created, ListFilter, Store},
};
use axum::{
    Json,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use plugin_api::http::{
    ApiJson, ApiQuery, FieldError, Page, PageQuery, Problem, Routes, fingerprint, patch,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The plugin's routes.
pub fn routes(store: Store) -> Routes {
    Routes::new()
        .get("/incidents", &READ, list)
        .post("/incidents", &MANAGE, create)
        .get("/incidents/{id}", &READ, get)
        .patch("/incidents/{id}", &MANAGE, change)
        .delete("/incidents/{id}", &MANAGE, delete)
        .post("/incidents/{id}/updates", &MANAGE, add_update)
        .post("/incidents/{id}/resolve", &MANAGE, resolve)
        .with_state(store)
}

impl From<IncidentError> for Problem {
    fn from(e: IncidentError) -> Self {
        match e {
            IncidentError::NotFound(_) => Problem::not_found(e.to_string()),
            IncidentError::Invalid {
                field,
                code,
                reason,
            } => Problem::invalid(
                e.to_string(),
                vec![FieldError {
                    // Bodies of the API are written in snake case, configs of actions are not.
                    pointer: match field {
                        "systemIds" => "/system_ids".into(),
                        field => format!("/{field}"),
                    },
                    code: code.into(),
                    message: reason.into(),
                }],
            ),
            IncidentError::Db(e) => e.into(),
            IncidentError::Entity(e) => (*e).into(),
            IncidentError::Corrupt { .. } => Problem::internal(&e),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// A status, or `open` for all but resolved.
    status: Option<String>,
    system_id: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

async fn list(
    State(store): State<Store>,
    ApiQuery(q): ApiQuery<ListQuery>,
) -> Result<Json<Page<Incident>>, Problem> {
    let filters = fingerprint(&(&q.status, &q.system_id));
    let filter = ListFilter {
        open: q.status.as_deref() == Some("open"),
        status: match q.status.as_deref() {
            None | Some("open") => None,
            Some(text) => Some(Status::parse(text).ok_or_else(|| {
                Problem::bad_parameter("status must be open, investigating, identified, fixing, monitoring or resolved")
            })?),
        },
        system_id: q.system_id,
    };
    let page = PageQuery {
        limit: q.limit,
        cursor: q.cursor,
    };
    let limit = page.limit()?;
    let after = match page.cursor(&filters)? {
        None => None,
        Some(c) => Some(c.instant_and_id::<IncidentId>()?),
    };
    let items = store.page(&filter, after, limit + 1).await?;
    Ok(Json(Page::cut(items, limit, &filters, |i| {
        (i.created_at.millis().to_string(), i.id.to_string())
    })))
}

/// An incident with its timeline.
#[derive(Serialize)]
struct Detail {
    #[serde(flatten)]
    incident: Incident,
    updates: Vec<Update>,
}

async fn get(State(store): State<Store>, Path(id): Path<String>) -> Result<Json<Detail>, Problem> {
    let incident = store.get(&id).await?;
    let updates = store.updates(incident.id).await?;
    Ok(Json(Detail { incident, updates }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    title: String,
    description: Option<String>,
    #[serde(default = "major")]
    severity: Severity,
    system_ids: BTreeSet<String>,
    initial_message: Option<String>,
    #[serde(default)]
    suppress_notifications: bool,
    #[serde(default)]
    dedupe_open_for_system: bool,
}

fn major() -> Severity {
    Severity::Major
}

async fn create(
    State(store): State<Store>,
    ApiJson(c): ApiJson<Create>,
) -> Result<Response, Problem> {
    let created = store
        .create(NewIncident {
            title: c.title,
            description: c.description,
            severity: c.severity,
            system_ids: c.system_ids,
            initial_message: c.initial_message,
            suppress_notifications: c.suppress_notifications,
            dedupe_open_for_system: c.dedupe_open_for_system,
            request: None,
        })
        .await?;
    let status = match created {
        Created::New(_) => StatusCode::CREATED,
        Created::Existing(_) => StatusCode::OK,
    };
    let incident = created.into_incident();
    let location = format!("/api/v1/incidents/{}", incident.id);
    Ok((status, [(header::LOCATION, location)], Json(incident)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Patch {
    #[serde(default, deserialize_with = "patch::given")]
    title: Option<String>,
    #[serde(default, deserialize_with = "patch::clearable")]
    description: Option<Option<String>>,
    #[serde(default, deserialize_with = "patch::given")]
    severity: Option<Severity>,
    #[serde(default, deserialize_with = "patch::given")]
    system_ids: Option<BTreeSet<String>>,
    #[serde(default, deserialize_with = "patch::given")]
    suppress_notifications: Option<bool>,
    #[serde(default, deserialize_with = "patch::given")]
    status: Option<Status>,
}

async fn change(
    State(store): State<Store>,
    Path(id): Path<String>,
    ApiJson(p): ApiJson<Patch>,
) -> Result<Json<Incident>, Problem> {
    let change = IncidentChange {
        title: p.title,
        description: p.description,
        severity: p.severity,
        system_ids: p.system_ids,
        suppress_notifications: p.suppress_notifications,
        note: p
            .status
            .map(|s| Note::OnStatusChange(format!("Status changed to {}", s.as_str()))),
        status: p.status,
        request: None,
    };
    Ok(Json(store.change(&id, change).await?.0))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddUpdate {
    message: String,
    status_change: Option<Status>,
}

async fn add_update(
    State(store): State<Store>,
    Path(id): Path<String>,
    ApiJson(u): ApiJson<AddUpdate>,
) -> Result<Response, Problem> {
    let change = IncidentChange {
        status: u.status_change,
        note: Some(Note::Message(u.message)),
        ..Default::default()
    };
    Ok((
        StatusCode::CREATED,
        Json(store.change(&id, change).await?.0),
    )
        .into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resolve {
    message: Option<String>,
}

async fn resolve(
    State(store): State<Store>,
    Path(id): Path<String>,
    ApiJson(r): ApiJson<Resolve>,
) -> Result<Json<Incident>, Problem> {
    Ok(Json(store.resolve(&id, r.message, None).await?))
}

async fn delete(State(store): State<Store>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    store.delete(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}
