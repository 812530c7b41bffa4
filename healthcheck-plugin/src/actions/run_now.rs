//! `healthcheck.run_now`: one run beside the schedule.

use super::{ARTIFACT, Assignment, Target};
use crate::service::Checks;
use async_trait::async_trait;
use automation_core::registry::{Action, ActionCx, ActionDef, ActionResult};

struct RunNow(Checks);

#[async_trait]
impl Action for RunNow {
    type Config = Target;

    async fn execute(&self, target: Target, _cx: &ActionCx) -> ActionResult {
        let enqueued = self
            .0
            .run_now(&target.configuration_id, &target.system_id)
            .await;
        match enqueued {
            Ok(configuration) => Assignment {
                enqueued: Some(true),
                ..Assignment::of(target, &configuration)
            }
            .into_result(),
            Err(e) => ActionResult::failed(e.to_string()),
        }
    }
}

/// The registration.
pub fn action(checks: Checks) -> ActionDef {
    ActionDef::new("run_now", RunNow(checks))
        .named(
            "Run check now",
            "Enqueues one extra run of a check; its schedule stays.",
        )
        .category("Health")
        .produces(ARTIFACT)
}
