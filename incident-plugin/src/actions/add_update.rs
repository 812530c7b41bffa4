//! `incident.add_update`: adds to the timeline, and may change the status.

use super::{target, updated, write};
use crate::{
    model::{IncidentChange, Note, Status},
    store::Store,
};
use async_trait::async_trait;
use automation_core::registry::{Action, ActionCx, ActionDef, ActionResult};
use schemars::JsonSchema;
use serde::Deserialize;

/// The config.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// Absent: the newest open incident artifact of this automation and context.
    incident_id: Option<String>,
    /// The timeline entry.
    #[schemars(length(min = 1))]
    message: String,
    /// A new status.
    status_change: Option<Status>,
}

struct AddUpdate(Store);

#[async_trait]
impl Action for AddUpdate {
    type Config = Config;

    async fn execute(&self, c: Config, cx: &ActionCx) -> ActionResult {
        let id = match target(c.incident_id.as_deref(), cx) {
            Ok(id) => id,
            Err(failed) => return failed,
        };
        let change = IncidentChange {
            status: c.status_change,
            note: Some(Note::Message(c.message)),
            request: Some(cx.idempotency_key.clone()),
            ..Default::default()
        };
        match write(&self.0, cx, || self.0.change(&id, change.clone())).await {
            Ok((incident, entry)) => updated(incident, entry),
            Err(failed) => failed,
        }
    }
}

/// The registration.
pub fn action(store: Store) -> ActionDef {
    ActionDef::new("add_update", AddUpdate(store))
        .named(
            "Add incident update",
            "Adds an entry to an incident's timeline.",
        )
        .category("Incidents")
        .consumes("incident")
        .produces("incident_update")
}
