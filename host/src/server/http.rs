//! The outermost router: health routes at once, the API after the boot, limits and a 404 for the rest.

use super::auth::{Auth, authenticate};
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, StatusCode},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use plugin_api::{
    Clock, Principal, SystemClock,
    http::{Problem, with_request_id},
};
use plugin_runtime::{Readiness, health_routes};
use std::sync::{Arc, OnceLock};
use tower::ServiceExt;
use tower_http::{
    catch_panic::CatchPanicLayer,
    limit::RequestBodyLimitLayer,
    request_id::{MakeRequestId, PropagateRequestIdLayer, RequestId, SetRequestIdLayer},
};

const REQUEST_ID: &str = "x-request-id";

/// The largest request body, `api §1.4`.
const BODY_LIMIT: usize = 1024 * 1024;

/// The API, once it exists.
#[derive(Clone, Default)]
pub struct Late(Arc<OnceLock<Router>>);

impl Late {
    /// Opens the API.
    pub fn open(&self, api: Router) {
        self.0.set(api).ok();
    }
}

/// Everything the listener answers.
pub fn outer(readiness: Arc<Readiness>, late: Late) -> Router {
    Router::new()
        .fallback(forward)
        .with_state(late)
        .merge(health_routes(readiness))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(under_its_id))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(SetRequestIdLayer::x_request_id(RequestIds(
            SystemClock::new(),
        )))
        .layer(middleware::from_fn(plain_id))
}

/// A fresh id for each request that brings none.
#[derive(Clone)]
struct RequestIds(Arc<SystemClock>);

impl MakeRequestId for RequestIds {
    fn make_request_id<B>(&mut self, _: &axum::http::Request<B>) -> Option<RequestId> {
        let id = self.0.new_uuid().to_string();
        HeaderValue::from_str(&id).ok().map(RequestId::new)
    }
}

/// An id that a caller brings goes into answers and the log, so it must be a plain one.
async fn plain_id(mut request: Request, next: Next) -> Response {
    let plain = |id: &HeaderValue| {
        let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"-._".contains(b);
        (1..=128).contains(&id.len()) && id.as_bytes().iter().all(allowed)
    };
    if !request.headers().get(REQUEST_ID).is_some_and(plain) {
        request.headers_mut().remove(REQUEST_ID);
    }
    next.run(request).await
}

/// Answers the request under its id.
async fn under_its_id(request: Request, next: Next) -> Response {
    let id = request.headers().get(REQUEST_ID);
    let id = id.and_then(|id| id.to_str().ok()).unwrap_or("").to_owned();
    with_request_id(id, next.run(request)).await
}

/// The API with authentication around it.
pub fn api(routes: Router, readiness: Arc<Readiness>, auth: Auth) -> Router {
    Router::new()
        .merge(routes)
        .merge(health_routes(readiness))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(RequestBodyLimitLayer::new(BODY_LIMIT))
        .layer(middleware::from_fn(too_large))
        .layer(middleware::from_fn_with_state(auth, authenticate))
}

async fn forward(State(late): State<Late>, request: Request) -> Response {
    match late.0.get() {
        Some(api) => match api.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        },
        None => Problem::unavailable("The server is starting.").into_response(),
    }
}

async fn not_found(principal: Option<axum::Extension<Principal>>, request: Request) -> Problem {
    match principal {
        // Without a token nothing is said about which routes exist.
        None => Problem::new(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "Send a valid token: Authorization: Bearer <token>.",
        ),
        Some(_) => Problem::not_found(format!(
            "There is no route {} {}.",
            request.method(),
            request.uri().path()
        )),
    }
}

async fn method_not_allowed(request: Request) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!(
            "{} does not take {}.",
            request.uri().path(),
            request.method()
        ),
    )
}

/// The body limit answers without a document of its own; this gives it one.
async fn too_large(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let document = response
        .headers()
        .get("content-type")
        .is_some_and(|c| c == "application/problem+json");
    if response.status() == StatusCode::PAYLOAD_TOO_LARGE && !document {
        return Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "payload_too_large",
            "Send at most 1 MiB.",
        )
        .into_response();
    }
    response
}

fn panicked(cause: Box<dyn std::any::Any + Send>) -> axum::http::Response<Body> {
    let text = cause
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| cause.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    Problem::internal(&format!("a handler panicked: {text}")).into_response()
}
