//! The health of systems: for people, and as expressions see it.

use super::Api;
use crate::service::SystemHealth;
use axum::{
    Json,
    extract::{Path, RawQuery, State},
};
use plugin_api::http::Problem;
use serde_json::{Map, Value, json};

/// Most systems of one request.
const MOST_SYSTEMS: usize = 100;

/// Status of a system and of each of its checks.
pub(super) async fn system(
    State(api): State<Api>,
    Path(system_id): Path<String>,
) -> Result<Json<SystemHealth>, Problem> {
    Ok(Json(api.checks.system_health(&system_id).await?))
}

/// `?id=…&id=…&window_minutes=`: the provider's view, by system.
pub(super) async fn state(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    let (ids, window) = parse(query.as_deref().unwrap_or(""))?;
    let states = api
        .reader
        .health(&ids, window)
        .await
        .map_err(|e| Problem::internal(&e))?;
    let states: Map<String, Value> = states
        .into_iter()
        .map(|(id, s)| (id, s.to_scope()))
        .collect();
    Ok(Json(json!({ "states": states })))
}

/// A key that may repeat does not fit a struct, so the query is read by hand.
fn parse(query: &str) -> Result<(Vec<String>, u32), Problem> {
    let (mut ids, mut window) = (Vec::new(), 60);
    let url = format!("q:?{query}");
    let url = reqwest::Url::parse(&url)
        .map_err(|_| Problem::bad_parameter("the query string is malformed"))?;
    for (key, value) in url.query_pairs() {
        match key.as_ref() {
            "id" if !value.is_empty() => ids.push(value.into_owned()),
            "window_minutes" => {
                window = value
                    .parse()
                    .ok()
                    .filter(|n| (1..=10_080).contains(n))
                    .ok_or_else(|| {
                        Problem::bad_parameter(
                            "window_minutes must be a whole number from 1 to 10080",
                        )
                    })?;
            }
            other => {
                return Err(Problem::bad_parameter(format!(
                    "unknown or empty parameter {other}"
                )));
            }
        }
    }
    if ids.is_empty() || ids.len() > MOST_SYSTEMS {
        return Err(Problem::bad_parameter(format!(
            "name 1 to {MOST_SYSTEMS} systems as id=…"
        )));
    }
    Ok((ids, window))
}
