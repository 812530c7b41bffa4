//! `healthcheck.disable_assignment`: stops a check of a system; it no longer counts.

use super::{ARTIFACT, Target, switch};
use crate::service::Checks;
use async_trait::async_trait;
use automation_core::registry::{Action, ActionCx, ActionDef, ActionResult};

struct Disable(Checks);

#[async_trait]
impl Action for Disable {
    type Config = Target;

    async fn execute(&self, target: Target, _cx: &ActionCx) -> ActionResult {
        switch(&self.0, target, false).await
    }
}

/// The registration.
pub fn action(checks: Checks) -> ActionDef {
    ActionDef::new("disable_assignment", Disable(checks))
        .named(
            "Disable check",
            "Stops a check of a system; it no longer counts.",
        )
        .category("Health")
        .produces(ARTIFACT)
}
