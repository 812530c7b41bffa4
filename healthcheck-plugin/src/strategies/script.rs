//! Programs of the operator, run in the sandbox of `script-runner`.

use super::{CollectCx, Collected, CollectorDef, Session, Strategy, decode, millis, timeout_ms};
use crate::assertions::{Field, FieldKind};
use plugin_api::{Clock, config::ConfigSchema};
use schemars::JsonSchema;
use script_runner::{Places, Program, Runner, ScriptSpec, env};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

const ID: &str = "healthcheck-script.script";
const EXECUTE: &str = "healthcheck-script.execute";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "read by the executor, published as a schema")]
struct Config {
    /// Limit of the whole run in milliseconds.
    #[serde(default = "timeout_ms")]
    #[schemars(range(min = 100))]
    timeout: u64,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Execute {
    /// Without `args`: text for `sh -c`. With `args`: a program, and no shell reads anything.
    #[schemars(length(min = 1), extend("x-editor-types" = ["shell"], "x-script-testable" = true))]
    command: String,
    #[serde(default)]
    args: Vec<String>,
    cwd: Option<PathBuf>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// Limit of this program in milliseconds.
    #[serde(default = "timeout_ms")]
    #[schemars(range(min = 100))]
    timeout: u64,
    /// Variables from secrets: `{ NAME: "${{ secrets.NAME }}" }`.
    #[serde(default)]
    #[schemars(extend("x-secret-env" = true))]
    secret_env: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    exit_code: i32,
    stdout: String,
    stderr: String,
    execution_time_ms: i64,
    success: bool,
    timed_out: bool,
}

const FIELDS: &[Field] = &[
    Field::new("exitCode", FieldKind::Number),
    Field::new("stdout", FieldKind::String),
    Field::new("stderr", FieldKind::String),
    Field::new("executionTimeMs", FieldKind::Duration),
    Field::new("success", FieldKind::Boolean),
    Field::new("timedOut", FieldKind::Boolean),
];

/// Strategy `script`.
pub struct Script {
    runner: Runner,
}

impl Script {
    /// The strategy with a runner of its own.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            runner: Runner::new(clock),
        }
    }
}

#[async_trait::async_trait]
impl Strategy for Script {
    fn id(&self) -> &'static str {
        ID
    }
    fn display_name(&self) -> &'static str {
        "Script"
    }
    fn description(&self) -> &'static str {
        "Runs a program and looks at its exit code and output."
    }
    fn config(&self) -> ConfigSchema {
        ConfigSchema::of::<Config>()
    }
    fn collectors(&self) -> Vec<CollectorDef> {
        vec![CollectorDef {
            id: EXECUTE,
            display_name: "Execute",
            config: ConfigSchema::of::<Execute>(),
            fields: FIELDS,
            allow_multiple: false,
            secret_keys: &["secretEnv"],
            check: check_execute,
        }]
    }
    async fn admit(&self, collectors: usize) -> Option<Arc<Places>> {
        Some(Arc::new(self.runner.admit(collectors).await))
    }
    async fn connect(
        &self,
        _config: &Value,
        _clock: &Arc<dyn Clock>,
    ) -> Result<Arc<dyn Session>, String> {
        Ok(Arc::new(Programs))
    }
}

fn check_execute(config: &Value) -> Vec<(String, String)> {
    let mut errors = Vec::new();
    for key in ["env", "secretEnv"] {
        let Some(variables) = config.get(key).and_then(Value::as_object) else {
            continue;
        };
        for (name, value) in variables {
            if let Err(error) = env::check_name(name) {
                errors.push((key.to_owned(), error.to_string()));
            }
            let text = value.as_str().unwrap_or("");
            if key == "secretEnv" && plugin_api::secrets::references(text).is_empty() {
                errors.push((
                    key.to_owned(),
                    format!("{name} must name a secret as ${{{{ secrets.NAME }}}}"),
                ));
            }
        }
    }
    errors
}

struct Programs;

#[async_trait::async_trait]
impl Session for Programs {
    async fn collect(&self, _collector: &str, config: &Value, cx: &CollectCx) -> Collected {
        let c: Execute = match decode(config) {
            Ok(c) => c,
            Err(error) => return Collected::failed(error),
        };
        let program = if c.args.is_empty() {
            Program::Shell(c.command)
        } else {
            Program::Command {
                command: c.command,
                args: c.args,
            }
        };
        let mut variables = c.env;
        variables.extend(c.secret_env);
        let spec = ScriptSpec {
            env: variables,
            cwd: c.cwd,
            mask: cx.mask.clone(),
            ..ScriptSpec::new(program, Duration::from_millis(c.timeout))
        };
        let Some(places) = &cx.places else {
            return Collected::failed("the run was not admitted");
        };
        match places.run(spec).await {
            Ok(o) => {
                let success = o.exit_code == 0 && !o.timed_out;
                let error = (!success).then(|| format!("Exit code: {}", o.exit_code));
                Collected::of(
                    &Outcome {
                        exit_code: o.exit_code,
                        stdout: o.stdout,
                        stderr: o.stderr,
                        execution_time_ms: millis(o.duration),
                        success,
                        timed_out: o.timed_out,
                    },
                    error,
                )
            }
            Err(error) => Collected::failed(error.to_string()),
        }
    }
}
