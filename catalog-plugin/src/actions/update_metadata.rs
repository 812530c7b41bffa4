//! `catalog.update_metadata`: merges or replaces a system's metadata.

use crate::store::{MetadataStrategy, Store};
use async_trait::async_trait;
use automation_core::registry::{Action, ActionCx, ActionDef, ActionResult};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The config.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// The system.
    #[schemars(length(min = 1))]
    system_id: String,
    /// How the given metadata joins what is there.
    #[serde(default)]
    strategy: Strategy,
    /// The metadata.
    metadata: Map<String, Value>,
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Strategy {
    #[default]
    Merge,
    Replace,
}

/// What the action leaves behind.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SystemRecord {
    system_id: String,
    system_name: String,
    metadata: Map<String, Value>,
}

struct UpdateMetadata(Store);

#[async_trait]
impl Action for UpdateMetadata {
    type Config = Config;

    async fn execute(&self, config: Config, cx: &ActionCx) -> ActionResult {
        let strategy = match config.strategy {
            Strategy::Merge => MetadataStrategy::Merge,
            Strategy::Replace => MetadataStrategy::Replace,
        };
        // Merging or replacing twice is the same as once.
        let update = || {
            let metadata = config.metadata.clone();
            self.0
                .update_metadata(&config.system_id, strategy, metadata)
        };
        match self.0.patiently(&cx.cancel, update).await {
            Ok(s) => ActionResult::artifact(&SystemRecord {
                system_id: s.id.clone(),
                system_name: s.name,
                metadata: s.metadata,
            })
            .external_id(s.id),
            Err(e) => ActionResult::failed(e.to_string()),
        }
    }
}

/// The registration.
pub fn action(store: Store) -> ActionDef {
    ActionDef::new("update_metadata", UpdateMetadata(store))
        .named(
            "Update system metadata",
            "Merges or replaces the metadata of a system.",
        )
        .category("Catalog")
        .produces("system_record")
}
