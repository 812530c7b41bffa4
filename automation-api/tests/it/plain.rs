//! A node with the engine, its routes and one plugin of the test.

use axum::{body::Body, http::Request};
use http_body_util::BodyExt;
use plugin_api::{Actor, Principal};
use serde_json::Value;
use std::collections::BTreeSet;
use test_kit::{Kit, Node, TestDb, TestPlugin};
use tower::ServiceExt;

/// A booted node.
pub struct World {
    pub node: Node,
}

impl World {
    /// Boots with a plugin beside the engine.
    pub async fn with(db: &TestDb, plugin: TestPlugin) -> Self {
        let node = Kit::new(db)
            .await
            .plugin(automation_dispatch::AutomationPlugin::default())
            .plugin(automation_api::AutomationApiPlugin)
            .plugin(plugin)
            .boot()
            .await;
        Self { node }
    }

    /// Sends a request with the engine's read rule.
    pub async fn call(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: impl Into<Body>,
    ) -> (u16, Value) {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header("content-type", content_type)
            .body(body.into())
            .expect("a request");
        let rules: BTreeSet<String> = ["*".to_owned()].into();
        let actor = Actor::service("test");
        request.extensions_mut().insert(Principal {
            actor: actor.clone(),
            rules,
        });
        let router = self.node.runtime().router();
        let answer = plugin_api::RequestContext::of(actor)
            .scope(router.oneshot(request))
            .await
            .expect("an answer");
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.expect("a body");
        let body = serde_json::from_slice(&body.to_bytes()).unwrap_or(Value::Null);
        (status, body)
    }

    /// Reads a route that answers 200.
    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self
            .call("GET", path, "application/json", Body::empty())
            .await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// Posts a JSON document.
    pub async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.call("POST", path, "application/json", body.to_string())
            .await
    }
}
