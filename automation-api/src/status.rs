//! `/status`: what this process is, what its loops are doing, what waits, and which starters are
//! withheld and why (`api §10`).

use crate::Api;
use automation_core::starters::Reason;
use axum::{Json, extract::State};
use plugin_api::{
    core,
    http::{Problem, Routes},
};
use serde_json::{Value, json};

pub fn routes() -> Routes<Api> {
    Routes::new().get("/status", &core::READ, status)
}

async fn status(State(api): State<Api>) -> Result<Json<Value>, Problem> {
    let mut answer = json!({"version": env!("CARGO_PKG_VERSION")});
    let now = api.engine.clock().now();
    if let Some(node) = api.board.node() {
        let uptime = now.millis() - node.started_at.millis();
        answer["node_id"] = node.node_id.into();
        answer["started_at"] = node.started_at.to_text().into();
        answer["uptime_ms"] = uptime.max(0).into();
        answer["storage"] = node.storage.into();
        answer["clustered"] = node.clustered.into();
        let plugins = node.plugins.iter();
        answer["plugins"] = plugins
            .map(|id| json!({"id": id, "state": "running"}))
            .collect();
    }
    // A status that cannot say everything still says the rest: the loops tell why.
    if let Ok(depths) = api.engine.queue_depths().await {
        let oldest = depths.iter().map(|d| d.oldest).min();
        answer["queues"] = json!(depths);
        if let Some(oldest) = oldest {
            answer["oldest_waiting_job"] = oldest.to_text().into();
        }
    }
    let (driving, _, _) = api.engine.load();
    answer["runs"] = json!({"driving": driving, "taken_up": api.engine.drivers_begun()});
    answer["loops"] = json!(api.board.list());
    let starters = api.starters.get(&api.engine);
    let withheld = starters.withheld.iter().map(|w| match &w.reason {
        Reason::Missing(what) => json!({"id": w.id, "missing": what}),
        Reason::Invalid(issues) => json!({"id": w.id, "invalid": issues}),
    });
    answer["withheld_starters"] = withheld.collect();
    Ok(Json(answer))
}
