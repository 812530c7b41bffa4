//! Errors as RFC 9457 problem documents (`api §1.7`).

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::Value;

/// One wrong request field.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct FieldError {
    /// JSON pointer into the body.
    pub pointer: String,
    /// Stable code.
    pub code: String,
    /// What to send instead.
    pub message: String,
}

/// A problem document. `detail` never carries secrets or internals.
#[derive(Clone, Debug, Serialize)]
pub struct Problem {
    /// `urn:problem:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Short and constant per code.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// This occurrence.
    pub detail: String,
    /// The id of the request; filled in when the answer is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Stable code.
    pub code: String,
    /// Definition issues, if any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub issues: Vec<Value>,
    /// Wrong request fields, if any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

impl Problem {
    /// A problem by status and code; the title is the code in words.
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        let mut title = code.replace('_', " ");
        if let Some(first) = title.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        Self {
            kind: format!("urn:problem:{code}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            instance: None,
            code: code.into(),
            issues: Vec::new(),
            errors: Vec::new(),
        }
    }
    /// 404 `not_found`.
    pub fn not_found(what: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", what)
    }
    /// 400 `bad_parameter`.
    pub fn bad_parameter(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_parameter", detail)
    }
    /// 400 `bad_cursor`.
    pub fn bad_cursor() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad_cursor",
            "The cursor is malformed or belongs to other filters; start again without it.",
        )
    }
    /// 401 `unauthenticated`, the same whether the route exists or not.
    pub fn unauthenticated() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "Send a valid token: Authorization: Bearer <token>.",
        )
    }
    /// 413 `payload_too_large`.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", detail)
    }
    /// 422 `invalid_request` with its fields.
    pub fn invalid(detail: impl Into<String>, errors: Vec<FieldError>) -> Self {
        Self {
            errors,
            ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", detail)
        }
    }
    /// 409 with a code of its own.
    pub fn conflict(code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }
    /// 503 `unavailable`.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
    }
    /// 500 `internal`: the cause goes to the log, never into the answer.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        let request_id = super::request_id().unwrap_or_default();
        tracing::error!(%cause, request_id, "A request failed inside the server.");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "The server failed to answer this request; its log says why.",
        )
    }
    /// With definition issues.
    pub fn with_issues(mut self, issues: Vec<Value>) -> Self {
        self.issues = issues;
        self
    }
}

impl From<crate::db::DbError> for Problem {
    fn from(e: crate::db::DbError) -> Self {
        if crate::db::is_unavailable(&e) {
            Self::unavailable("The database does not answer.")
        } else {
            Self::internal(&e)
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        self.instance = self.instance.or_else(super::request_id);
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
