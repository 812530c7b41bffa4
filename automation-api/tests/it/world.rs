//! A node with the engine, its API, the catalog and incidents.

use automation_api::AutomationApiPlugin;
use automation_dispatch::AutomationPlugin;
use catalog_plugin::CatalogPlugin;
use incident_plugin::IncidentPlugin;
use serde_json::{Value, json};
use test_kit::{Kit, Node, TestDb, until};

/// Boots.
pub async fn boot(db: &TestDb) -> Node {
    Kit::new(db)
        .await
        .plugin(AutomationPlugin::default())
        .plugin(AutomationApiPlugin)
        .plugin(CatalogPlugin)
        .plugin(IncidentPlugin)
        .boot()
        .await
}

/// A definition with one trigger and these actions.
pub fn definition(name: &str, actions: Value) -> Value {
    json!({"name": name, "triggers": [{"id": "made", "event": "catalog.created"}], "actions": actions})
}

/// Creates an automation and answers it.
pub async fn create(node: &Node, definition: Value) -> Value {
    let body = json!({"definition": definition});
    node.post("/automations", body).await.expect(201)
}

/// The path of something with an id.
pub fn path(collection: &str, thing: &Value) -> String {
    format!("/{collection}/{}", thing["id"].as_str().expect("an id"))
}

/// Starts a run by hand and answers its path.
pub async fn start(node: &Node, automation: &Value, body: Value) -> String {
    let answer = node
        .post(&format!("{}/runs", path("automations", automation)), body)
        .await;
    let location = answer.header("location").unwrap_or_default().to_owned();
    let run = answer.expect(202);
    assert_eq!(
        location,
        format!("/api/v1/runs/{}", run["run_id"].as_str().expect("an id"))
    );
    location
        .strip_prefix("/api/v1")
        .expect("below the API")
        .to_owned()
}

/// The run at this path once it has a status.
pub async fn run_that_is(node: &Node, path: &str, status: &str) -> Value {
    until(
        async || {
            let run = node.get(path).await.ok();
            (run["status"] == status).then_some(run)
        },
        &format!("{path} is {status}"),
    )
    .await
}

/// Every item of a list, page by page.
pub async fn all(node: &Node, path: &str, limit: usize) -> Vec<Value> {
    let mark = if path.contains('?') { '&' } else { '?' };
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = node
            .get(&format!("{path}{mark}limit={limit}{cursor}"))
            .await
            .ok();
        let found = page["items"].as_array().expect("items");
        assert!(found.len() <= limit, "{page}");
        items.extend(found.iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

/// The texts of a field.
pub fn field<'a>(items: &'a [Value], name: &str) -> Vec<&'a str> {
    items
        .iter()
        .map(|i| i[name].as_str().unwrap_or("-"))
        .collect()
}
