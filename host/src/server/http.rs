//! The outermost router: health routes at once, the API after the boot, limits and a 404 for the rest.

use super::auth::{Auth, authenticate};
use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use plugin_api::{
    Clock, Principal, SystemClock, clock,
    http::{Problem, with_request_id},
};
use plugin_runtime::{Readiness, health_routes};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tower::ServiceExt;
use tower_http::{
    catch_panic::CatchPanicLayer,
    request_id::{MakeRequestId, PropagateRequestIdLayer, RequestId, SetRequestIdLayer},
};

const REQUEST_ID: &str = "x-request-id";

/// The largest request body, `api §1.4`.
const BODY_LIMIT: usize = 1024 * 1024;

/// How long a request may take, `api §1.4`.
const TIME_LIMIT: Duration = Duration::from_secs(30);

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
        .method_not_allowed_fallback(method_not_allowed)
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
pub fn api(routes: Router, readiness: Arc<Readiness>, auth: Auth, clock: Arc<dyn Clock>) -> Router {
    Router::new()
        .merge(routes)
        .merge(health_routes(readiness))
        .fallback(not_found)
        .method_not_allowed_fallback(known_method_not_allowed)
        // Where a handler reads its body: what is too large is said to those only who may come here.
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(middleware::from_fn_with_state(auth, authenticate))
        .layer(middleware::from_fn_with_state(clock, in_time))
}

async fn forward(State(late): State<Late>, request: Request) -> Response {
    let Some(api) = late.0.get() else {
        return Problem::unavailable("The server is starting.").into_response();
    };
    let mut response = match api.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    // The router names the methods of a route whatever its answer to another one is.
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().remove(header::ALLOW);
    }
    response
}

/// Gives up a request that takes too long; what it has not committed is rolled back.
async fn in_time(State(clock): State<Arc<dyn Clock>>, request: Request, next: Next) -> Response {
    let answer = clock::timeout(&*clock, TIME_LIMIT, next.run(request)).await;
    answer.unwrap_or_else(|_| {
        Problem::unavailable("The request was given up after 30 s.").into_response()
    })
}

// Without a token nothing is said about which routes exist.

async fn not_found(principal: Option<axum::Extension<Principal>>, request: Request) -> Problem {
    match principal {
        None => Problem::unauthenticated(),
        Some(_) => Problem::not_found(format!(
            "There is no route {} {}.",
            request.method(),
            request.uri().path()
        )),
    }
}

async fn known_method_not_allowed(
    principal: Option<axum::Extension<Principal>>,
    request: Request,
) -> Problem {
    match principal {
        None => Problem::unauthenticated(),
        Some(_) => method_not_allowed(request).await,
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

fn panicked(cause: Box<dyn std::any::Any + Send>) -> axum::http::Response<Body> {
    let text = cause
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| cause.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    Problem::internal(&format!("a handler panicked: {text}")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::poll;
    use test_kit::VirtualClock;

    #[tokio::test]
    async fn api_1_4_a_request_is_given_up_after_thirty_seconds() {
        let clock = VirtualClock::new();
        let routes = Router::new()
            .route("/slow", axum::routing::get(std::future::pending::<()>))
            .layer(middleware::from_fn_with_state(
                clock.clone() as Arc<dyn Clock>,
                in_time,
            ));
        let request = Request::get("/slow")
            .body(Body::empty())
            .expect("a request");
        let mut answer = Box::pin(routes.oneshot(request));
        assert!(poll!(&mut answer).is_pending());
        clock.advance(TIME_LIMIT - Duration::from_millis(1));
        assert!(poll!(&mut answer).is_pending());
        clock.advance(Duration::from_millis(1));
        let answer = answer.await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            answer.headers()[header::CONTENT_TYPE],
            "application/problem+json"
        );
    }
}
