//! `automation.log`: one line in the run log (`definition §11`).

use automation_core::registry::{Action, ActionCx, ActionResult, LogLevel};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Config of `automation.log`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LogConfig {
    /// The line.
    #[schemars(length(min = 1))]
    pub message: String,
    /// Default `info`.
    #[serde(default = "info")]
    pub level: LogLevel,
}

fn info() -> LogLevel {
    LogLevel::Info
}

/// The action.
pub struct Log;

#[async_trait::async_trait]
impl Action for Log {
    type Config = LogConfig;
    async fn execute(&self, config: LogConfig, cx: &ActionCx) -> ActionResult {
        cx.log.line(config.level, &config.message);
        ActionResult::ok()
    }
}
