//! `/runs`, and runs of one automation.

use crate::{
    Api,
    bodies::id,
    problems::{of_cancel, of_manual, of_replay, of_store},
};
use automation_core::{
    ArtifactId, AutomationId, RunId, StepId,
    access::{MANAGE, READ},
};
use automation_dispatch::{
    ManualFiring, ManualRun,
    store::{
        artifacts::ArtifactRecord,
        runs::{LogRecord, RunFilter, RunRecord, StepRecord},
    },
};
use axum::{
    Json,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use plugin_api::{
    Id, RequestContext, Ts,
    http::{ApiJson, ApiQuery, Page, PageQuery, Problem, Routes, fingerprint},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

pub fn routes() -> Routes<Api> {
    Routes::new()
        .get("/runs", &READ, list)
        .get("/runs/{id}", &READ, get)
        .get("/runs/{id}/steps", &READ, steps)
        .get("/runs/{id}/artifacts", &READ, artifacts)
        .get("/runs/{id}/logs", &READ, logs)
        .get("/runs/{id}/replay-scope", &READ, replay_scope)
        .post("/runs/{id}/cancel", &MANAGE, cancel)
        .get("/automations/{id}/runs", &READ, list_of)
        .post("/automations/{id}/runs", &MANAGE, start)
}

/// A document without its nulls: absent means not set (`api §1.3`).
fn compact(v: Value) -> Value {
    match v {
        Value::Object(m) => Value::Object(
            m.into_iter()
                .filter(|(_, v)| !v.is_null())
                .collect::<Map<_, _>>(),
        ),
        v => v,
    }
}

fn text(t: Option<Ts>) -> Option<String> {
    t.map(Ts::to_text)
}

fn run(r: &RunRecord) -> Value {
    compact(json!({
        "id": r.id, "automation_id": r.automation_id, "definition_version": r.definition_version,
        "trigger_id": r.trigger_id, "trigger_event_id": r.trigger_event_id, "trigger_payload": r.trigger_payload,
        "actor": r.actor, "context_key": r.context_key, "status": r.status,
        "error_code": r.error_code, "error_message": r.error_message,
        "started_at": r.started_at.to_text(), "finished_at": text(r.finished_at),
    }))
}

fn step(s: &StepRecord, run: RunId) -> Value {
    compact(json!({
        "id": s.id, "run_id": run, "action_path": s.action_path, "action_id": s.action_id, "action_kind": s.action_kind,
        "provider_action_id": s.provider_action_id, "status": s.status, "attempts": s.attempts,
        "error_code": s.error_code, "error_message": s.error_message, "result_payload": s.result_payload,
        "started_at": s.started_at.to_text(), "finished_at": text(s.finished_at),
    }))
}

fn artifact(a: &ArtifactRecord, automation: AutomationId) -> Value {
    compact(json!({
        "id": a.id, "automation_id": automation, "run_id": a.run_id, "step_id": a.step_id, "action_id": a.action_id, "artifact_type": a.artifact_type,
        "data": a.data, "context_key": a.context_key, "closed_at": text(a.closed_at), "created_at": a.created_at.to_text(),
    }))
}

fn log(l: &LogRecord) -> Value {
    compact(
        json!({"at": l.at.to_text(), "level": l.level, "message": l.message, "action_path": l.action_path}),
    )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    automation_id: Option<String>,
    #[serde(default)]
    status: Vec<String>,
    trigger_id: Option<String>,
    context_key: Option<String>,
    started_after: Option<String>,
    started_before: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

const STATUSES: [&str; 7] = [
    "pending",
    "running",
    "waiting",
    "success",
    "failed",
    "cancelled",
    "skipped",
];

fn instant(name: &str, text: Option<String>) -> Result<Option<Ts>, Problem> {
    text.map(|t| {
        Ts::parse(&t).ok_or_else(|| {
            Problem::bad_parameter(format!(
                "{name} must be an instant such as 2026-01-15T12:00:00.000Z"
            ))
        })
    })
    .transpose()
}

async fn page(
    api: &Api,
    q: ListQuery,
    automation_id: Option<AutomationId>,
) -> Result<Json<Page<Value>>, Problem> {
    if let Some(s) = q.status.iter().find(|s| !STATUSES.contains(&s.as_str())) {
        return Err(Problem::bad_parameter(format!(
            "status {s} is not known; one of {}",
            STATUSES.join(", ")
        )));
    }
    let mut statuses = q.status;
    statuses.sort_unstable();
    statuses.dedup();
    let filter = RunFilter {
        automation_id,
        statuses,
        trigger_id: q.trigger_id,
        context_key: q.context_key,
        started_after: instant("started_after", q.started_after)?,
        started_before: instant("started_before", q.started_before)?,
    };
    let print = fingerprint(&(
        &filter.automation_id,
        &filter.statuses,
        &filter.trigger_id,
        &filter.context_key,
        &filter.started_after,
        &filter.started_before,
    ));
    let paging = PageQuery {
        limit: q.limit,
        cursor: q.cursor,
    };
    let limit = paging.limit()?;
    let after = paging
        .cursor(&print)?
        .map(|c| c.instant_and_id::<RunId>())
        .transpose()?;
    let found = api.engine.runs(&filter, after, limit as u32 + 1).await?;
    let page = Page::cut(found, limit, &print, |r: &RunRecord| {
        (r.started_at.millis().to_string(), r.id.to_string())
    });
    Ok(Json(Page {
        items: page.items.iter().map(run).collect(),
        next_cursor: page.next_cursor,
    }))
}

async fn list(
    State(api): State<Api>,
    ApiQuery(q): ApiQuery<ListQuery>,
) -> Result<Json<Page<Value>>, Problem> {
    let automation = q
        .automation_id
        .as_deref()
        .map(|t| {
            t.parse()
                .map_err(|_| Problem::bad_parameter("automation_id is not an id"))
        })
        .transpose()?;
    page(&api, q, automation).await
}

async fn list_of(
    State(api): State<Api>,
    Path(text): Path<String>,
    ApiQuery(q): ApiQuery<ListQuery>,
) -> Result<Json<Page<Value>>, Problem> {
    let automation = id(&text, "automation")?;
    if q.automation_id.is_some() {
        return Err(Problem::bad_parameter(
            "automation_id is no parameter here; the path names the automation",
        ));
    }
    api.engine
        .automations()
        .get(automation)
        .await
        .map_err(of_store)?;
    page(&api, q, Some(automation)).await
}

async fn known(api: &Api, text: &str) -> Result<RunRecord, Problem> {
    let run: RunId = id(text, "run")?;
    api.engine
        .run(run)
        .await?
        .ok_or_else(|| Problem::not_found(format!("There is no run {text}.")))
}

/// How many steps and artifacts a run is shown with; the rest comes in pages.
const SHOWN: usize = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GetQuery {
    /// `steps`, `artifacts`; several times or with commas. Absent: both.
    #[serde(default)]
    include: Vec<String>,
}

async fn get(
    State(api): State<Api>,
    Path(text): Path<String>,
    ApiQuery(q): ApiQuery<GetQuery>,
) -> Result<Json<Value>, Problem> {
    let parts: Vec<&str> = q.include.iter().flat_map(|i| i.split(',')).collect();
    if parts
        .iter()
        .any(|p| !["", "steps", "artifacts"].contains(p))
    {
        return Err(Problem::bad_parameter(
            "include takes steps, artifacts, both, or nothing",
        ));
    }
    let wanted = |part| q.include.is_empty() || parts.contains(&part);
    let found = known(&api, &text).await?;
    let mut v = run(&found);
    if wanted("steps") {
        let page = steps_of(&api, found.id, None, SHOWN).await?;
        v["steps"] = page.items.into();
        if let Some(cursor) = page.next_cursor {
            v["steps_next_cursor"] = cursor.into();
        }
    }
    if wanted("artifacts") {
        let page = artifacts_of(&api, &found, None, SHOWN).await?;
        v["artifacts"] = page.items.into();
        if let Some(cursor) = page.next_cursor {
            v["artifacts_next_cursor"] = cursor.into();
        }
    }
    Ok(Json(v))
}

/// Cursors of a run's parts belong to that run.
fn print(part: &str, run: RunId) -> String {
    fingerprint(&(part, run))
}

/// A page of records, shown.
fn shown<T>(page: Page<T>, show: impl Fn(&T) -> Value) -> Page<Value> {
    Page {
        items: page.items.iter().map(show).collect(),
        next_cursor: page.next_cursor,
    }
}

async fn steps_of(
    api: &Api,
    run: RunId,
    after: Option<(Ts, StepId)>,
    limit: usize,
) -> Result<Page<Value>, Problem> {
    let rows = api.engine.steps_page(run, after, limit + 1).await?;
    let page = Page::cut(rows, limit, &print("steps", run), |s| {
        (s.started_at.millis().to_string(), s.id.to_string())
    });
    Ok(shown(page, |s| step(s, run)))
}

async fn artifacts_of(
    api: &Api,
    run: &RunRecord,
    after: Option<(Ts, ArtifactId)>,
    limit: usize,
) -> Result<Page<Value>, Problem> {
    let rows = api.engine.artifacts_page(run.id, after, limit + 1).await?;
    let page = Page::cut(rows, limit, &print("artifacts", run.id), |a| {
        (a.created_at.millis().to_string(), a.id.to_string())
    });
    Ok(shown(page, |a| artifact(a, run.automation_id)))
}

async fn steps(
    State(api): State<Api>,
    Path(text): Path<String>,
    ApiQuery(q): ApiQuery<PageQuery>,
) -> Result<Json<Page<Value>>, Problem> {
    let run = known(&api, &text).await?.id;
    let after = q.cursor(&print("steps", run))?;
    let after = after.map(|c| c.instant_and_id()).transpose()?;
    Ok(Json(steps_of(&api, run, after, q.limit()?).await?))
}

async fn artifacts(
    State(api): State<Api>,
    Path(text): Path<String>,
    ApiQuery(q): ApiQuery<PageQuery>,
) -> Result<Json<Page<Value>>, Problem> {
    let run = known(&api, &text).await?;
    let after = q.cursor(&print("artifacts", run.id))?;
    let after = after.map(|c| c.instant_and_id()).transpose()?;
    Ok(Json(artifacts_of(&api, &run, after, q.limit()?).await?))
}

async fn logs(
    State(api): State<Api>,
    Path(text): Path<String>,
    ApiQuery(q): ApiQuery<PageQuery>,
) -> Result<Json<Page<Value>>, Problem> {
    let run = known(&api, &text).await?.id;
    let print = print("logs", run);
    let after = match q.cursor(&print)? {
        Some(c) => Some(Id(c.id.parse().map_err(|_| Problem::bad_cursor())?)),
        None => None,
    };
    let limit = q.limit()?;
    let rows = api.engine.logs_page(run, after, limit + 1).await?;
    let page = Page::cut(rows, limit, &print, |l| (String::new(), l.id.to_string()));
    Ok(Json(shown(page, log)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplayQuery {
    /// Only what the action there could see.
    action_path: Option<String>,
    /// Must be that of the run: a run's id alone opens nothing (`scripts §8.2`).
    automation_id: Option<String>,
}

async fn replay_scope(
    State(api): State<Api>,
    Path(text): Path<String>,
    ApiQuery(q): ApiQuery<ReplayQuery>,
) -> Result<Json<Value>, Problem> {
    let run = known(&api, &text).await?;
    let own = run.automation_id.to_string();
    if q.automation_id
        .is_some_and(|a| a.to_ascii_lowercase() != own)
    {
        let detail = format!("That automation has no run {text}.");
        return Err(Problem::not_found(detail));
    }
    let scope = api.engine.replay_scope(&run, q.action_path.as_deref());
    let scope = scope.await.map_err(of_replay)?;
    let available = scope.scope_snapshot_available;
    Ok(Json(
        json!({"context": scope.context, "scope_snapshot_available": available}),
    ))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cancel {
    reason: Option<String>,
}

async fn cancel(
    State(api): State<Api>,
    Path(text): Path<String>,
    ApiJson(c): ApiJson<Cancel>,
) -> Result<Json<Value>, Problem> {
    let found = known(&api, &text).await?;
    api.engine
        .cancel(found.automation_id, found.id, c.reason)
        .await
        .map_err(of_cancel)?;
    Ok(Json(run(&known(&api, &text).await?)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Start {
    trigger_id: Option<String>,
    payload: Option<Value>,
    #[serde(default)]
    gates: Gates,
    validate_payload: Option<bool>,
}

/// Which gates a run by hand passes.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Gates {
    #[default]
    None,
    All,
}

/// The largest payload, `api §1.4`.
const PAYLOAD_LIMIT: usize = 256 * 1024;

async fn start(
    State(api): State<Api>,
    Path(text): Path<String>,
    ApiJson(s): ApiJson<Start>,
) -> Result<Response, Problem> {
    let payload = s.payload.unwrap_or_else(|| json!({}));
    if payload.to_string().len() > PAYLOAD_LIMIT {
        return Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "payload_too_large",
            "A payload has at most 256 KiB.",
        ));
    }
    let request = ManualRun {
        automation_id: id(&text, "automation")?,
        trigger_id: s.trigger_id,
        payload,
        validate_payload: s.validate_payload.unwrap_or(true),
        actor: RequestContext::current().actor,
    };
    let (run, status) = match s.gates {
        Gates::None => {
            let run = api.engine.manual_run(request).await;
            (run.map_err(of_manual)?, "running")
        }
        Gates::All => match api.engine.manual_firing(request).await.map_err(of_manual)? {
            ManualFiring::Run(run) => (run, "running"),
            ManualFiring::Queued(run) => (run, "pending"),
            ManualFiring::Dwell(fire_at) => {
                let dwell = json!({"dwell": {"fire_at": fire_at.to_text()}});
                return Ok((StatusCode::ACCEPTED, Json(dwell)).into_response());
            }
        },
    };
    let location = [(header::LOCATION, format!("/api/v1/runs/{run}"))];
    Ok((
        StatusCode::ACCEPTED,
        location,
        Json(json!({"run_id": run, "status": status})),
    )
        .into_response())
}
