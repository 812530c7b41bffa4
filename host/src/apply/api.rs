//! The API behind a plan: a server over HTTP, or a host in this process.

use crate::client::Client;
use async_trait::async_trait;
use axum::{Router, body::Body, http::Request};
use plugin_api::Principal;
use reqwest::{Method, StatusCode};
use serde_json::Value;

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// The document; null when there is none.
    pub body: Value,
}

impl Answer {
    /// The document of a success, or the refusal as an error.
    pub fn ok(self) -> anyhow::Result<Value> {
        if self.status.is_success() {
            return Ok(self.body);
        }
        Err(crate::client::Refused {
            status: self.status,
            problem: self.body,
        }
        .into())
    }
}

/// Sends one request and answers what came back, refusals included.
#[async_trait]
pub trait Api: Send + Sync {
    /// `path` is below `/api/v1`.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        if_match: Option<String>,
    ) -> anyhow::Result<Answer>;

    /// True when nothing but the documents at hand is known behind it: what they refer to may well
    /// exist on a server.
    fn is_scratch(&self) -> bool {
        false
    }
}

#[async_trait]
impl Api for Client {
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        if_match: Option<String>,
    ) -> anyhow::Result<Answer> {
        self.exchange(method, path, body.as_ref(), if_match.as_deref())
            .await
    }
}

/// The router of a scratch host in this process, called as its administrator.
pub struct Local {
    router: Router,
    principal: Principal,
}

impl Local {
    /// Calls `router` (mounted as the server mounts it) as `principal`.
    pub fn new(router: Router, principal: Principal) -> Self {
        Self { router, principal }
    }
}

#[async_trait]
impl Api for Local {
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        if_match: Option<String>,
    ) -> anyhow::Result<Answer> {
        use tower::ServiceExt;
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"));
        if let Some(v) = if_match {
            request = request.header("if-match", v);
        }
        let body = match body {
            Some(b) => {
                request = request.header("content-type", "application/json");
                Body::from(b.to_string())
            }
            None => Body::empty(),
        };
        let mut request = request.body(body)?;
        request.extensions_mut().insert(self.principal.clone());
        let response = match self.router.clone().oneshot(request).await {
            Ok(r) => r,
            Err(never) => match never {},
        };
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), 8 * 1024 * 1024).await?;
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).unwrap_or(Value::Null)
        };
        Ok(Answer { status, body })
    }

    fn is_scratch(&self) -> bool {
        true
    }
}
