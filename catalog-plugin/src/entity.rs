//! The reactive kind `catalog-system` and how its state is read.

use crate::{model::System, store};
use async_trait::async_trait;
use automation_entity::{EntityRead, EntityState};
use plugin_api::{BoxError, Conn};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// What automations may read of a system: `state.catalog-system.<id>`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SystemState {
    /// Its name.
    pub name: String,
    /// Null when there is none.
    pub description: Option<String>,
    /// Free data.
    pub metadata: Map<String, Value>,
}

impl EntityState for SystemState {
    const KIND: &'static str = "catalog-system";
}

impl From<&System> for SystemState {
    fn from(s: &System) -> Self {
        Self {
            name: s.name.clone(),
            description: s.description.clone(),
            metadata: s.metadata.clone(),
        }
    }
}

/// Reads the kind's state from the plugin's table.
pub struct SystemRead;

#[async_trait]
impl EntityRead<SystemState> for SystemRead {
    async fn read(
        &self,
        at: Conn<'_>,
        ids: &[String],
    ) -> Result<HashMap<String, SystemState>, BoxError> {
        let systems = store::by_ids(at, ids).await?;
        Ok(systems
            .iter()
            .map(|s| (s.id.clone(), SystemState::from(s)))
            .collect())
    }
}
