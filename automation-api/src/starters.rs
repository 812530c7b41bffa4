//! `/starters`: finished definitions to begin with, those that can be used here (`definition §12`).

use crate::Api;
use automation_core::{access::READ, starters::Starters, store::Source};
use automation_dispatch::Engine;
use axum::{Json, extract::State};
use plugin_api::http::Routes;
use serde_json::{Value, json};
use std::sync::OnceLock;

pub fn routes() -> Routes<Api> {
    Routes::new().get("/starters", &READ, starters)
}

/// The starters, judged once, when every plugin is ready.
#[derive(Default)]
pub struct Judged(OnceLock<Starters>);

impl Judged {
    /// Judges them against what is registered; later calls answer the same.
    pub fn get(&self, engine: &Engine) -> &Starters {
        self.0.get_or_init(|| {
            let store = engine.automations();
            Starters::judge(engine.registries(), &|definition| {
                store.validate(&Source::Value(definition.clone()))
            })
        })
    }
}

async fn starters(State(api): State<Api>) -> Json<Value> {
    Json(json!({"items": api.starters.get(&api.engine).served}))
}
