//! Bodies and headers that several routes share.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::{StatusCode, header, request::Parts},
};
use plugin_api::http::{Problem, parse_body};
use serde::de::DeserializeOwned;

/// The largest definition, `api §1.4`.
pub const DEFINITION_LIMIT: usize = 256 * 1024;

/// A body that is YAML text or a JSON document.
pub enum YamlOrJson<T> {
    /// `application/yaml`: a definition as its author wrote it.
    Yaml(String),
    /// `application/json`.
    Json(T),
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for YamlOrJson<T> {
    type Rejection = Problem;
    async fn from_request(req: Request, state: &S) -> Result<Self, Problem> {
        let kind = req
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|v| v.to_str().ok())
            .unwrap_or("application/json")
            .to_ascii_lowercase();
        let too_large = || {
            Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "payload_too_large",
                "Send at most 1 MiB.",
            )
        };
        let bytes = Bytes::from_request(req, state)
            .await
            .map_err(|_| too_large())?;
        if kind.contains("yaml") {
            if bytes.len() > DEFINITION_LIMIT {
                return Err(Problem::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "payload_too_large",
                    "A definition has at most 256 KiB.",
                ));
            }
            let text = String::from_utf8(bytes.to_vec()).map_err(|_| {
                Problem::new(
                    StatusCode::BAD_REQUEST,
                    "malformed_yaml",
                    "The body is not UTF-8.",
                )
            })?;
            return Ok(Self::Yaml(text));
        }
        if kind.contains("json") {
            return parse_body(&bytes).map(Self::Json);
        }
        Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "Send application/json or application/yaml.",
        ))
    }
}

/// The version in `If-Match`, none for `*`: any version. A write without the header is refused
/// (`api §1.9`).
pub struct IfMatch(pub Option<i64>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else {
            return Err(Problem::new(
                StatusCode::PRECONDITION_REQUIRED,
                "version_required",
                "Send the version you read as If-Match, for example If-Match: \"3\".",
            ));
        };
        let text = value
            .to_str()
            .unwrap_or("")
            .trim()
            .trim_start_matches("W/")
            .trim_matches('"');
        if text == "*" {
            return Ok(Self(None));
        }
        text.parse().map(|v| Self(Some(v))).map_err(|_| {
            Problem::new(
                StatusCode::PRECONDITION_FAILED,
                "version_mismatch",
                "If-Match does not hold a version.",
            )
        })
    }
}

/// An id in a path; a text that is no id names nothing.
pub fn id<T: std::str::FromStr>(text: &str, what: &str) -> Result<T, Problem> {
    text.parse()
        .map_err(|_| Problem::not_found(format!("There is no {what} {text}.")))
}
