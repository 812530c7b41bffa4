//! What would change, and carrying it out.

use super::{
    Answer, Api, assignments,
    check::{Checked, find_check},
    document::{Document, DocumentKind},
    spec,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::{collections::BTreeMap, fmt};

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
    request: Option<Request>,
    /// Its document: number of the source, number in the source.
    pub(super) place: (usize, usize),
    /// For an assignment that is declared: its place in the list.
    pub(super) entry: Option<usize>,
    /// It needs something that this plan creates.
    pub(super) after_create: bool,
}

#[derive(Clone, Debug)]
struct Request {
    method: Method,
    path: String,
    body: Option<Value>,
    if_match: Option<String>,
}

impl Request {
    fn new(method: Method, path: String, body: Value) -> Self {
        Self {
            method,
            path,
            body: Some(body),
            if_match: None,
        }
    }
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
        write!(f, "{verb} {}", self.what())
    }
}

impl Change {
    fn what(&self) -> String {
        format!("{} {}{}", self.kind.as_str(), self.name, self.detail)
    }

    /// What has been done, once it has.
    pub fn done(&self) -> String {
        let verb = match self.verb {
            Verb::Create => "created",
            Verb::Update => "updated",
            Verb::Unchanged => "unchanged",
            Verb::Assign => "assigned",
            Verb::Unassign => "unassigned",
        };
        format!("{verb:<10} {}", self.what())
    }

    /// Sends the request, if there is one; as a dry run, nothing it writes stays.
    pub(super) async fn send(
        &self,
        api: &dyn Api,
        dry_run: bool,
    ) -> anyhow::Result<Option<Answer>> {
        let Some(r) = &self.request else {
            return Ok(None);
        };
        let path = match dry_run {
            true => format!("{}?dry_run=true", r.path),
            false => r.path.clone(),
        };
        let answer = api.send(r.method.clone(), &path, r.body.clone(), r.if_match.clone());
        answer.await.map(Some)
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
            let Some(answer) = c.send(api, false).await? else {
                continue;
            };
            answer.ok().map_err(|e| e.context(c.what()))?;
            done(c);
        }
        Ok(())
    }
}

/// Compares the documents that are in order with what the API has.
pub async fn plan(api: &dyn Api, checked: &Checked) -> anyhow::Result<Plan> {
    let of = |kind| checked.of(kind).filter(|(_, d)| d.sound);
    let mut changes = Vec::new();
    let mut checks = BTreeMap::new();
    for (place, d) in checked.of(DocumentKind::Healthcheck) {
        let id = spec::check_id(&d.name);
        let exists = find(api, &format!("/checks/{id}")).await?;
        checks.insert(d.name.as_str(), (id, exists.is_some()));
        if d.sound {
            changes.push(check_change(api, d, place, exists).await?);
        }
    }
    for (place, d) in of(DocumentKind::System) {
        system_changes(api, d, place, &checks, &mut changes).await?;
    }
    let existing = automations(api).await?;
    for (place, d) in of(DocumentKind::Automation) {
        changes.push(automation_change(api, d, place, &existing).await?);
    }
    Ok(Plan { changes })
}

fn change(
    d: &Document,
    place: (usize, usize),
    verb: Verb,
    detail: String,
    request: Option<Request>,
) -> Change {
    Change {
        kind: d.kind,
        name: d.name.clone(),
        verb,
        detail,
        request,
        place,
        entry: None,
        after_create: false,
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

async fn check_change(
    api: &dyn Api,
    d: &Document,
    place: (usize, usize),
    found: Option<Value>,
) -> anyhow::Result<Change> {
    let body = spec::check_body(d);
    let put = Request::new(
        Method::PUT,
        format!("/checks/{}", spec::check_id(&d.name)),
        body.clone(),
    );
    // The server's own normal form of the body decides whether anything differs.
    let mut wanted = api
        .send(Method::POST, "/checks/validate", Some(body.clone()), None)
        .await?
        .ok()?["normalized"]
        .clone();
    if !wanted.is_object() {
        wanted = body.clone();
    }
    wanted["name"] = body["name"].clone();
    Ok(match found {
        None => change(d, place, Verb::Create, String::new(), Some(put)),
        Some(found) => match differing(&wanted, &found).as_slice() {
            [] => change(d, place, Verb::Unchanged, String::new(), None),
            keys => change(d, place, Verb::Update, listed(keys), Some(put)),
        },
    })
}

/// Ids of the checks that are declared, and whether they exist already.
type Checks<'d> = BTreeMap<&'d str, (String, bool)>;

async fn system_changes(
    api: &dyn Api,
    d: &Document,
    place: (usize, usize),
    checks: &Checks<'_>,
    changes: &mut Vec<Change>,
) -> anyhow::Result<()> {
    let path = format!("/systems/{}", d.name);
    let wanted = json!({"name": d.display_name(), "description": d.description});
    let found = find(api, &path).await?;
    changes.push(match &found {
        None => {
            let put = Request::new(Method::PUT, path.clone(), wanted);
            change(d, place, Verb::Create, String::new(), Some(put))
        }
        Some(found) => match differing(&wanted, found).as_slice() {
            [] => change(d, place, Verb::Unchanged, String::new(), None),
            keys => {
                // PATCH: metadata set by automations stays.
                let patch = Request::new(Method::PATCH, path.clone(), wanted.clone());
                change(d, place, Verb::Update, listed(keys), Some(patch))
            }
        },
    });
    let (Some(list), _) = assignments::read(d) else {
        return Ok(());
    };
    let mut existing = match &found {
        Some(_) => api
            .send(Method::GET, &format!("{path}/checks"), None, None)
            .await?
            .ok()?["items"]
            .as_array()
            .cloned()
            .unwrap_or_default(),
        None => Vec::new(),
    };
    for a in list {
        let (id, exists) = match checks.get(a.check.as_str()) {
            Some(declared) => declared.clone(),
            None => match find_check(api, &a.check).await? {
                Some(id) => (id, true),
                None => (spec::check_id(&a.check), false),
            },
        };
        let is_same = |e: &Value| e["configuration_id"] == json!(id);
        let old = existing.iter().position(is_same);
        let old = old.map(|at| existing.swap_remove(at));
        let keys = old.as_ref().map(|old| differing(&a.body, old));
        let (verb, detail) = match &keys {
            None => (Verb::Assign, String::new()),
            Some(keys) if keys.is_empty() => continue,
            Some(keys) => (Verb::Update, listed(keys)),
        };
        let route = format!("/checks/{id}/assignments/{}", d.name);
        let put = Request::new(Method::PUT, route, a.body.clone());
        let detail = format!(" ← {}{detail}", a.check);
        changes.push(Change {
            entry: Some(a.index),
            after_create: !exists || found.is_none(),
            ..change(d, place, verb, detail, Some(put))
        });
    }
    for e in &existing {
        let text = |key: &str| e[key].as_str().unwrap_or_default();
        let delete = Request {
            method: Method::DELETE,
            path: format!(
                "/checks/{}/assignments/{}",
                text("configuration_id"),
                d.name
            ),
            body: None,
            if_match: None,
        };
        let detail = format!(" ← {}", text("check"));
        changes.push(change(d, place, Verb::Unassign, detail, Some(delete)));
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
    place: (usize, usize),
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
        let post = Request::new(Method::POST, "/automations".into(), wanted);
        return Ok(change(d, place, Verb::Create, String::new(), Some(post)));
    };
    Ok(match differing(&wanted, found).as_slice() {
        [] => change(d, place, Verb::Unchanged, String::new(), None),
        keys => {
            let path = format!("/automations/{}", found["id"].as_str().unwrap_or_default());
            let patch = Request {
                if_match: Some(format!("\"{}\"", found["version"])),
                ..Request::new(Method::PATCH, path, wanted.clone())
            };
            change(d, place, Verb::Update, listed(keys), Some(patch))
        }
    })
}
