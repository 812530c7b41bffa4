//! `incident.create`: opens an incident, or answers the one that is open already.

use super::{IncidentArtifact, write};
use crate::{
    model::{NewIncident, Severity, fit_title},
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
    /// What is wrong. One of more than 200 characters is cut and stands whole in the description.
    #[schemars(length(min = 1))]
    title: String,
    /// More about it.
    description: Option<String>,
    /// How bad it is.
    severity: Severity,
    /// At least one system.
    #[schemars(length(min = 1))]
    system_ids: Vec<String>,
    /// First entry of the timeline.
    initial_message: Option<String>,
    /// Hold back notifications about these systems while the incident is open.
    #[serde(default)]
    suppress_notifications: bool,
    /// Answer the oldest open incident of any of the systems instead of opening another.
    #[serde(default, rename = "dedupe_open_for_system")]
    dedupe_open_for_system: bool,
}

struct Create(Store);

#[async_trait]
impl Action for Create {
    type Config = Config;

    async fn execute(&self, c: Config, cx: &ActionCx) -> ActionResult {
        let (title, description) = fit_title(&c.title, c.description);
        let new = NewIncident {
            title,
            description,
            severity: c.severity,
            system_ids: c.system_ids.into_iter().collect(),
            initial_message: c.initial_message,
            suppress_notifications: c.suppress_notifications,
            dedupe_open_for_system: c.dedupe_open_for_system,
            request: Some(cx.idempotency_key.clone()),
        };
        match write(&self.0, cx, || self.0.create(new.clone())).await {
            Ok(created) => {
                let incident = created.into_incident();
                let id = incident.id.to_string();
                ActionResult::artifact(&IncidentArtifact::from(incident)).external_id(id)
            }
            Err(failed) => failed,
        }
    }
}

/// The registration.
pub fn action(store: Store) -> ActionDef {
    ActionDef::new("create", Create(store))
        .named(
            "Create incident",
            "Opens an incident on one or more systems.",
        )
        .category("Incidents")
        .produces("incident")
}
