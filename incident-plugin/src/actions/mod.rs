//! The actions of incidents; one file each.

mod add_update;
mod create;
mod resolve;
mod update_status;

use crate::{
    model::{Incident, IncidentError, UpdateId},
    store::Store,
};
use automation_core::registry::{ActionCx, ActionDef, ActionResult, ArtifactTypeDef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Every action.
pub fn all(store: &Store) -> Vec<ActionDef> {
    vec![
        create::action(store.clone()),
        resolve::action(store.clone()),
        add_update::action(store.clone()),
        update_status::action(store.clone()),
    ]
}

/// Every artifact type.
pub fn artifact_types() -> Vec<ArtifactTypeDef> {
    vec![
        ArtifactTypeDef::of::<IncidentArtifact>("incident", "Incident"),
        ArtifactTypeDef::of::<UpdateArtifact>("incident_update", "Incident update"),
    ]
}

/// What `create` and `resolve` leave behind.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct IncidentArtifact {
    incident_id: String,
    status: String,
    severity: String,
    system_ids: BTreeSet<String>,
}

impl From<Incident> for IncidentArtifact {
    fn from(i: Incident) -> Self {
        Self {
            incident_id: i.id.to_string(),
            status: i.status.as_str().into(),
            severity: i.severity.as_str().into(),
            system_ids: i.system_ids,
        }
    }
}

/// What `add_update` and `update_status` leave behind.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct UpdateArtifact {
    /// Absent when there was nothing to say: the incident had the status already.
    #[serde(skip_serializing_if = "Option::is_none")]
    update_id: Option<String>,
    incident_id: String,
}

/// The write of an action, repeated over a moment without the database: that must lose no incident and
/// leave none open. What else goes wrong fails the step (`domains §1.7`).
async fn write<T, F>(
    store: &Store,
    cx: &ActionCx,
    write: impl FnMut() -> F + Send,
) -> Result<T, ActionResult>
where
    F: Future<Output = Result<T, IncidentError>> + Send,
{
    let written = store.patiently(&cx.cancel, write).await;
    written.map_err(|e| ActionResult::failed(e.to_string()))
}

fn updated(incident: Incident, entry: Option<UpdateId>) -> ActionResult {
    let id = incident.id.to_string();
    ActionResult::artifact(&UpdateArtifact {
        update_id: entry.map(|e| e.to_string()),
        incident_id: id.clone(),
    })
    .external_id(id)
}

/// The incident an action is about: its config wins over the newest open artifact; a blank text
/// counts as not given (`domains §1.8`).
fn target(config: Option<&str>, cx: &ActionCx) -> Result<String, ActionResult> {
    if let Some(id) = config.map(str::trim).filter(|id| !id.is_empty()) {
        return Ok(id.to_owned());
    }
    cx.consumed
        .get("incident")
        .and_then(|a| a["incidentId"].as_str())
        .map(str::to_owned)
        .ok_or_else(|| {
            ActionResult::failed("No incidentId given and no upstream incident artifact found")
        })
}
