//! `incident.resolve`: resolves the given incident, or the one an earlier step opened.

use super::{IncidentArtifact, target, write};
use crate::store::Store;
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
    /// The timeline entry; `Incident resolved` by default.
    message: Option<String>,
}

struct Resolve(Store);

#[async_trait]
impl Action for Resolve {
    type Config = Config;

    async fn execute(&self, c: Config, cx: &ActionCx) -> ActionResult {
        let id = match target(c.incident_id.as_deref(), cx) {
            Ok(id) => id,
            Err(failed) => return failed,
        };
        let request = Some(cx.idempotency_key.clone());
        let resolve = || self.0.resolve(&id, c.message.clone(), request.clone());
        match write(&self.0, cx, resolve).await {
            Ok(incident) => {
                let id = incident.id.to_string();
                ActionResult::artifact(&IncidentArtifact::from(incident)).external_id(id)
            }
            Err(failed) => failed,
        }
    }
}

/// The registration.
pub fn action(store: Store) -> ActionDef {
    ActionDef::new("resolve", Resolve(store))
        .named(
            "Resolve incident",
            "Resolves an incident; one that is resolved already stays as it is.",
        )
        .category("Incidents")
        .consumes("incident")
        .produces("incident")
}
