//! `/automations/{id}/decisions`: what the gates decided about an automation, and why.

use crate::{Api, bodies::id, problems::of_store};
use automation_core::{AutomationId, access::READ};
use automation_dispatch::{DecisionFilter, DecisionRecord, VERDICTS};
use axum::{
    Json,
    extract::{Path, State},
};
use plugin_api::{
    Id, Ts,
    http::{ApiQuery, Page, PageQuery, Problem, Routes, fingerprint},
};
use serde::Deserialize;
use serde_json::{Value, json};

pub fn routes() -> Routes<Api> {
    Routes::new().get("/automations/{id}/decisions", &READ, list)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    context_key: Option<String>,
    verdict: Option<String>,
    since: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

/// `{id, at, occurrence, trigger_id, context_key?, verdict, gate?, run_id?, text, detail}`; `text` is
/// the verdict as a sentence, `detail.facts` what made a filter or condition false.
fn decision(d: &DecisionRecord) -> Value {
    let mut v = json!({
        "id": d.id, "at": d.at.to_text(), "occurrence": d.occurrence, "trigger_id": d.trigger_id,
        "verdict": d.verdict, "text": d.sentence(), "detail": d.detail,
    });
    if let Some(key) = &d.context_key {
        v["context_key"] = json!(key);
    }
    if let Some(gate) = &d.gate {
        v["gate"] = json!(gate);
    }
    if let Some(run) = d.run_id {
        v["run_id"] = json!(run);
    }
    v
}

/// A page, newest first, with how much is kept: `{items, next_cursor?, kept: {per_automation, days}}`.
async fn list(
    State(api): State<Api>,
    Path(text): Path<String>,
    ApiQuery(q): ApiQuery<ListQuery>,
) -> Result<Json<Value>, Problem> {
    let automation: AutomationId = id(&text, "automation")?;
    let found = api.engine.automations().get(automation).await;
    found.map_err(of_store)?;
    let print = fingerprint(&(automation, &q.context_key, &q.verdict, &q.since));
    if let Some(verdict) = q.verdict.as_deref().filter(|v| !VERDICTS.contains(v)) {
        return Err(Problem::bad_parameter(format!(
            "verdict {verdict} is not known; one of {}",
            VERDICTS.join(", ")
        )));
    }
    let since = match q.since.as_deref() {
        Some(text) => Some(Ts::parse(text).ok_or_else(|| {
            Problem::bad_parameter(
                "since must be an RFC 3339 instant such as 2026-01-15T12:00:00.000Z",
            )
        })?),
        None => None,
    };
    let filter = DecisionFilter {
        context_key: q.context_key,
        verdict: q.verdict,
        since,
    };
    let paging = PageQuery {
        limit: q.limit,
        cursor: q.cursor,
    };
    let limit = paging.limit()?;
    let before = match paging.cursor(&print)? {
        Some(c) => Some(Id(c.id.parse().map_err(|_| Problem::bad_cursor())?)),
        None => None,
    };
    let rows = api
        .engine
        .decisions(automation, &filter, before, limit as u32 + 1)
        .await?;
    let page = Page::cut(rows, limit, &print, |d| {
        (d.at.millis().to_string(), d.id.to_string())
    });
    let keep = api.engine.retention();
    let items: Vec<Value> = page.items.iter().map(decision).collect();
    let mut answer = json!({
        "items": items,
        "kept": {"per_automation": keep.decisions_per_automation, "days": keep.decisions_days},
    });
    if let Some(cursor) = page.next_cursor {
        answer["next_cursor"] = cursor.into();
    }
    Ok(Json(answer))
}
