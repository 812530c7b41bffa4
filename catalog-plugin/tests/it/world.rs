//! A node with the engine and the catalog.

use automation_dispatch::AutomationPlugin;
use catalog_plugin::CatalogPlugin;
use serde_json::{Value, json};
use test_kit::{Kit, Node, TestDb};

/// Boots.
pub async fn boot(db: &TestDb) -> Node {
    Kit::new(db)
        .await
        .plugin(AutomationPlugin::default())
        .plugin(CatalogPlugin)
        .boot()
        .await
}

/// Creates a system and answers it.
pub async fn system(node: &Node, id: &str, name: &str) -> Value {
    node.post("/systems", json!({"id": id, "name": name}))
        .await
        .expect(201)
}
