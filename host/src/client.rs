//! The API as the command line uses it.

use crate::{apply::Answer, settings::Remote};
use anyhow::{Context, anyhow, bail};
use reqwest::{Method, StatusCode};
use serde_json::Value;

/// A connection to one server.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
}

/// A refusal of the server: its problem document.
#[derive(Debug)]
pub struct Refused {
    /// HTTP status.
    pub status: StatusCode,
    /// The problem document, or whatever came.
    pub problem: Value,
}
impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let detail = self.problem["detail"]
            .as_str()
            .unwrap_or("no further detail");
        write!(f, "the server answered {}: {detail}", self.status)?;
        for e in self.problem["errors"].as_array().into_iter().flatten() {
            write!(
                f,
                "\n  {}: {}",
                e["pointer"].as_str().unwrap_or(""),
                e["message"].as_str().unwrap_or("")
            )?;
        }
        if self.status.is_server_error()
            && let Some(id) = self.problem["instance"].as_str()
        {
            write!(f, " (request {id})")?;
        }
        Ok(())
    }
}
impl std::error::Error for Refused {}

/// A server's address as people mistype it.
fn check_address(server: &str) -> anyhow::Result<()> {
    let url = reqwest::Url::parse(server).ok();
    if url.is_some_and(|u| matches!(u.scheme(), "http" | "https") && u.has_host()) {
        return Ok(());
    }
    bail!("{server:?} is not the address of a server; write for example http://127.0.0.1:8080")
}

/// A text as one segment of a path.
pub fn segment(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes()
        .map(|b| match plain(b) {
            true => char::from(b).to_string(),
            false => format!("%{b:02X}"),
        })
        .collect()
}

impl Client {
    /// A client for a server; finds the token.
    pub fn new(remote: &Remote) -> anyhow::Result<Self> {
        let token = match &remote.token {
            Some(t) => t.clone(),
            None => crate::token::read_admin_token(&remote.data_dir)?,
        };
        Self::with_token(&remote.server, &token)
    }

    /// A client with a token at hand.
    pub fn with_token(server: &str, token: &str) -> anyhow::Result<Self> {
        check_address(server)?;
        crate::tls::install();
        let http = reqwest::Client::builder()
            .timeout(std::time::Duration::from_secs(30))
            .build()
            .context("the HTTP client cannot start")?;
        Ok(Self {
            http,
            base: format!("{}/api/v1", server.trim_end_matches('/')),
            token: token.to_owned(),
        })
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        if_match: Option<&str>,
    ) -> anyhow::Result<reqwest::Response> {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(&self.token);
        if let Some(v) = if_match {
            request = request.header("if-match", v);
        }
        if let Some(b) = body {
            request = request.json(b);
        }
        request.send().await.map_err(|e| self.unreachable(e))
    }

    /// Sends a request; refusals come back as answers.
    pub async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        if_match: Option<&str>,
    ) -> anyhow::Result<Answer> {
        let response = self.request(method, path, body, if_match).await?;
        let status = response.status();
        let text = response
            .text()
            .await
            .context("the answer could not be read")?;
        if status == StatusCode::UNAUTHORIZED {
            bail!(
                "the server refused the token; give the right one with --token, or the server's data folder with --data-dir"
            );
        }
        let body = if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        };
        Ok(Answer { status, body })
    }

    /// `GET`; a refusal is an error of type [`Refused`].
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.exchange(Method::GET, path, None, None).await?.ok()
    }
    /// `GET`; none on 404.
    pub async fn find(&self, path: &str) -> anyhow::Result<Option<Value>> {
        let answer = self.exchange(Method::GET, path, None, None).await?;
        if answer.status == StatusCode::NOT_FOUND {
            Ok(None)
        } else {
            answer.ok().map(Some)
        }
    }
    /// Any other call.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        self.exchange(method, path, body, None).await?.ok()
    }
    /// Changes something that carries an `ETag`: reads its version, then sends the change for it.
    pub async fn change(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<Value> {
        let version = self.get(path).await?["version"].clone();
        self.exchange(method, path, body.as_ref(), Some(&format!("\"{version}\"")))
            .await?
            .ok()
    }
    /// `/readyz`: ready or not, and the probes.
    pub async fn readiness(&self) -> anyhow::Result<(bool, Value)> {
        let url = format!("{}/readyz", self.base.trim_end_matches("/api/v1"));
        let response = self
            .http
            .get(url)
            .bearer_auth(&self.token)
            .send()
            .await
            .map_err(|e| self.unreachable(e))?;
        let ready = response.status().is_success();
        Ok((ready, response.json().await.unwrap_or(Value::Null)))
    }
    fn unreachable(&self, e: reqwest::Error) -> anyhow::Error {
        if e.is_connect() {
            anyhow!(
                "no server answers at {}; start one with `signalbox serve`, or name it with --server",
                self.base.trim_end_matches("/api/v1")
            )
        } else {
            anyhow!("the request failed: {}", e.without_url())
        }
    }
    /// Every item of a paged collection.
    pub async fn all(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let separator = if path.contains('?') { '&' } else { '?' };
            let page = match &cursor {
                Some(c) => {
                    self.get(&format!("{path}{separator}limit=200&cursor={c}"))
                        .await?
                }
                None => self.get(&format!("{path}{separator}limit=200")).await?,
            };
            items.extend(page["items"].as_array().cloned().unwrap_or_default());
            match page["next_cursor"].as_str() {
                Some(c) => cursor = Some(c.to_owned()),
                None => return Ok(items),
            }
        }
    }
}
