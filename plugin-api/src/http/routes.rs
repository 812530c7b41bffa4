//! A plugin's routes with the rule each of them needs. The rule is checked before the handler runs,
//! in one place, never in the handler (`plugins §9`).

use super::Problem;
use crate::access::{AccessRule, Principal};
use axum::{
    Router,
    extract::{FromRequestParts, RawPathParams, Request},
    handler::Handler,
    http::{Method, StatusCode},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::{MethodFilter, on},
};

/// A declared route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteInfo {
    /// HTTP method.
    pub method: Method,
    /// Path below `/api/v1`, in axum's form (`/systems/{id}`).
    pub path: &'static str,
    /// The rule a principal must hold.
    pub rule: &'static str,
}

/// The routes of one plugin.
pub struct Routes<S = ()> {
    router: Router<S>,
    table: Vec<RouteInfo>,
}

impl<S: Clone + Send + Sync + 'static> Default for Routes<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// No routes yet.
    pub fn new() -> Self {
        Self {
            router: Router::new(),
            table: Vec::new(),
        }
    }

    /// Adds a route.
    ///
    /// # Panics
    /// On a method other than GET, POST, PUT, PATCH or DELETE, or a path that overlaps another: both
    /// are mistakes of the program, found by the first start.
    pub fn route<H, T>(
        self,
        method: Method,
        path: &'static str,
        rule: &AccessRule,
        handler: H,
    ) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.add(method, path, rule, handler, false)
    }

    /// As [`Routes::route`], for a handler that does nothing but read and write the database: with
    /// `?dry_run=true` it answers as ever, and nothing it wrote stays (see [`crate::dry_run`]).
    ///
    /// # Panics
    /// As there.
    pub fn rehearsable<H, T>(
        self,
        method: Method,
        path: &'static str,
        rule: &AccessRule,
        handler: H,
    ) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.add(method, path, rule, handler, true)
    }

    fn add<H, T>(
        mut self,
        method: Method,
        path: &'static str,
        rule: &AccessRule,
        handler: H,
        rehearsable: bool,
    ) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(method.clone())
            .unwrap_or_else(|_| panic!("method {method} of {path} cannot be routed"));
        let rule = *rule;
        let guarded = on(filter, handler).layer(axum::middleware::from_fn(
            move |req: Request, next: Next| check(rule, rehearsable, req, next),
        ));
        self.router = self.router.route(path, guarded);
        self.table.push(RouteInfo {
            method,
            path,
            rule: rule.id,
        });
        self
    }
    /// `GET`.
    pub fn get<H: Handler<T, S>, T: 'static>(
        self,
        path: &'static str,
        rule: &AccessRule,
        handler: H,
    ) -> Self {
        self.route(Method::GET, path, rule, handler)
    }
    /// `POST`.
    pub fn post<H: Handler<T, S>, T: 'static>(
        self,
        path: &'static str,
        rule: &AccessRule,
        handler: H,
    ) -> Self {
        self.route(Method::POST, path, rule, handler)
    }
    /// `PUT`.
    pub fn put<H: Handler<T, S>, T: 'static>(
        self,
        path: &'static str,
        rule: &AccessRule,
        handler: H,
    ) -> Self {
        self.route(Method::PUT, path, rule, handler)
    }
    /// `PATCH`.
    pub fn patch<H: Handler<T, S>, T: 'static>(
        self,
        path: &'static str,
        rule: &AccessRule,
        handler: H,
    ) -> Self {
        self.route(Method::PATCH, path, rule, handler)
    }
    /// `DELETE`.
    pub fn delete<H: Handler<T, S>, T: 'static>(
        self,
        path: &'static str,
        rule: &AccessRule,
        handler: H,
    ) -> Self {
        self.route(Method::DELETE, path, rule, handler)
    }

    /// Hands the handlers their state.
    pub fn with_state(self, state: S) -> Routes {
        Routes {
            router: self.router.with_state(state),
            table: self.table,
        }
    }
}

impl Routes {
    /// The router and its table, for the runtime.
    pub fn into_parts(self) -> (Router, Vec<RouteInfo>) {
        (self.router, self.table)
    }
}

/// Whether a request asks for a dry run; the error is another value than true or false.
fn asks_dry_run(req: &Request) -> Result<bool, Problem> {
    let pairs = req.uri().query().unwrap_or("").split('&');
    match pairs.filter_map(|p| p.strip_prefix("dry_run=")).next_back() {
        _ if req.method().is_safe() => Ok(false),
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Problem::bad_parameter("dry_run must be true or false")),
    }
}

async fn check(rule: AccessRule, rehearsable: bool, req: Request, next: Next) -> Response {
    let allowed = match req.extensions().get::<Principal>() {
        Some(p) if rule.is_public || p.may(rule.id) => true,
        Some(_) => {
            return Problem::new(
                StatusCode::FORBIDDEN,
                "forbidden",
                format!("This needs the access rule {}.", rule.id),
            )
            .into_response();
        }
        None => rule.is_public,
    };
    if !allowed {
        return Problem::unauthenticated().into_response();
    }
    let (mut parts, body) = req.into_parts();
    // Here for all routes: the extractors of handlers answer with plain text.
    if RawPathParams::from_request_parts(&mut parts, &())
        .await
        .is_err()
    {
        return Problem::bad_parameter("a part of the path is not UTF-8").into_response();
    }
    let req = Request::from_parts(parts, body);
    match asks_dry_run(&req) {
        Ok(false) => next.run(req).await,
        Ok(true) if rehearsable => crate::dry_run::dry_run(next.run(req)).await,
        Ok(true) => Problem::bad_parameter(format!(
            "{} {} cannot be tried with dry_run; nothing was done",
            req.method(),
            req.uri().path()
        ))
        .into_response(),
        Err(problem) => problem.into_response(),
    }
}
