//! Bodies and headers that several routes share.

use automation_core::store::Source;
use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use plugin_api::http::{MediaType, Problem, parse_body, read_body};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The largest definition, `api §1.4`.
const DEFINITION_LIMIT: usize = 256 * 1024;

fn within_limit(bytes: usize) -> Result<(), Problem> {
    if bytes > DEFINITION_LIMIT {
        return Err(Problem::too_large("A definition has at most 256 KiB."));
    }
    Ok(())
}

/// A definition that came as JSON, measured without the white space and the fields around it.
pub fn source(definition: Value) -> Result<Source, Problem> {
    within_limit(definition.to_string().len())?;
    Ok(Source::Value(definition))
}

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
        let kind = MediaType::of(req.headers());
        if kind.is("json") {
            return parse_body(&read_body(req, state).await?).map(Self::Json);
        }
        if !kind.is("yaml") {
            return Err(kind.unsupported("application/json or application/yaml"));
        }
        let bytes = read_body(req, state).await?;
        within_limit(bytes.len())?;
        let text = String::from_utf8(bytes.to_vec()).map_err(|_| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "malformed_yaml",
                "The body is not UTF-8.",
            )
        })?;
        Ok(Self::Yaml(text))
    }
}

/// Whether the caller has this version already (`If-None-Match`): compared weakly, so `W/` says
/// nothing.
pub fn has_version(headers: &HeaderMap, version: i64) -> bool {
    let current = format!("\"{version}\"");
    let known = headers.get_all(header::IF_NONE_MATCH).into_iter();
    known
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == current)
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
