//! Who is calling: a bearer token becomes a principal; the rule of a route is checked by the router.

use crate::token;
use axum::{
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use plugin_api::{Db, Principal, RequestContext, http::Problem};
use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
};

/// Turns tokens into principals and remembers those it has seen.
#[derive(Clone)]
pub struct Auth {
    db: Db,
    known: Arc<RwLock<HashMap<String, Principal>>>,
}

impl Auth {
    /// An authenticator over the token table.
    pub fn new(db: Db) -> Self {
        Self {
            db,
            known: Arc::default(),
        }
    }

    async fn principal(&self, token: &str) -> Result<Option<Principal>, Problem> {
        if let Some(p) = self.known.read().expect("tokens").get(token) {
            return Ok(Some(p.clone()));
        }
        let found = token::principal(&self.db, token).await?;
        if let Some(p) = &found {
            self.known
                .write()
                .expect("tokens")
                .insert(token.to_owned(), p.clone());
        }
        Ok(found)
    }
}

/// Middleware: sets the principal and the request context, or answers 401.
pub async fn authenticate(State(auth): State<Auth>, mut request: Request, next: Next) -> Response {
    let header = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|v| v.to_str().ok());
    let Some(token) = header
        .and_then(|h| h.split_once(' '))
        // The scheme is written in any case (RFC 9110).
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .map(str::to_owned)
    else {
        // Public routes have no principal; every other route answers 401 by itself.
        return next.run(request).await;
    };
    match auth.principal(&token).await {
        Ok(Some(principal)) => {
            let context = RequestContext::of(principal.actor.clone());
            request.extensions_mut().insert(principal);
            context.scope(next.run(request)).await
        }
        Ok(None) => Problem::new(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "The token is not known here.",
        )
        .into_response(),
        Err(problem) => problem.into_response(),
    }
}
