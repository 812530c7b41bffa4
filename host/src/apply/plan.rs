//! What would change, and carrying it out.

use super::{
    Api,
    check::Checked,
    document::{Document, DocumentKind},
    spec,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::fmt;

/// What happens to one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Create,
    Update,
    Unchanged,
    Assign,
    Unassign,
}

/// One line of a plan: a request, or the remark that none is needed.
#[derive(Clone, Debug)]
pub struct Change {
    /// What it is about.
    pub kind: DocumentKind,
    /// Its name.
    pub name: String,
    verb: Verb,
    detail: String,
    request: Option<(Method, String, Value)>,
    if_match: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.verb {
            Verb::Create => "+ create   ",
            Verb::Update => "~ update   ",
            Verb::Unchanged => "  unchanged",
            Verb::Assign => "+ assign   ",
            Verb::Unassign => "- unassign ",
        };
        write!(
            f,
            "{verb} {} {}{}",
            self.kind.as_str(),
            self.name,
            self.detail
        )
    }
}

/// All changes, in the order in which they are made: checks, systems with their assignments, automations.
pub struct Plan {
    /// One entry per document and assignment.
    pub changes: Vec<Change>,
}

impl Plan {
    /// Nothing to send?
    pub fn is_empty(&self) -> bool {
        self.pending() == 0
    }
    /// How many requests there are.
    pub fn pending(&self) -> usize {
        self.changes.iter().filter(|c| c.request.is_some()).count()
    }
    /// Makes the changes; tells each that is done. Every request is idempotent, so that applying again
    /// continues where a failure stopped it.
    pub async fn carry_out(
        &self,
        api: &dyn Api,
        mut done: impl FnMut(&Change),
    ) -> anyhow::Result<()> {
        for c in &self.changes {
            let Some((method, path, body)) = &c.request else {
                continue;
            };
            let body = (*method != Method::DELETE).then(|| body.clone());
            api.send(method.clone(), path, body, c.if_match.clone())
                .await?
                .ok()
                .map_err(|e| e.context(format!("{} {}", c.kind.as_str(), c.name)))?;
            done(c);
        }
        Ok(())
    }
}

/// Compares the documents with what the API has.
pub async fn plan(api: &dyn Api, checked: &Checked) -> anyhow::Result<Plan> {
    let of = |kind: DocumentKind| checked.documents().filter(move |d| d.kind == kind);
    let mut changes = Vec::new();
    for d in of(DocumentKind::Healthcheck) {
        changes.push(check_change(api, d).await?);
    }
    for d in of(DocumentKind::System) {
        system_changes(api, d, &mut changes).await?;
    }
    let existing = automations(api).await?;
    for d in of(DocumentKind::Automation) {
        changes.push(automation_change(api, d, &existing).await?);
    }
    Ok(Plan { changes })
}

fn change(
    d: &Document,
    verb: Verb,
    detail: String,
    request: Option<(Method, String, Value)>,
) -> Change {
    Change {
        kind: d.kind,
        name: d.name.clone(),
        verb,
        detail,
        request,
        if_match: None,
    }
}

async fn find(api: &dyn Api, path: &str) -> anyhow::Result<Option<Value>> {
    let answer = api.send(Method::GET, path, None, None).await?;
    if answer.status == 404 {
        Ok(None)
    } else {
        answer.ok().map(Some)
    }
}

/// The keys of `wanted` whose value differs in `found`.
fn differing<'w>(wanted: &'w Value, found: &Value) -> Vec<&'w str> {
    wanted
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(k, v)| found.get(k.as_str()).unwrap_or(&Value::Null) != *v)
        .map(|(k, _)| k.as_str())
        .collect()
}

fn listed(keys: &[&str]) -> String {
    format!(" ({})", keys.join(", "))
}

async fn check_change(api: &dyn Api, d: &Document) -> anyhow::Result<Change> {
    let path = format!("/checks/{}", d.name);
    let body = spec::check_body(d);
    let found = find(api, &path).await?;
    // The server's own normal form of the body decides whether anything differs.
    let mut asked = body.clone();
    asked["name"] = d.name.clone().into();
    let normal = api
        .send(Method::POST, "/checks/validate", Some(asked), None)
        .await?
        .ok()?["normalized"]
        .clone();
    let wanted = if normal.is_object() {
        normal
    } else {
        body.clone()
    };
    Ok(match found {
        None => change(
            d,
            Verb::Create,
            String::new(),
            Some((Method::PUT, path, body)),
        ),
        Some(found) => match differing(&wanted, &found).as_slice() {
            [] => change(d, Verb::Unchanged, String::new(), None),
            keys => change(
                d,
                Verb::Update,
                listed(keys),
                Some((Method::PUT, path, body)),
            ),
        },
    })
}

async fn system_changes(
    api: &dyn Api,
    d: &Document,
    changes: &mut Vec<Change>,
) -> anyhow::Result<()> {
    let path = format!("/systems/{}", d.name);
    let wanted = json!({"name": d.display_name(), "description": d.description});
    let found = find(api, &path).await?;
    changes.push(match &found {
        None => change(
            d,
            Verb::Create,
            String::new(),
            Some((Method::PUT, path.clone(), wanted)),
        ),
        Some(found) => match differing(&wanted, found).as_slice() {
            [] => change(d, Verb::Unchanged, String::new(), None),
            // PATCH: metadata set by automations stays.
            keys => change(
                d,
                Verb::Update,
                listed(keys),
                Some((Method::PATCH, path.clone(), wanted.clone())),
            ),
        },
    });
    let Some(Ok(list)) = spec::assignments(d) else {
        return Ok(());
    };
    let existing = match &found {
        Some(_) => api
            .send(Method::GET, &format!("{path}/checks"), None, None)
            .await?
            .ok()?["items"]
            .as_array()
            .cloned()
            .unwrap_or_default(),
        None => Vec::new(),
    };
    for a in &list {
        let route = format!("/checks/{}/assignments/{}", a.check, d.name);
        let to = format!(" ← {}", a.check);
        match existing.iter().find(|e| e["check"] == json!(a.check)) {
            None => changes.push(change(
                d,
                Verb::Assign,
                to,
                Some((Method::PUT, route, a.body.clone())),
            )),
            Some(e) => {
                let keys = differing(&a.body, e);
                if !keys.is_empty() {
                    changes.push(change(
                        d,
                        Verb::Update,
                        format!("{to}{}", listed(&keys)),
                        Some((Method::PUT, route, a.body.clone())),
                    ));
                }
            }
        }
    }
    for e in &existing {
        let check = e["check"].as_str().unwrap_or_default();
        if !list.iter().any(|a| a.check == check) {
            let route = format!("/checks/{check}/assignments/{}", d.name);
            changes.push(change(
                d,
                Verb::Unassign,
                format!(" ← {check}"),
                Some((Method::DELETE, route, Value::Null)),
            ));
        }
    }
    Ok(())
}

/// What identifies a declared automation among the rows of the server.
fn tag(d: &Document) -> String {
    format!("apply:{}", d.name)
}

async fn automations(api: &dyn Api) -> anyhow::Result<Vec<Value>> {
    let mut items = Vec::new();
    let mut path = "/automations?limit=200&view=full".to_owned();
    loop {
        let page = api.send(Method::GET, &path, None, None).await?.ok()?;
        items.extend(page["items"].as_array().cloned().unwrap_or_default());
        match page["next_cursor"].as_str() {
            Some(c) => path = format!("/automations?limit=200&view=full&cursor={c}"),
            None => return Ok(items),
        }
    }
}

async fn automation_change(
    api: &dyn Api,
    d: &Document,
    existing: &[Value],
) -> anyhow::Result<Change> {
    let definition = spec::definition(d);
    let normal = api
        .send(
            Method::POST,
            "/definitions/normalize",
            Some(json!({"definition": definition})),
            None,
        )
        .await?
        .ok()?["definition"]
        .clone();
    let mut wanted = spec::automation_row(d);
    wanted["definition"] = normal;
    let Some(found) = existing.iter().find(|a| a["managed_by"] == json!(tag(d))) else {
        wanted["managed_by"] = tag(d).into();
        return Ok(change(
            d,
            Verb::Create,
            String::new(),
            Some((Method::POST, "/automations".into(), wanted)),
        ));
    };
    Ok(match differing(&wanted, found).as_slice() {
        [] => change(d, Verb::Unchanged, String::new(), None),
        keys => {
            let path = format!("/automations/{}", found["id"].as_str().unwrap_or_default());
            let mut c = change(
                d,
                Verb::Update,
                listed(keys),
                Some((Method::PATCH, path, wanted.clone())),
            );
            c.if_match = Some(format!("\"{}\"", found["version"]));
            c
        }
    })
}
