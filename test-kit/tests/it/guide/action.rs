//! The action `backup.run`.

use async_trait::async_trait;
use automation_core::registry::{
    Action, ActionCx, ActionDef, ActionResult, ArtifactTypeDef, LogLevel,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Whatever starts backups.
#[async_trait]
pub trait Agent: Send + Sync + 'static {
    /// Starts one. The same key again answers the run that it started the first time.
    async fn start(&self, backup: &str, key: &str) -> Result<String, Busy>;
}

/// Another time, please.
pub struct Busy;

/// What an automation writes as `config`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunConfig {
    #[schemars(length(min = 1))]
    backup_id: String,
}

/// What the action leaves: `artifacts.<action id>.started`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Started {
    run_id: String,
}

struct Run(Arc<dyn Agent>);

#[async_trait]
impl Action for Run {
    type Config = RunConfig;

    async fn execute(&self, config: RunConfig, cx: &ActionCx) -> ActionResult {
        let backup = &config.backup_id;
        let line = format!("Attempt {} to start {backup}", cx.attempt);
        cx.log.line(LogLevel::Info, &line);
        match self.0.start(backup, &cx.idempotency_key).await {
            Ok(run_id) => ActionResult::artifact(&Started {
                run_id: run_id.clone(),
            })
            .external_id(run_id),
            Err(Busy) => ActionResult::failed("the agent is busy").retry_after_ms(30_000),
        }
    }
}

/// The action's registration.
pub fn run(agent: Arc<dyn Agent>) -> ActionDef {
    ActionDef::new("run", Run(agent))
        .named("Run backup", "Starts a backup.")
        .category("Backups")
        .produces("started")
}

/// The type of what it leaves.
pub fn started() -> ArtifactTypeDef {
    ArtifactTypeDef::of::<Started>("started", "Started backup")
}
