//! Actions on assignments (`healthcheck §12`), one per file.

mod disable_assignment;
mod enable_assignment;
mod run_now;

use crate::{service::Checks, store::configurations::Configuration};
use automation_core::registry::{ActionDef, ActionResult, ArtifactTypeDef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Every action.
pub fn all(checks: &Checks) -> Vec<ActionDef> {
    vec![
        run_now::action(checks.clone()),
        enable_assignment::action(checks.clone()),
        disable_assignment::action(checks.clone()),
    ]
}

/// The artifact types they produce.
pub fn artifact_types() -> Vec<ArtifactTypeDef> {
    vec![ArtifactTypeDef::of::<Assignment>(ARTIFACT, "Assignment")]
}

/// Local id of the artifact type.
const ARTIFACT: &str = "assignment";

/// Config of all three actions.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Target {
    /// The system.
    #[schemars(length(min = 1))]
    system_id: String,
    /// The configuration, by id or name.
    #[schemars(length(min = 1))]
    configuration_id: String,
}

/// What an action leaves behind.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Assignment {
    system_id: String,
    configuration_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    enqueued: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
}

impl Assignment {
    /// By its ids, however the action was told which one.
    fn of(target: Target, configuration: &Configuration) -> Self {
        Self {
            system_id: target.system_id,
            configuration_id: configuration.id.to_string(),
            enqueued: None,
            enabled: None,
        }
    }

    fn into_result(self) -> ActionResult {
        let id = format!("{}:{}", self.system_id, self.configuration_id);
        ActionResult::artifact(&self).external_id(id)
    }
}

/// Enables or disables, for the two actions that do.
async fn switch(checks: &Checks, target: Target, enabled: bool) -> ActionResult {
    let done = checks
        .set_enabled(&target.configuration_id, &target.system_id, enabled)
        .await;
    match done {
        Ok(configuration) => Assignment {
            enabled: Some(enabled),
            ..Assignment::of(target, &configuration)
        }
        .into_result(),
        Err(e) => ActionResult::failed(e.to_string()),
    }
}
