//! `/entity-kinds` and `/entities`.

use crate::Api;
use automation_core::access::ENTITY_READ;
use automation_entity::{ErasedKind, TransitionFilter};
use axum::{
    Json,
    extract::{Path, State},
};
use plugin_api::{
    Text,
    http::{ApiQuery, Page, PageQuery, Problem, Routes, fingerprint},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

pub fn routes() -> Routes<Api> {
    Routes::new()
        .get("/entity-kinds", &ENTITY_READ, kinds)
        .get("/entities/{kind}", &ENTITY_READ, many)
        .get("/entities/{kind}/{id}", &ENTITY_READ, one)
        .get(
            "/entities/{kind}/{id}/transitions",
            &ENTITY_READ,
            transitions,
        )
        .get(
            "/entities/{kind}/{id}/transition-count",
            &ENTITY_READ,
            count,
        )
}

/// The id of an entity in a path, as it would be stored: readers ask the database for it.
fn entity(id: String) -> String {
    Text::new(id).into_string()
}

fn kind(api: &Api, name: &str) -> Result<Arc<dyn ErasedKind>, Problem> {
    api.engine
        .entities()
        .kind(name)
        .ok_or_else(|| Problem::not_found(format!("There is no entity kind {name}.")))
}

/// A reader that fails is the owner's outage, not an internal error of the engine.
fn reader(kind: &str, error: &dyn std::fmt::Display) -> Problem {
    tracing::warn!(kind, %error, "The reader of an entity kind failed.");
    Problem::unavailable(format!("The state of {kind} cannot be read at the moment."))
}

async fn kinds(State(api): State<Api>) -> Json<Value> {
    let items: Vec<Value> = api
        .engine
        .entities()
        .kinds()
        .iter()
        .map(|k| {
            let events = api.engine.entities().trigger_events(k.kind());
            json!({"kind": k.kind(), "owner_plugin_id": k.owner().as_str(), "state_schema": k.schema(), "trigger_events": events})
        })
        .collect();
    Json(json!({"items": items}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IdsQuery {
    #[serde(default)]
    id: Vec<String>,
}

async fn many(
    State(api): State<Api>,
    Path(name): Path<String>,
    ApiQuery(q): ApiQuery<IdsQuery>,
) -> Result<Json<Value>, Problem> {
    let kind = kind(&api, &name)?;
    let mut ids: Vec<String> = Vec::new();
    for id in q.id {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    if !(1..=100).contains(&ids.len()) {
        return Err(Problem::bad_parameter("give 1 to 100 ids: ?id=a&id=b"));
    }
    let mut states = kind
        .read_values(&ids)
        .await
        .map_err(|e| reader(&name, &e))?;
    let mut items = Vec::new();
    let mut missing = Vec::new();
    for id in ids {
        match states.remove(&id) {
            Some(state) => items.push(json!({"id": id, "state": state})),
            None => missing.push(id),
        }
    }
    Ok(Json(json!({"items": items, "missing": missing})))
}

async fn one(
    State(api): State<Api>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let kind = kind(&api, &name)?;
    let id = entity(id);
    let mut states = kind
        .read_values(std::slice::from_ref(&id))
        .await
        .map_err(|e| reader(&name, &e))?;
    let state = states
        .remove(&id)
        .ok_or_else(|| Problem::not_found(format!("There is no {name} {id}.")))?;
    let mut fields = json!({});
    for field in kind.fields() {
        let since = api
            .engine
            .in_state_since(&name, &id, field, &state)
            .await
            .map_err(|e| reader(&name, &e))?;
        fields[field] = match since {
            Some((at, ms)) => json!({"in_state_since": at.to_text(), "in_state_for_ms": ms}),
            None => json!({}),
        };
    }
    Ok(Json(
        json!({"kind": name, "id": id, "state": state, "fields": fields}),
    ))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TransitionQuery {
    field: Option<String>,
    from: Option<String>,
    to: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

async fn transitions(
    State(api): State<Api>,
    Path((name, id)): Path<(String, String)>,
    ApiQuery(q): ApiQuery<TransitionQuery>,
) -> Result<Json<Page<Value>>, Problem> {
    kind(&api, &name)?;
    let id = entity(id);
    let paging = PageQuery {
        limit: q.limit,
        cursor: q.cursor,
    };
    let limit = paging.limit()?;
    let filter = TransitionFilter {
        field: q.field,
        from: q.from,
        to: q.to,
    };
    let print = fingerprint(&(&name, &id, &filter));
    let before = paging
        .cursor(&print)?
        .map(|c| c.id.parse::<i64>().map_err(|_| Problem::bad_cursor()))
        .transpose()?;
    let rows = api
        .engine
        .transitions(&name, &id, &filter, before, limit as i64 + 1)
        .await?;
    let page = Page::cut(rows, limit, &print, |t| {
        (t.transitioned_at.millis().to_string(), t.id.to_string())
    });
    let items = page
        .items
        .iter()
        .map(|t| {
            let mut v = json!({"field": t.field, "to_value": t.to_value, "transitioned_at": t.transitioned_at.to_text(), "change_id": t.change_id});
            if let Some(from) = &t.from_value {
                v["from_value"] = from.as_str().into();
            }
            v
        })
        .collect();
    Ok(Json(Page {
        items,
        next_cursor: page.next_cursor,
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CountQuery {
    field: String,
    window_ms: i64,
}

const MONTH_MS: i64 = 30 * 24 * 3_600_000;

async fn count(
    State(api): State<Api>,
    Path((name, id)): Path<(String, String)>,
    ApiQuery(q): ApiQuery<CountQuery>,
) -> Result<Json<Value>, Problem> {
    let kind = kind(&api, &name)?;
    let id = entity(id);
    if !kind.fields().contains(&q.field) {
        return Err(Problem::bad_parameter(format!(
            "{} is not a field of {name}; its fields are {}",
            q.field,
            kind.fields().join(", ")
        )));
    }
    if !(1..=MONTH_MS).contains(&q.window_ms) {
        return Err(Problem::bad_parameter(
            "window_ms must be from 1 to 2592000000 (30 days)",
        ));
    }
    Ok(Json(
        json!({"count": api.engine.transition_count(&name, &id, &q.field, q.window_ms).await.map_err(|e| reader(&name, &e))?}),
    ))
}
