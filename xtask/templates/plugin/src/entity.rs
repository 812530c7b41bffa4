//! The reactive kind `sprocket`: what automations may read as `state.sprocket.<id>`.

use std::collections::HashMap;

use async_trait::async_trait;
use automation_entity::{EntityRead, EntityState};
use plugin_api::{BoxError, Conn};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::store;

/// How an item is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It works.
    Ok,
    /// It does not.
    Failing,
}

/// The reactive state of one item. A change of any field is recorded in its history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ItemState {
    /// How it is doing.
    pub status: Status,
}

impl EntityState for ItemState {
    const KIND: &'static str = "sprocket";
}

/// Reads states from the plugin's table, never from memory: every node must answer the same.
pub struct ItemRead;

#[async_trait]
impl EntityRead<ItemState> for ItemRead {
    async fn read(
        &self,
        at: Conn<'_>,
        ids: &[String],
    ) -> Result<HashMap<String, ItemState>, BoxError> {
        store::by_ids(at, ids).await
    }
}
