//! Checking documents: each by the API that would take it, and all of them against each other.

use super::{
    Api,
    document::{Document, DocumentKind},
    read::Source,
    spec,
};
use automation_core::diagnostic::{Diagnostic, Diagnostics, Path, PathSegment, Severity};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

/// Documents with everything that was found.
pub struct Checked {
    /// The files, each with its located diagnostics.
    pub sources: Vec<Source>,
}

impl Checked {
    /// Any error at all?
    pub fn has_errors(&self) -> bool {
        self.sources.iter().any(|s| s.diagnostics.has_errors())
    }
    /// Every finding with its source lines.
    pub fn render(&self, color: bool) -> String {
        let parts: Vec<String> = self
            .sources
            .iter()
            .filter(|s| !s.diagnostics.is_empty())
            .map(|s| s.diagnostics.render(&s.name, Some(&s.text), color))
            .collect();
        parts.join("\n\n")
    }
    /// The rendered findings if there is an error.
    pub fn errors(&self, color: bool) -> Option<String> {
        self.has_errors().then(|| self.render(color))
    }
    /// `2 errors, 1 warning`, or `valid`.
    pub fn summary(&self) -> String {
        let count = |s: Severity| {
            self.sources
                .iter()
                .flat_map(|f| f.diagnostics.iter())
                .filter(|d| d.severity == s)
                .count()
        };
        let word = |n: usize, w: &str| match n {
            0 => None,
            1 => Some(format!("1 {w}")),
            n => Some(format!("{n} {w}s")),
        };
        let parts: Vec<String> = [
            word(count(Severity::Error), "error"),
            word(count(Severity::Warning), "warning"),
        ]
        .into_iter()
        .flatten()
        .collect();
        if parts.is_empty() {
            "valid".into()
        } else {
            parts.join(", ")
        }
    }
    /// Every document.
    pub fn documents(&self) -> impl Iterator<Item = &Document> {
        self.sources.iter().flat_map(|s| &s.documents)
    }
}

/// Checks all documents; writes nothing.
///
/// # Errors
/// Only when the API cannot be asked; what is wrong with documents is in the answer.
pub async fn check(api: &dyn Api, mut sources: Vec<Source>) -> anyhow::Result<Checked> {
    let mut seen: BTreeMap<(DocumentKind, String), String> = BTreeMap::new();
    let known_checks: BTreeSet<String> = sources
        .iter()
        .flat_map(|s| &s.documents)
        .filter(|d| d.kind == DocumentKind::Healthcheck)
        .map(|d| d.name.clone())
        .collect();
    for source in &mut sources {
        for d in &source.documents {
            let mut found = match d.kind {
                DocumentKind::Automation => {
                    issues(
                        api,
                        "/definitions/validate",
                        json!({"definition": spec::definition(d)}),
                        &["spec"],
                    )
                    .await?
                }
                DocumentKind::Healthcheck => health_check(api, d).await?,
                DocumentKind::System => system(api, d, &known_checks).await?,
            };
            if let Some(first) = seen.insert((d.kind, d.name.clone()), source.name.clone()) {
                let message = format!(
                    "{} {} is declared twice; first in {first}",
                    d.kind.as_str(),
                    d.name
                );
                found.push(Diagnostic::error(
                    "duplicate_document",
                    vec![PathSegment::from("metadata"), PathSegment::from("name")],
                    message,
                ));
            }
            source
                .diagnostics
                .append(found.locate(&d.root, Some(&source.text)));
        }
        source.diagnostics = std::mem::take(&mut source.diagnostics).ordered();
    }
    Ok(Checked { sources })
}

async fn health_check(api: &dyn Api, d: &Document) -> anyhow::Result<Diagnostics> {
    let mut found = unknown_keys(d, &["strategy", "intervalSeconds", "config", "collectors"]);
    for key in ["strategy", "intervalSeconds"] {
        if d.spec()[key].is_null() {
            let path = vec![PathSegment::from("spec"), PathSegment::from(key)];
            found.push(Diagnostic::error(
                "missing_field",
                path,
                format!("{key} is missing"),
            ));
        }
    }
    if !found.has_errors() {
        let mut body = spec::check_body(d);
        body["name"] = d.name.clone().into();
        found.append(issues(api, "/checks/validate", body, &["spec"]).await?);
    }
    Ok(found)
}

async fn system(
    api: &dyn Api,
    d: &Document,
    known_checks: &BTreeSet<String>,
) -> anyhow::Result<Diagnostics> {
    let mut found = unknown_keys(d, &["healthcheck"]);
    let at = |i: usize| {
        vec![
            PathSegment::from("spec"),
            PathSegment::from("healthcheck"),
            PathSegment::from(i),
        ]
    };
    match spec::assignments(d) {
        None => {}
        Some(Err(i)) => found.push(
            Diagnostic::error(
                "bad_format",
                at(i),
                "expected an entry with a reference to a Healthcheck",
            )
            .help("write - ref: { kind: Healthcheck, name: … }"),
        ),
        Some(Ok(list)) => {
            for (i, a) in list.iter().enumerate() {
                let missing = !known_checks.contains(&a.check)
                    && api
                        .send(Method::GET, &format!("/checks/{}", a.check), None, None)
                        .await?
                        .status
                        == 404;
                if missing {
                    let message = format!(
                        "there is no Healthcheck {}, neither in these files nor on the server",
                        a.check
                    );
                    found.push(Diagnostic::error("unresolved_reference", at(i), message));
                }
            }
        }
    }
    Ok(found)
}

fn unknown_keys(d: &Document, allowed: &[&'static str]) -> Diagnostics {
    let mut found = Diagnostics::new();
    for key in d
        .spec()
        .as_object()
        .into_iter()
        .flat_map(|m| m.keys())
        .filter(|k| !allowed.contains(&k.as_str()))
    {
        let help = automation_core::diagnostic::nearest(key, allowed.iter().copied()).map_or_else(
            || format!("known here: {}", allowed.join(", ")),
            |n| format!("did you mean {n}?"),
        );
        let path = vec![PathSegment::from("spec"), PathSegment::from(key.as_str())];
        found.push(
            Diagnostic::error(
                "unknown_field",
                path,
                format!("{key} is not a field of the spec of a {}", d.kind.as_str()),
            )
            .help(help),
        );
    }
    found
}

/// Asks the API for the issues of a body and turns them into diagnostics below `prefix`.
async fn issues(
    api: &dyn Api,
    route: &str,
    body: Value,
    prefix: &[&str],
) -> anyhow::Result<Diagnostics> {
    let answer = api
        .send(Method::POST, route, Some(body), None)
        .await?
        .ok()?;
    Ok(answer["issues"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|i| diagnostic(i, prefix))
        .collect())
}

fn diagnostic(issue: &Value, prefix: &[&str]) -> Diagnostic {
    let severity = match issue["severity"].as_str() {
        Some("warning") => Severity::Warning,
        Some("info") => Severity::Info,
        _ => Severity::Error,
    };
    let own: Vec<Value> = issue["path"].as_array().cloned().unwrap_or_default();
    let path: Path = prefix
        .iter()
        .map(|p| PathSegment::from(*p))
        .chain(spec::check_path(&own).iter().filter_map(|v| match v {
            Value::String(k) => Some(PathSegment::from(k.as_str())),
            v => v.as_u64().map(|i| PathSegment::from(i as usize)),
        }))
        .collect();
    let code = intern(issue["code"].as_str().unwrap_or("invalid"));
    Diagnostic::new(
        severity,
        code,
        path,
        issue["message"].as_str().unwrap_or("not valid"),
    )
    .maybe_help(issue["hint"].as_str().map(str::to_owned))
}

/// Codes are constants where they are made; here they arrive as text. The set of codes is small, so
/// each is kept once for the life of the process.
fn intern(code: &str) -> &'static str {
    static CODES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut codes = CODES.lock().expect("codes");
    match codes.get(code) {
        Some(known) => known,
        None => {
            let kept: &'static str = Box::leak(code.to_owned().into_boxed_str());
            codes.insert(kept);
            kept
        }
    }
}
