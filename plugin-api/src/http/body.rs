//! Request bodies. Types that derive `deny_unknown_fields` refuse unknown fields; whatever is wrong
//! with a body is answered with the place of the field (`api §1.7`).

use super::{FieldError, Problem};
use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, header},
};
use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

/// A JSON body; anything wrong becomes a problem document.
pub struct ApiJson<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for ApiJson<T> {
    type Rejection = Problem;
    async fn from_request(req: Request, state: &S) -> Result<Self, Problem> {
        let kind = MediaType::of(req.headers());
        if !kind.is("json") {
            return Err(kind.unsupported("application/json"));
        }
        let bytes = read_body(req, state).await?;
        parse_body(&bytes).map(ApiJson)
    }
}

/// The media type of a body: lower case, without its parameters; JSON when the caller names none.
pub struct MediaType(String);

impl MediaType {
    /// As the headers of a request say.
    pub fn of(headers: &HeaderMap) -> Self {
        let kind = headers.get(header::CONTENT_TYPE);
        let kind = kind.map_or("application/json", |v| v.to_str().unwrap_or("?"));
        let essence = kind.split(';').next().unwrap_or_default();
        Self(essence.trim().to_ascii_lowercase())
    }

    /// Whether it is of this format (`json`, `yaml`): by name, by its older name with `x-`, or as
    /// the suffix of a more special one, such as `application/merge-patch+json`.
    pub fn is(&self, format: &str) -> bool {
        let Some(("application" | "text", name)) = self.0.split_once('/') else {
            return false;
        };
        let special = name.strip_suffix(format).is_some_and(|n| n.ends_with('+'));
        name.strip_prefix("x-").unwrap_or(name) == format || special
    }

    /// 415 `unsupported_media_type` with what to send instead.
    pub fn unsupported(&self, wanted: &str) -> Problem {
        Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            format!("Send {wanted} instead of {}.", self.0),
        )
    }
}

/// The bytes of a body.
///
/// # Errors
/// 413 when there are more than the host allows, 400 when they do not arrive.
pub async fn read_body<S: Send + Sync>(req: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(req, state).await.map_err(|e| {
        if e.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Problem::too_large("The body is larger than this route accepts.")
        } else {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "malformed_json",
                "The body could not be read.",
            )
        }
    })
}

/// Parses a JSON body: `malformed_json` for text that is not JSON, `invalid_request` with the field
/// for JSON of another shape; an empty body counts as `{}`.
pub fn parse_body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let bytes = if bytes.iter().all(u8::is_ascii_whitespace) {
        b"{}".as_slice()
    } else {
        bytes
    };
    let malformed = |e: &serde_json::Error| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "malformed_json",
            format!("The body is not valid JSON: {e}"),
        )
    };
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize(&mut json).map_err(|e| {
        if e.inner().is_data() {
            let field = field_error(e.path(), e.inner());
            let place = match field.pointer.as_str() {
                "" => String::new(),
                pointer => format!(" at {pointer}"),
            };
            Problem::invalid(
                format!(
                    "The body does not have the expected shape{place}: {}.",
                    field.message
                ),
                vec![field],
            )
        } else {
            malformed(e.inner())
        }
    })?;
    json.end().map_err(|e| malformed(&e))?;
    Ok(read)
}

/// Where and what: codes are those that a definition's own fields have.
fn field_error(path: &Path, error: &serde_json::Error) -> FieldError {
    let text = error.to_string();
    // Lines and columns say nothing of a document that a program has put together.
    let message = match text.rfind(" at line ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    };
    let code = match () {
        () if message.starts_with("unknown field ") => "unknown_field",
        () if message.starts_with("missing field ") => "missing_field",
        () if message.starts_with("duplicate field ") => "duplicate_key",
        () if message.starts_with("unknown variant ") => "bad_enum",
        // A list in place of an object is read as its fields in order.
        () if message.starts_with("invalid type") || message.starts_with("invalid length") => {
            "wrong_type"
        }
        () => "bad_format",
    };
    let mut pointer = String::new();
    let mut last = None;
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } | Segment::Enum { variant: key } => push(&mut pointer, key),
            Segment::Unknown => continue,
        }
        last = Some(segment);
    }
    // The path of a field that is missing or unknown ends at its parent.
    if matches!(code, "unknown_field" | "missing_field" | "duplicate_key")
        && let Some(field) = message.split('`').nth(1)
        && !matches!(last, Some(Segment::Map { key }) if key == field)
    {
        push(&mut pointer, field);
    }
    FieldError {
        pointer,
        code: code.into(),
        message,
    }
}

fn push(pointer: &mut String, key: &str) {
    pointer.push('/');
    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Outer {
        name: String,
        #[serde(default)]
        items: Vec<Inner>,
    }
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Inner {
        kind: Kind,
    }
    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Good,
    }

    #[test]
    fn what_is_wrong_is_located() {
        let check = |body: &str, pointer: &str, code: &str| {
            let problem = parse_body::<Outer>(body.as_bytes()).expect_err("refused");
            assert_eq!((problem.status, &*problem.code), (422, "invalid_request"));
            let [field] = problem.errors.as_slice() else {
                panic!("{body}: {problem:?}");
            };
            assert_eq!((&*field.pointer, &*field.code), (pointer, code), "{body}");
            assert!(!field.message.contains("line"), "{}", field.message);
        };
        check(r#"{"name":"a","nmae":1}"#, "/nmae", "unknown_field");
        check(r#"{"name":"a","a/b":1}"#, "/a~1b", "unknown_field");
        check("", "/name", "missing_field");
        check(r#"{"name":5}"#, "/name", "wrong_type");
        check(r#"{"name":null}"#, "/name", "wrong_type");
        check(r#"{"name":"a","name":"b"}"#, "/name", "duplicate_key");
        check(
            r#"{"name":"a","items":[{"kind":"good"},{}]}"#,
            "/items/1/kind",
            "missing_field",
        );
        check(
            r#"{"name":"a","items":[{"kind":"bad"}]}"#,
            "/items/0/kind",
            "bad_enum",
        );
        check(
            r#"{"name":"a","items":[{"kind":"good","x":1}]}"#,
            "/items/0/x",
            "unknown_field",
        );
        check("[]", "", "wrong_type");
    }

    #[test]
    fn text_that_is_no_json_is_malformed() {
        for body in ["{", "{} x", "nope"] {
            let problem = parse_body::<serde_json::Value>(body.as_bytes()).expect_err("refused");
            assert_eq!(
                (problem.status, &*problem.code),
                (400, "malformed_json"),
                "{body}"
            );
        }
    }
}
