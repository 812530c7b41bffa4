//! Checking documents: each by the API that would take it, and all of them against each other.

use super::{
    Api, assignments,
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
    /// Every document of one kind, with its place among all of them.
    pub(super) fn of(
        &self,
        kind: DocumentKind,
    ) -> impl Iterator<Item = ((usize, usize), &Document)> {
        let placed = self.sources.iter().enumerate().flat_map(|(s, source)| {
            let documents = source.documents.iter().enumerate();
            documents.map(move |(d, document)| ((s, d), document))
        });
        placed.filter(move |(_, d)| d.kind == kind)
    }
    /// Adds findings about a document.
    pub(super) fn add(&mut self, (source, document): (usize, usize), found: Diagnostics) {
        let source = &mut self.sources[source];
        let d = &mut source.documents[document];
        d.sound &= !found.has_errors();
        let mut all = std::mem::take(&mut source.diagnostics);
        all.append(found.locate(&d.root, Some(&source.text)));
        source.diagnostics = all.ordered();
    }
}

/// Checks all documents; writes nothing.
///
/// # Errors
/// Only when the API cannot be asked; what is wrong with documents is in the answer.
pub async fn check(api: &dyn Api, sources: Vec<Source>) -> anyhow::Result<Checked> {
    let mut checked = Checked { sources };
    let mut findings = doubles(&checked);
    let declared: BTreeSet<&str> = checked
        .of(DocumentKind::Healthcheck)
        .map(|(_, d)| d.name.as_str())
        .collect();
    for (place, d) in checked.of(DocumentKind::Healthcheck) {
        findings.push((place, health_check(api, d).await?));
    }
    for (place, d) in checked.of(DocumentKind::System) {
        findings.push((place, system(api, d, &declared).await?));
    }
    for (place, d) in checked.of(DocumentKind::Automation) {
        findings.push((place, automation(api, d).await?));
    }
    for (place, found) in findings {
        checked.add(place, found);
    }
    Ok(checked)
}

/// What no two documents may have in common: their name; and display names where the server wants
/// them unique, ignoring case.
fn doubles(checked: &Checked) -> Vec<((usize, usize), Diagnostics)> {
    let mut findings = Vec::new();
    for kind in DocumentKind::ALL {
        let mut names = BTreeMap::new();
        let mut titles = BTreeMap::new();
        for (place, d) in checked.of(kind) {
            let what = kind.as_str();
            if let Some(first) = names.insert(d.name.as_str(), place.0) {
                let first = &checked.sources[first].name;
                let message = format!("{what} {} is declared twice; first in {first}", d.name);
                let at = vec!["metadata".into(), "name".into()];
                let double = Diagnostic::error("duplicate_document", at, message);
                findings.push((place, double.into()));
                continue;
            }
            let unique = kind != DocumentKind::Automation;
            let title = d.display_name().to_lowercase();
            if unique && let Some(first) = titles.insert(title, d.name.as_str()) {
                let title = d.display_name();
                let message = format!("{what} {first} is called {title:?} too, ignoring case");
                let double = Diagnostic::error("duplicate_name", d.display_name_at(), message)
                    .help("give each a title of its own");
                findings.push((place, double.into()));
            }
        }
    }
    findings
}

async fn automation(api: &dyn Api, d: &Document) -> anyhow::Result<Diagnostics> {
    let definition = spec::definition(d);
    let route = "/definitions/validate";
    let mut found = issues(api, route, json!({"definition": definition}), d).await?;
    if let Some(enabled) = d.labels.get("enabled")
        && !matches!(enabled.as_str(), "true" | "false")
    {
        let at: Path = vec!["metadata".into(), "labels".into(), "enabled".into()];
        let message = format!("{enabled:?} says neither that it is enabled nor that it is not");
        found.push(
            Diagnostic::error("bad_enum", at, message).help("write \"true\" or \"false\", quoted"),
        );
    }
    Ok(found)
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
        found.append(issues(api, "/checks/validate", spec::check_body(d), d).await?);
    }
    Ok(found)
}

async fn system(
    api: &dyn Api,
    d: &Document,
    declared: &BTreeSet<&str>,
) -> anyhow::Result<Diagnostics> {
    let mut found = unknown_keys(d, &["healthcheck"]);
    let (list, own) = assignments::read(d);
    found.append(own);
    for a in list.into_iter().flatten() {
        let check = a.check.as_str();
        if declared.contains(check) || find_check(api, check).await?.is_some() {
            continue;
        }
        let at = assignments::entry_at(a.index);
        let code = "unresolved_reference";
        found.push(if api.is_scratch() {
            let message = format!("no Healthcheck {check} is declared in these files");
            Diagnostic::warning(code, at, message)
                .help("`apply` asks the server for it, and refuses if it is not there either")
        } else {
            let message = format!(
                "there is no Healthcheck {check}, neither in these files nor on the server"
            );
            Diagnostic::error(code, at, message)
        });
    }
    Ok(found)
}

/// The id of a check that exists: declared by a document of this name, or made in another way and
/// called so.
pub(super) async fn find_check(api: &dyn Api, name: &str) -> anyhow::Result<Option<String>> {
    for key in [spec::check_id(name).as_str(), name] {
        let path = format!("/checks/{}", crate::client::segment(key));
        let answer = api.send(Method::GET, &path, None, None).await?;
        if answer.status != 404 {
            return Ok(answer.ok()?["id"].as_str().map(str::to_owned));
        }
    }
    Ok(None)
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
        let message = format!("{key} is not a field of the spec of a {}", d.kind.as_str());
        let d = Diagnostic::error("unknown_field", path, message);
        found.push(d.help(help).on_key());
    }
    found
}

/// Asks the API what it has to say about a body made of a document.
async fn issues(
    api: &dyn Api,
    route: &str,
    body: Value,
    d: &Document,
) -> anyhow::Result<Diagnostics> {
    let answer = api
        .send(Method::POST, route, Some(body), None)
        .await?
        .ok()?;
    let issues = answer["issues"].as_array().into_iter().flatten();
    Ok(issues.map(|i| of_issue(i, d)).collect())
}

/// An issue of the API about the spec of a document.
pub(super) fn of_issue(issue: &Value, d: &Document) -> Diagnostic {
    let severity = match issue["severity"].as_str() {
        Some("warning") => Severity::Warning,
        Some("info") => Severity::Info,
        _ => Severity::Error,
    };
    let own: Vec<Value> = issue["path"].as_array().cloned().unwrap_or_default();
    let code = intern(issue["code"].as_str().unwrap_or("invalid"));
    let message = issue["message"].as_str().unwrap_or("not valid");
    let mut found = Diagnostic::new(severity, code, in_spec(d, &own), message)
        .maybe_help(issue["hint"].as_str().map(str::to_owned));
    found.on_key = code == "unknown_field";
    found
}

/// The place in a document of a field of the body made of its spec.
pub(super) fn in_spec(d: &Document, path: &[Value]) -> Path {
    // A name that the spec does not give was filled in from the metadata.
    if path == [json!("name")] && d.spec().get("name").is_none() {
        return d.display_name_at();
    }
    let steps = spec::check_path(path);
    let steps = steps.iter().filter_map(|v| match v {
        Value::String(k) => Some(PathSegment::from(k.as_str())),
        v => v.as_u64().map(|i| PathSegment::from(i as usize)),
    });
    std::iter::once(PathSegment::from("spec"))
        .chain(steps)
        .collect()
}

/// Codes are constants where they are made; here they arrive as text. The set of codes is small, so
/// each is kept once for the life of the process.
pub(super) fn intern(code: &str) -> &'static str {
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
