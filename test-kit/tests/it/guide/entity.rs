//! The reactive kind `backup`, and the reader of its state.

use super::store;
use async_trait::async_trait;
use automation_entity::{EntityRead, EntityState};
use plugin_api::{BoxError, Conn};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// How a backup is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Ok,
    Late,
    Failed,
}

/// What automations may read as `state.backup.<id>`. A change of any field is recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Backup {
    pub status: Status,
}

impl EntityState for Backup {
    const KIND: &'static str = "backup";
}

/// Reads from the table, never from memory: every node must answer the same.
pub struct ReadBackups;

#[async_trait]
impl EntityRead<Backup> for ReadBackups {
    async fn read(
        &self,
        at: Conn<'_>,
        ids: &[String],
    ) -> Result<HashMap<String, Backup>, BoxError> {
        let rows = store::by_ids(at, ids).await?;
        let state = |row: store::Row| (row.id, Backup { status: row.status });
        Ok(rows.into_iter().map(state).collect())
    }
}
