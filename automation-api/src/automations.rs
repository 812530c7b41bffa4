//! `/automations` and `/automation-groups`.

use crate::{
    Api,
    bodies::{IfMatch, YamlOrJson, has_version, id, source},
    problems::of_store,
};
use automation_core::{
    AutomationId,
    access::{MANAGE, READ},
    definition::Definition,
    store::{
        Automation, AutomationChange, GroupFilter, ListFilter, NewAutomation, PageAfter, Source,
        Status, Summary,
    },
    yaml,
};
use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use plugin_api::{
    RequestContext,
    http::{
        ApiJson, ApiQuery, Counted, FieldError, Page, PageQuery, Problem, Routes, fingerprint,
        patch,
    },
};
use serde::Deserialize;
use serde_json::{Value, json};

pub fn routes() -> Routes<Api> {
    Routes::new()
        .get("/automations", &READ, list)
        .rehearsable(Method::POST, "/automations", &MANAGE, create)
        .get("/automations/{id}", &READ, get)
        .rehearsable(Method::PUT, "/automations/{id}", &MANAGE, put)
        .rehearsable(Method::PATCH, "/automations/{id}", &MANAGE, change)
        .delete("/automations/{id}", &MANAGE, delete)
        .get("/automations/{id}/definition", &READ, definition)
        .put("/automations/{id}/definition", &MANAGE, put_definition)
        .get("/automation-groups", &READ, groups)
}

fn etag(version: i64) -> [(header::HeaderName, String); 1] {
    [(header::ETAG, format!("\"{version}\""))]
}

/// A row with what its definition is worth now (`api §3`).
fn full(api: &Api, a: &Automation) -> Value {
    let (health, issues) = api.engine.automations().health(&a.definition);
    let mut v = json!(a);
    v["health"] = json!(health);
    if !issues.is_empty() {
        v["issues"] = json!(issues.report().issues);
    }
    v
}

fn status(text: &str) -> Result<Status, Problem> {
    match text {
        "enabled" => Ok(Status::Enabled),
        "disabled" => Ok(Status::Disabled),
        _ => Err(Problem::invalid(
            "status must be enabled or disabled",
            vec![FieldError {
                pointer: "/status".into(),
                code: "bad_enum".into(),
                message: "write enabled or disabled".into(),
            }],
        )),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    status: Option<String>,
    group: Option<String>,
    managed_by: Option<String>,
    event: Option<String>,
    action: Option<String>,
    q: Option<String>,
    view: Option<String>,
    #[serde(default)]
    count: bool,
    limit: Option<String>,
    cursor: Option<String>,
}

async fn list(
    State(api): State<Api>,
    ApiQuery(q): ApiQuery<ListQuery>,
) -> Result<Json<Counted<Value>>, Problem> {
    let print = fingerprint(&(
        &q.status,
        &q.group,
        &q.managed_by,
        &q.event,
        &q.action,
        &q.q,
    ));
    let whole = match q.view.as_deref() {
        None | Some("summary") => false,
        Some("full") => true,
        Some(_) => return Err(Problem::bad_parameter("view must be summary or full")),
    };
    let filter = ListFilter {
        status: q
            .status
            .as_deref()
            .map(|s| {
                status(s).map_err(|_| Problem::bad_parameter("status must be enabled or disabled"))
            })
            .transpose()?,
        group: q.group.map(|g| {
            if g.is_empty() {
                GroupFilter::Ungrouped
            } else {
                GroupFilter::Named(g)
            }
        }),
        managed_by: q.managed_by,
        event: q.event,
        action: q.action,
        name_contains: q.q,
    };
    let page = PageQuery {
        limit: q.limit,
        cursor: q.cursor,
    };
    let limit = page.limit()?;
    let after = page
        .cursor(&print)?
        .map(|c| {
            Ok::<_, Problem>(PageAfter {
                name_key: c.key,
                id: c.id.parse().map_err(|_| Problem::bad_cursor())?,
            })
        })
        .transpose()?;
    let store = api.engine.automations();
    let items = store
        .list(&filter, after.as_ref(), limit + 1)
        .await
        .map_err(of_store)?;
    let page = Page::cut(items, limit, &print, |s: &Summary| {
        (s.sort_key(), s.id.to_string())
    });
    let ids: Vec<AutomationId> = page.items.iter().map(|s| s.id).collect();
    let mut definitions = store.definitions(&ids).await.map_err(of_store)?;
    let mut items = Vec::with_capacity(page.items.len());
    for summary in page.items {
        // One that was deleted in between is left out.
        let Some(definition) = definitions.remove(&summary.id) else {
            continue;
        };
        let automation = Automation {
            summary,
            definition,
        };
        let mut item = full(&api, &automation);
        if !whole && let Some(fields) = item.as_object_mut() {
            fields.shift_remove("definition");
            fields.shift_remove("issues");
        }
        items.push(item);
    }
    let total = match q.count {
        true => Some(store.count(&filter).await.map_err(of_store)?),
        false => None,
    };
    let page = Page {
        items,
        next_cursor: page.next_cursor,
    };
    Ok(Json(Counted { page, total }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    name: Option<String>,
    description: Option<String>,
    group: Option<String>,
    status: Option<String>,
    /// A mark of the tool that declares it, `apply:<name>`; others are given by the server.
    managed_by: Option<String>,
    definition: Value,
}

fn owner_mark(given: Option<String>) -> Result<Option<String>, Problem> {
    match given {
        Some(mark) if !mark.starts_with("apply:") || mark.len() > 200 => Err(Problem::invalid(
            "managed_by can only be set to apply:<name>",
            vec![FieldError {
                pointer: "/managed_by".into(),
                code: "bad_format".into(),
                message: "write apply:<name>, or leave it out".into(),
            }],
        )),
        mark => Ok(mark),
    }
}

async fn create(State(api): State<Api>, body: YamlOrJson<Create>) -> Result<Response, Problem> {
    let new = match body {
        YamlOrJson::Yaml(text) => NewAutomation::of(Source::Text(text)),
        YamlOrJson::Json(c) => NewAutomation {
            name: c.name,
            description: c.description,
            group: c.group,
            status: c.status.as_deref().map_or(Ok(Status::Enabled), status)?,
            managed_by: owner_mark(c.managed_by)?,
            definition: source(c.definition)?,
        },
    };
    let actor = RequestContext::current().actor;
    let stored = api
        .engine
        .automations()
        .create(new, &actor)
        .await
        .map_err(of_store)?;
    let a = stored.automation;
    let location = [(header::LOCATION, format!("/api/v1/automations/{}", a.id))];
    Ok((
        StatusCode::CREATED,
        etag(a.version),
        location,
        Json(full(&api, &a)),
    )
        .into_response())
}

async fn get(
    State(api): State<Api>,
    Path(text): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let a = api
        .engine
        .automations()
        .get(id(&text, "automation")?)
        .await
        .map_err(of_store)?;
    if has_version(&headers, a.version) {
        return Ok((StatusCode::NOT_MODIFIED, etag(a.version)).into_response());
    }
    Ok((etag(a.version), Json(full(&api, &a))).into_response())
}

async fn write(
    api: &Api,
    id: AutomationId,
    change: AutomationChange,
    version: Option<i64>,
) -> Result<Response, Problem> {
    let store = api.engine.automations();
    let current = store.get(id).await.map_err(of_store)?;
    let only_status = change.definition.is_none()
        && change.name.is_none()
        && change.description.is_none()
        && change.group.is_none();
    if current.managed_by.as_deref() == Some("gitops") && !only_status {
        return Err(Problem::conflict(
            "managed_by_gitops",
            "This automation is declared in Git; change it there. Only its status can be changed here.",
        ));
    }
    let actor = RequestContext::current().actor;
    let stored = store
        .update(id, version, change, &actor)
        .await
        .map_err(of_store)?;
    let a = stored.automation;
    Ok((etag(a.version), Json(full(api, &a))).into_response())
}

async fn put(
    State(api): State<Api>,
    Path(text): Path<String>,
    IfMatch(version): IfMatch,
    body: YamlOrJson<Create>,
) -> Result<Response, Problem> {
    let change = match body {
        YamlOrJson::Yaml(text) => AutomationChange {
            definition: Some(Source::Text(text)),
            ..Default::default()
        },
        YamlOrJson::Json(c) => AutomationChange {
            name: c.name,
            description: Some(c.description),
            group: Some(c.group),
            status: Some(c.status.as_deref().map_or(Ok(Status::Enabled), status)?),
            managed_by: owner_mark(c.managed_by)?.map(Some),
            definition: Some(source(c.definition)?),
        },
    };
    write(&api, id(&text, "automation")?, change, version).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Patch {
    #[serde(default, deserialize_with = "patch::given")]
    name: Option<String>,
    #[serde(default, deserialize_with = "patch::clearable")]
    description: Option<Option<String>>,
    #[serde(default, deserialize_with = "patch::clearable")]
    group: Option<Option<String>>,
    #[serde(default, deserialize_with = "patch::given")]
    status: Option<String>,
    #[serde(default, deserialize_with = "patch::given")]
    definition: Option<Value>,
}

async fn change(
    State(api): State<Api>,
    Path(text): Path<String>,
    IfMatch(version): IfMatch,
    ApiJson(p): ApiJson<Patch>,
) -> Result<Response, Problem> {
    let change = AutomationChange {
        name: p.name,
        description: p.description,
        group: p.group,
        status: p.status.as_deref().map(status).transpose()?,
        managed_by: None,
        definition: p.definition.map(source).transpose()?,
    };
    write(&api, id(&text, "automation")?, change, version).await
}

async fn delete(
    State(api): State<Api>,
    Path(text): Path<String>,
    IfMatch(version): IfMatch,
) -> Result<StatusCode, Problem> {
    let id = id(&text, "automation")?;
    let current = api.engine.automations().get(id).await.map_err(of_store)?;
    if current.managed_by.as_deref() == Some("gitops") {
        return Err(Problem::conflict(
            "managed_by_gitops",
            "This automation is declared in Git; delete it there.",
        ));
    }
    api.engine.delete(id, version).await.map_err(of_store)?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FormQuery {
    form: Option<String>,
}

async fn definition(
    State(api): State<Api>,
    Path(text): Path<String>,
    ApiQuery(q): ApiQuery<FormQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let a = api
        .engine
        .automations()
        .get(id(&text, "automation")?)
        .await
        .map_err(of_store)?;
    if has_version(&headers, a.version) {
        return Ok((StatusCode::NOT_MODIFIED, etag(a.version)).into_response());
    }
    let value = match q.form.as_deref() {
        None | Some("normal") => a.definition.clone(),
        // A row that does not parse has no minimal form; it is shown as it is stored.
        Some("minimal") => Definition::read_stored(&a.definition)
            .map_or_else(|_| a.definition.clone(), |l| l.definition.to_minimal()),
        Some(_) => return Err(Problem::bad_parameter("form must be normal or minimal")),
    };
    let wants_yaml = headers
        .get(header::ACCEPT)
        .and_then(|v| v.to_str().ok())
        .is_some_and(|v| v.to_ascii_lowercase().contains("yaml"));
    if wants_yaml {
        return Ok((
            etag(a.version),
            [(header::CONTENT_TYPE, "application/yaml")],
            yaml::emit(&value),
        )
            .into_response());
    }
    Ok((etag(a.version), Json(value)).into_response())
}

async fn put_definition(
    State(api): State<Api>,
    Path(text): Path<String>,
    IfMatch(version): IfMatch,
    body: YamlOrJson<Value>,
) -> Result<Response, Problem> {
    let source = match body {
        YamlOrJson::Yaml(t) => Source::Text(t),
        YamlOrJson::Json(v) => source(v)?,
    };
    let change = AutomationChange {
        definition: Some(source),
        ..Default::default()
    };
    write(&api, id(&text, "automation")?, change, version).await
}

async fn groups(State(api): State<Api>) -> Result<Json<Value>, Problem> {
    Ok(Json(
        json!({"items": api.engine.automations().groups().await.map_err(of_store)?}),
    ))
}
