//! What this host can check with: strategies, their collectors, and what may be asserted.

use super::Api;
use crate::{
    assertions::{Field, FieldKind, operators},
    strategies::Known,
};
use axum::{Json, extract::State};
use serde_json::{Value, json};

/// All strategies with the schemas of their configs.
pub(super) async fn list(State(api): State<Api>) -> Json<Value> {
    let items: Vec<Value> = api.checks.strategies.all().iter().map(strategy).collect();
    Json(json!({ "items": items }))
}

fn strategy(s: &Known) -> Value {
    let collectors: Vec<Value> = s
        .collectors
        .iter()
        .map(|c| {
            json!({
                "id": c.id,
                "display_name": c.display_name,
                "config_schema": c.config.schema,
                "allow_multiple": c.allow_multiple,
                "fields": c.fields.iter().map(field).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({
        "id": s.id(),
        "display_name": s.strategy.display_name(),
        "description": s.strategy.description(),
        "config_schema": s.config.schema,
        "collectors": collectors,
    })
}

fn field(f: &Field) -> Value {
    let mut view = json!({
        "name": f.name,
        "stored": !f.ephemeral,
        "operators": operators(f.kind, false),
    });
    if f.kind == FieldKind::JsonText {
        view["json_path_operators"] = json!(operators(f.kind, true));
    }
    view
}
