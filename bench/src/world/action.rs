//! The plugin's action: notes that it was called, and does nothing.

use super::Progress;
use automation_core::registry::{Action, ActionCx, ActionResult};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

/// Nothing to set.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct Nothing {}

/// The action.
pub struct Call(pub Arc<Progress>);

#[async_trait::async_trait]
impl Action for Call {
    type Config = Nothing;
    async fn execute(&self, _: Nothing, cx: &ActionCx) -> ActionResult {
        let thing = cx.context_key.as_deref().unwrap_or_default();
        self.0.called(thing, cx.run_id.uuid());
        ActionResult::ok()
    }
}
