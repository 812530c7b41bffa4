//! `/registry`: what automations can be made of here. Complete lists, sorted by id.

use crate::Api;
use automation_core::{access::READ, registry::TriggerSource};
use axum::{Json, extract::State};
use plugin_api::http::Routes;
use serde_json::{Value, json};

pub fn routes() -> Routes<Api> {
    Routes::new()
        .get("/registry/triggers", &READ, triggers)
        .get("/registry/actions", &READ, actions)
        .get("/registry/artifact-types", &READ, artifact_types)
        .get("/registry/filters", &READ, filters)
}

fn sorted(mut items: Vec<Value>, key: &str) -> Json<Value> {
    items.sort_by(|a, b| a[key].as_str().cmp(&b[key].as_str()));
    Json(json!({"items": items}))
}

async fn triggers(State(api): State<Api>) -> Json<Value> {
    let items = api.engine.registries().triggers();
    let items = items
        .iter()
        .map(|t| {
            let source = match &t.source {
                TriggerSource::Hook { .. } => "hook",
                TriggerSource::Setup(_) => "setup",
                TriggerSource::EntityDriven => "entity_driven",
            };
            json!({
                "id": t.id, "display_name": t.display_name, "description": t.description, "category": t.category,
                "owner_plugin_id": t.owner.as_str(), "payload_schema": *t.payload_schema,
                "config_schema": t.config.as_ref().map(|c| &*c.schema), "has_context_key": t.context_key.is_some(),
                "context_key_label": t.context_key_label, "source": source,
            })
        })
        .collect();
    sorted(items, "id")
}

async fn actions(State(api): State<Api>) -> Json<Value> {
    let items = api.engine.registries().actions();
    let items = items
        .iter()
        .map(|a| {
            json!({
                "id": a.id, "display_name": a.display_name, "description": a.description, "category": a.category,
                "owner_plugin_id": a.owner.as_str(), "config_schema": *a.config.schema,
                "produces": a.produces.as_ref().map(|l| a.owner.qualify(l)),
                "consumes": a.consumes.iter().map(|l| a.owner.qualify(l)).collect::<Vec<_>>(),
                "connection_provider_id": a.connection_provider_id,
            })
        })
        .collect();
    sorted(items, "id")
}

async fn artifact_types(State(api): State<Api>) -> Json<Value> {
    let items = api.engine.registries().artifact_types();
    let items = items
        .iter()
        .map(|t| json!({"id": t.id, "display_name": t.display_name, "description": t.description, "owner_plugin_id": t.owner.as_str(), "schema": *t.schema}))
        .collect();
    sorted(items, "id")
}

async fn filters(State(api): State<Api>) -> Json<Value> {
    let filters = api.engine.filters();
    let items = filters
        .list()
        .iter()
        .filter_map(|name| filters.get(name))
        .map(|f| json!({"name": f.name, "signature": f.signature, "description": f.description, "owner_plugin_id": f.plugin}))
        .collect();
    sorted(items, "name")
}
