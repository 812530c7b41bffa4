//! `/status`: what the loops of this process are doing, and which starters are withheld and why.

use crate::Api;
use automation_core::starters::Reason;
use axum::{Json, extract::State};
use plugin_api::{core, http::Routes};
use serde_json::{Value, json};

pub fn routes() -> Routes<Api> {
    Routes::new().get("/status", &core::READ, status)
}

async fn status(State(api): State<Api>) -> Json<Value> {
    let withheld: Vec<Value> = api
        .starters
        .get(&api.engine)
        .withheld
        .iter()
        .map(|w| match &w.reason {
            Reason::Missing(what) => json!({"id": w.id, "missing": what}),
            Reason::Invalid(issues) => json!({"id": w.id, "invalid": issues}),
        })
        .collect();
    Json(json!({"loops": api.board.list(), "withheld_starters": withheld}))
}
