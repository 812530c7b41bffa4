//! The action `sprocket.set_status`.

use async_trait::async_trait;
use automation_core::registry::{Action, ActionCx, ActionDef, ActionResult};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{entity::Status, store::Store};

/// What an automation writes as `config`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SetStatus {
    /// Which item; it is made when it does not exist.
    #[schemars(length(min = 1))]
    pub item_id: String,
    /// Its new status.
    pub status: Status,
}

struct SetStatusAction(Store);

#[async_trait]
impl Action for SetStatusAction {
    type Config = SetStatus;

    /// Setting the same status again changes nothing, so a repeated call does no harm.
    async fn execute(&self, config: SetStatus, _cx: &ActionCx) -> ActionResult {
        match self.0.set_status(&config.item_id, config.status).await {
            Ok(_) => ActionResult::ok().external_id(config.item_id),
            Err(error) => ActionResult::failed(error.to_string()),
        }
    }
}

/// The action's registration.
pub fn set_status(store: Store) -> ActionDef {
    ActionDef::new("set_status", SetStatusAction(store))
        .named("Set status", "Sets the status of an item.")
        .category("Sprocket")
}
