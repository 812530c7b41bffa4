//! `incident.update_status`: moves an incident to a status.

use super::{target, updated, write};
use crate::{model::Status, store::Store};
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
    /// The new status.
    status: Status,
    /// The timeline entry; `Status changed to <status>` by default.
    message: Option<String>,
}

struct UpdateStatus(Store);

#[async_trait]
impl Action for UpdateStatus {
    type Config = Config;

    async fn execute(&self, c: Config, cx: &ActionCx) -> ActionResult {
        let id = match target(c.incident_id.as_deref(), cx) {
            Ok(id) => id,
            Err(failed) => return failed,
        };
        let request = Some(cx.idempotency_key.clone());
        let set = || {
            self.0
                .set_status(&id, c.status, c.message.clone(), request.clone())
        };
        match write(&self.0, cx, set).await {
            Ok((incident, entry)) => updated(incident, entry),
            Err(failed) => failed,
        }
    }
}

/// The registration.
pub fn action(store: Store) -> ActionDef {
    ActionDef::new("update_status", UpdateStatus(store))
        .named(
            "Update incident status",
            "Moves an incident to another status.",
        )
        .category("Incidents")
        .consumes("incident")
        .produces("incident_update")
}
