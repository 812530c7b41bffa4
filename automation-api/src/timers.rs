//! `/automations/{id}/timers`: what an automation has ahead of it by the clock, next first.

use crate::{Api, bodies::id, problems::of_store};
use automation_core::{
    AutomationId,
    access::READ,
    definition::{Definition, Trigger},
};
use automation_dispatch::Dwell;
use axum::{
    Json,
    extract::{Path, State},
};
use plugin_api::{
    Ts,
    http::{Problem, Routes},
    queue::QueueError,
};
use serde_json::{Value, json};

pub fn routes() -> Routes<Api> {
    Routes::new().get("/automations/{id}/timers", &READ, list)
}

/// The queue in which the engine keeps the ticks of schedules (`dispatch §5.1`).
const TICKS: &str = "automation-builtin-triggers";

/// The recurring job of a trigger that is a schedule. Such jobs outlive the process that made them,
/// so their names do not change.
fn job_of(automation: AutomationId, trigger: &Trigger) -> Option<String> {
    let kind = trigger.event.strip_prefix("automation.")?;
    let id = trigger.effective_id();
    ["cron", "interval"]
        .contains(&kind)
        .then(|| format!("builtin:{kind}:{automation}:{id}"))
}

async fn tick(
    api: &Api,
    automation: AutomationId,
    trigger: &Trigger,
) -> Result<Option<(Ts, Value)>, Problem> {
    let Some(job) = job_of(automation, trigger) else {
        return Ok(None);
    };
    let armed = api.queues.recurring_details(TICKS, &job).await;
    let armed = armed.map_err(|e| match e {
        QueueError::Db { source, .. } => source.into(),
        e => Problem::internal(&e),
    })?;
    // One of a disabled automation is not armed.
    Ok(armed.map(|r| {
        let item = json!({
            "kind": "tick", "trigger_id": trigger.effective_id(), "event_id": trigger.event,
            "fire_at": r.next_at.to_text(),
        });
        (r.next_at, item)
    }))
}

fn dwell(d: &Dwell) -> (Ts, Value) {
    let item = json!({
        "kind": "dwell", "trigger_id": d.trigger_id, "event_id": d.event_id, "context_key": d.context_key,
        "created_at": d.created_at.to_text(), "fire_at": d.fire_at.to_text(),
    });
    (d.fire_at, item)
}

async fn list(State(api): State<Api>, Path(text): Path<String>) -> Result<Json<Value>, Problem> {
    let automation = id(&text, "automation")?;
    let found = api.engine.automations().get(automation).await;
    let stored = found.map_err(of_store)?;
    let dwells = api.engine.timers(automation).await?;
    let mut timers: Vec<(Ts, Value)> = dwells.iter().map(dwell).collect();
    // A document that does not parse has no schedules.
    if let Ok(read) = Definition::read_stored(&stored.definition) {
        for trigger in &read.definition.triggers {
            timers.extend(tick(&api, automation, trigger).await?);
        }
    }
    timers.sort_by_key(|(at, _)| *at);
    let items: Vec<Value> = timers.into_iter().map(|(_, item)| item).collect();
    Ok(Json(json!({"items": items})))
}
