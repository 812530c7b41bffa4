//! `/status`: what the loops of this process are doing.

use crate::Api;
use axum::{Json, extract::State};
use plugin_api::{core, http::Routes};
use serde_json::{Value, json};

pub fn routes() -> Routes<Api> {
    Routes::new().get("/status", &core::READ, status)
}

async fn status(State(api): State<Api>) -> Json<Value> {
    Json(json!({"loops": api.board.list()}))
}
