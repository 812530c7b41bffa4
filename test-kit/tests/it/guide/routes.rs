//! The plugin's routes, each with the rule that it needs.

use super::{
    entity::{Backup, Status},
    store::Store,
};
use automation_entity::MutateError;
use axum::{
    Json,
    extract::{Path, State},
};
use plugin_api::{
    AccessRule,
    http::{ApiJson, Problem, Routes},
};
use serde::Deserialize;

pub const READ: AccessRule = AccessRule::new("backup.read", "See backups").default_for_users();
pub const MANAGE: AccessRule = AccessRule::new("backup.manage", "Report how backups went");

/// Mounted below `/api/v1`.
pub fn routes(store: Store) -> Routes {
    Routes::new()
        .get("/backups/{id}", &READ, get)
        .put("/backups/{id}", &MANAGE, put)
        .with_state(store)
}

async fn get(State(store): State<Store>, Path(id): Path<String>) -> Result<Json<Backup>, Problem> {
    let found = store.handle.get(&id).await;
    let found = found.map_err(|e| Problem::internal(&e))?;
    let missing = || Problem::not_found(format!("There is no backup {id}."));
    found.map(Json).ok_or_else(missing)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Report {
    status: Status,
    megabytes: f64,
}

async fn put(
    State(store): State<Store>,
    Path(id): Path<String>,
    ApiJson(report): ApiJson<Report>,
) -> Result<Json<Backup>, Problem> {
    let done = store.finished(&id, report.status, report.megabytes).await;
    done.map(Json).map_err(|e| match e {
        MutateError::Busy { .. } => Problem::unavailable(e.to_string()),
        e => Problem::internal(&e),
    })
}
