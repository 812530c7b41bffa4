//! HTTP requests, without following redirects: what the checked address itself answers counts.

use super::{CollectCx, Collected, CollectorDef, Session, Strategy, decode, millis, timeout_ms};
use crate::assertions::{Field, FieldKind};
use plugin_api::{Clock, clock::timeout, config::ConfigSchema};
use reqwest::{Method, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

/// Bytes of a body that are read (`healthcheck §3.3.1`).
const BODY_LIMIT: usize = 1024 * 1024;
const ID: &str = "healthcheck-http.http";
const REQUEST: &str = "healthcheck-http.request";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "read by the executor, published as a schema")]
struct Config {
    /// Limit of the whole run in milliseconds.
    #[serde(default = "timeout_ms")]
    #[schemars(range(min = 100))]
    timeout: u64,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
enum Verb {
    Get,
    Post,
    Put,
    Delete,
    Head,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Header {
    name: String,
    value: String,
}

fn get() -> Verb {
    Verb::Get
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Request {
    /// Absolute address.
    url: String,
    #[serde(default = "get")]
    method: Verb,
    #[serde(default)]
    headers: Vec<Header>,
    body: Option<String>,
    /// Limit of this request in milliseconds.
    #[serde(default = "timeout_ms")]
    #[schemars(range(min = 100))]
    timeout: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    status_code: u16,
    status_text: &'static str,
    response_time_ms: i64,
    body: String,
    body_length: usize,
    success: bool,
}

const FIELDS: &[Field] = &[
    Field::new("statusCode", FieldKind::Number),
    Field::new("statusText", FieldKind::String),
    Field::new("responseTimeMs", FieldKind::Duration),
    Field::new("body", FieldKind::JsonText).ephemeral(),
    Field::new("bodyLength", FieldKind::Number),
    Field::new("success", FieldKind::Boolean),
];

/// Strategy `http`.
pub struct Http {
    client: OnceLock<Result<reqwest::Client, String>>,
}

impl Default for Http {
    fn default() -> Self {
        Self::new()
    }
}

impl Http {
    /// The strategy; its client is built with the first run.
    pub fn new() -> Self {
        Self {
            client: OnceLock::new(),
        }
    }
}

/// A client that opens a fresh connection per request, so that a check sees the way there too.
fn client() -> Result<reqwest::Client, String> {
    let roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(0)
        .no_proxy()
        .user_agent(concat!("Signalbox/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|e| e.to_string())
}

#[async_trait::async_trait]
impl Strategy for Http {
    fn id(&self) -> &'static str {
        ID
    }
    fn display_name(&self) -> &'static str {
        "HTTP"
    }
    fn description(&self) -> &'static str {
        "Sends HTTP requests and looks at the answers."
    }
    fn config(&self) -> ConfigSchema {
        ConfigSchema::of::<Config>()
    }
    fn collectors(&self) -> Vec<CollectorDef> {
        vec![CollectorDef {
            id: REQUEST,
            display_name: "Request",
            config: ConfigSchema::of::<Request>(),
            fields: FIELDS,
            allow_multiple: true,
            secret_keys: &["url", "headers", "body"],
            check: check_request,
        }]
    }
    async fn connect(
        &self,
        _config: &Value,
        _clock: &Arc<dyn Clock>,
    ) -> Result<Arc<dyn Session>, String> {
        let client = self.client.get_or_init(client).clone()?;
        Ok(Arc::new(Requests(client)))
    }
}

fn check_request(config: &Value) -> Vec<(String, String)> {
    let mut errors = Vec::new();
    let url = config.get("url").and_then(Value::as_str).unwrap_or("");
    // An address with a secret in it can only be judged when the secret is known.
    if plugin_api::secrets::references(url).is_empty() {
        match reqwest::Url::parse(url) {
            Ok(u) if matches!(u.scheme(), "http" | "https") && u.has_host() => {}
            _ => errors.push((
                "url".into(),
                "must be an absolute http or https address".into(),
            )),
        }
    }
    for h in config
        .get("headers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let name = h.get("name").and_then(Value::as_str).unwrap_or("");
        if header::HeaderName::from_bytes(name.as_bytes()).is_err() {
            errors.push((
                "headers".into(),
                format!("{name:?} is not an HTTP header name"),
            ));
        }
    }
    errors
}

struct Requests(reqwest::Client);

#[async_trait::async_trait]
impl Session for Requests {
    async fn collect(&self, _collector: &str, config: &Value, cx: &CollectCx) -> Collected {
        let request: Request = match decode(config) {
            Ok(request) => request,
            Err(error) => return Collected::failed(error),
        };
        let limit = Duration::from_millis(request.timeout);
        match timeout(cx.clock.as_ref(), limit, send(&self.0, request, cx)).await {
            Ok(Ok(answer)) => {
                let error = implicit_error(&answer, cx);
                Collected::of(&answer, error)
            }
            Ok(Err(error)) => Collected::failed(error),
            Err(_) => Collected::failed(format!("Request timeout after {}ms", limit.as_millis())),
        }
    }
}

fn implicit_error(answer: &Answer, cx: &CollectCx) -> Option<String> {
    let own_rule = cx
        .asserted
        .iter()
        .any(|f| f == "statusCode" || f == "success");
    (!answer.success && !own_rule)
        .then(|| format!("HTTP {}: {}", answer.status_code, answer.status_text))
}

async fn send(client: &reqwest::Client, r: Request, cx: &CollectCx) -> Result<Answer, String> {
    let method = match r.method {
        Verb::Get => Method::GET,
        Verb::Post => Method::POST,
        Verb::Put => Method::PUT,
        Verb::Delete => Method::DELETE,
        Verb::Head => Method::HEAD,
    };
    let mut builder = client.request(method, &r.url);
    for h in &r.headers {
        // The builder would carry a bad header as an error that quotes it; the value may be secret.
        let name = header::HeaderName::from_bytes(h.name.as_bytes())
            .map_err(|_| format!("{:?} is not an HTTP header name", h.name))?;
        let mut value = header::HeaderValue::from_str(&h.value)
            .map_err(|_| format!("the value of header {name} cannot be sent"))?;
        value.set_sensitive(true);
        builder = builder.header(name, value);
    }
    if let Some(body) = r.body {
        builder = builder.body(body);
    }
    let started = cx.clock.monotonic();
    let mut response = builder.send().await.map_err(|e| explain(&e))?;
    let status = response.status();
    let mut body = Vec::new();
    while body.len() < BODY_LIMIT {
        match response.chunk().await.map_err(|e| explain(&e))? {
            None => break,
            Some(chunk) => {
                let room = BODY_LIMIT - body.len();
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            }
        }
    }
    let took = cx.clock.monotonic().saturating_sub(started);
    Ok(Answer {
        status_code: status.as_u16(),
        status_text: status.canonical_reason().unwrap_or(""),
        response_time_ms: millis(took),
        body_length: body.len(),
        body: String::from_utf8_lossy(&body).into_owned(),
        success: (200..400).contains(&status.as_u16()),
    })
}

/// The innermost cause says what happened; the address is left out, it may hold a secret.
fn explain(error: &reqwest::Error) -> String {
    let top: &dyn std::error::Error = error;
    let mut innermost = top.source();
    while let Some(inner) = innermost.and_then(|e| e.source()) {
        innermost = Some(inner);
    }
    let kind = if error.is_connect() {
        "Connection failed"
    } else if error.is_body() || error.is_decode() {
        "Reading the answer failed"
    } else {
        "Request failed"
    };
    match innermost {
        Some(cause) => format!("{kind}: {cause}"),
        None => kind.into(),
    }
}
