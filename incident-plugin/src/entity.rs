//! The reactive kind `incident`.

use crate::{
    model::{Incident, IncidentId, Severity, Status},
    store,
};
use async_trait::async_trait;
use automation_entity::{EntityRead, EntityState};
use plugin_api::{BoxError, Conn};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};

/// What automations may read of an incident: `state.incident.<id>`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IncidentState {
    /// Where the work is.
    pub status: Status,
    /// How bad it is.
    pub severity: Severity,
    /// Sorted, without duplicates.
    pub system_ids: BTreeSet<String>,
}

impl EntityState for IncidentState {
    const KIND: &'static str = "incident";
}

impl From<&Incident> for IncidentState {
    fn from(i: &Incident) -> Self {
        Self {
            status: i.status,
            severity: i.severity,
            system_ids: i.system_ids.clone(),
        }
    }
}

/// Reads the kind's state from the plugin's tables, in two queries however many ids.
pub struct IncidentRead;

#[async_trait]
impl EntityRead<IncidentState> for IncidentRead {
    async fn read(
        &self,
        at: Conn<'_>,
        ids: &[String],
    ) -> Result<HashMap<String, IncidentState>, BoxError> {
        // Texts that are no ids name no incident.
        let ids: Vec<IncidentId> = ids.iter().filter_map(|i| i.parse().ok()).collect();
        let found = store::by_ids(at, &ids).await?;
        Ok(found
            .iter()
            .map(|i| (i.id.to_string(), IncidentState::from(i)))
            .collect())
    }
}
