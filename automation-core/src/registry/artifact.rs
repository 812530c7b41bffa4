//! Artifact types: the shapes of data that actions leave behind.

use schemars::JsonSchema;
use serde_json::Value;
use std::sync::Arc;

/// An artifact type registration; data is validated against the schema before it is stored.
#[derive(Clone)]
pub struct ArtifactTypeDef {
    /// Local id, `^[a-z][a-z0-9_-]*$`.
    pub id: String,
    /// For people.
    pub display_name: String,
    /// For people.
    pub description: Option<String>,
    /// JSON Schema of the data.
    pub schema: Arc<Value>,
}

impl ArtifactTypeDef {
    /// A type by local id.
    pub fn of<T: JsonSchema>(id: &str, display_name: &str) -> Self {
        Self {
            id: id.into(),
            display_name: display_name.into(),
            description: None,
            schema: Arc::new(schemars::schema_for!(T).to_value()),
        }
    }
}
