//! Calling the routes of a node as its host would, without a socket.

use crate::Node;
use axum::{
    body::Body,
    http::{HeaderMap, Request, header},
};
use http_body_util::BodyExt;
use plugin_api::{Actor, ActorType, Principal, RequestContext};
use serde_json::Value;
use std::{
    future::{Future, IntoFuture},
    panic::Location,
    pin::Pin,
};
use tower::ServiceExt;

/// A request to put together; awaiting it sends it.
pub struct Call<'a> {
    node: &'a Node,
    what: String,
    request: axum::http::request::Builder,
    body: Body,
    principal: Option<Principal>,
}

impl Node {
    /// A request below `/api/v1`, made by the person `anna` who may do everything.
    pub fn http(&self, method: &str, path: &str) -> Call<'_> {
        let principal = Principal {
            actor: Actor {
                kind: ActorType::User,
                id: "anna".into(),
                name: Some("Anna".into()),
            },
            rules: ["*".to_owned()].into(),
        };
        Call {
            node: self,
            what: format!("{method} {path}"),
            request: Request::builder()
                .method(method)
                .uri(format!("/api/v1{path}")),
            body: Body::empty(),
            principal: Some(principal),
        }
    }
    /// `GET`.
    pub fn get(&self, path: &str) -> Call<'_> {
        self.http("GET", path)
    }
    /// `POST` of a document.
    pub fn post(&self, path: &str, body: Value) -> Call<'_> {
        self.http("POST", path).json(&body)
    }
    /// `PUT` of a document.
    pub fn put(&self, path: &str, body: Value) -> Call<'_> {
        self.http("PUT", path).json(&body)
    }
    /// `PATCH` with a document.
    pub fn patch(&self, path: &str, body: Value) -> Call<'_> {
        self.http("PATCH", path).json(&body)
    }
    /// `DELETE`.
    pub fn delete(&self, path: &str) -> Call<'_> {
        self.http("DELETE", path)
    }
}

impl Call<'_> {
    /// With a JSON body.
    pub fn json(self, body: &Value) -> Self {
        self.text("application/json", &body.to_string())
    }
    /// With a body of another type.
    pub fn text(mut self, content_type: &str, body: &str) -> Self {
        self.body = Body::from(body.to_owned());
        self.header("content-type", content_type)
    }
    /// With a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }
    /// With the version that was read, as `If-Match`.
    pub fn if_match(self, version: i64) -> Self {
        self.header("if-match", &format!("\"{version}\""))
    }
    /// As somebody who holds these rules only.
    pub fn rules(mut self, rules: &[&str]) -> Self {
        if let Some(principal) = &mut self.principal {
            principal.rules = rules.iter().map(|r| (*r).to_owned()).collect();
        }
        self
    }
    /// As somebody else, who may do everything.
    pub fn actor(mut self, actor: Actor) -> Self {
        if let Some(principal) = &mut self.principal {
            principal.actor = actor;
        }
        self
    }
    /// Without a token.
    pub fn anonymous(mut self) -> Self {
        self.principal = None;
        self
    }

    async fn send(self) -> Answer {
        let mut request = self.request.body(self.body).expect("a request");
        let context = match self.principal {
            Some(principal) => {
                let context = RequestContext::of(principal.actor.clone());
                request.extensions_mut().insert(principal);
                context
            }
            None => RequestContext::system(),
        };
        let sent = context.scope(self.node.runtime().router().oneshot(request));
        let response = self.node.run(sent).await.expect("an answer");
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = response.into_body().collect().await.expect("a body");
        let text = String::from_utf8(body.to_bytes().to_vec()).expect("UTF-8");
        Answer {
            what: self.what,
            status,
            headers,
            body: serde_json::from_str(&text).unwrap_or(Value::Null),
            text,
        }
    }
}

impl<'a> IntoFuture for Call<'a> {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    what: String,
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The body as JSON; null when it is none.
    pub body: Value,
    /// The body as text.
    pub text: String,
}

impl Answer {
    /// The body of an answer with this status.
    ///
    /// # Panics
    /// On another status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(
            self.status,
            status,
            "{} at {}: {}",
            self.what,
            Location::caller(),
            self.text
        );
        self.body
    }
    /// The body of a successful answer.
    ///
    /// # Panics
    /// On any other status than 200 to 299.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!(
            (200..300).contains(&self.status),
            "{}: {} {}",
            self.what,
            self.status,
            self.text
        );
        self.body
    }
    /// The document of a problem, checked for the form that every problem has (`api §1.7`).
    ///
    /// # Panics
    /// On another status or code, or another form.
    #[track_caller]
    pub fn problem(self, status: u16, code: &str) -> Value {
        let kind = self.headers.get(header::CONTENT_TYPE).cloned();
        let what = format!("{}: {} {}", self.what, self.status, self.text);
        assert_eq!(self.status, status, "{what}");
        assert_eq!(
            kind.as_ref().and_then(|v| v.to_str().ok()),
            Some("application/problem+json"),
            "{what}"
        );
        assert_eq!(self.body["code"], code, "{what}");
        assert_eq!(self.body["type"], format!("urn:problem:{code}"), "{what}");
        assert_eq!(self.body["status"], status, "{what}");
        for field in ["title", "detail"] {
            let text = self.body[field].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{field} of {what}");
        }
        self.body
    }
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }
}
