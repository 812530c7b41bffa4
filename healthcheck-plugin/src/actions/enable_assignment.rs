//! `healthcheck.enable_assignment`: lets a check of a system run again.

use super::{ARTIFACT, Target, switch};
use crate::service::Checks;
use async_trait::async_trait;
use automation_core::registry::{Action, ActionCx, ActionDef, ActionResult};

struct Enable(Checks);

#[async_trait]
impl Action for Enable {
    type Config = Target;

    async fn execute(&self, target: Target, _cx: &ActionCx) -> ActionResult {
        switch(&self.0, target, true).await
    }
}

/// The registration.
pub fn action(checks: Checks) -> ActionDef {
    ActionDef::new("enable_assignment", Enable(checks))
        .named("Enable check", "Lets a check of a system run again.")
        .category("Health")
        .produces(ARTIFACT)
}
