//! Shared by the suites: registries with the triggers and actions the examples use, and checks
//! written as tables.

use automation_core::definition::Definition;
use automation_core::registry::{
    Action, ActionCx, ActionDef, ActionResult, ArtifactTypeDef, Fire, LogLevel, Registries,
    Teardown, TriggerDef, TriggerIdentity, TriggerSetup,
};
use automation_core::validate::{Capabilities, Validation, Validator};
use automation_core::{Diagnostics, builtin, path_text, yaml};
use plugin_api::extension::Implements;
use plugin_api::{BoxError, PluginId};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Reads a YAML text structurally; panics on text errors.
pub fn read(text: &str) -> (Option<Definition>, Diagnostics) {
    let node = yaml::read(text, &yaml::Limits::default()).unwrap_or_else(|d| panic!("{d:?}"));
    let (definition, issues) = Definition::read(&node);
    (definition, issues.locate(&node, Some(text)))
}

/// `code path` of each finding, in order.
pub fn codes(issues: &Diagnostics) -> Vec<String> {
    issues
        .iter()
        .map(|d| format!("{} {}", d.code, path_text(&d.path)))
        .collect()
}

/// A definition with one trigger and the given further YAML.
pub fn with(rest: &str) -> String {
    format!("name: T\ntriggers: [{{ event: incident.created }}]\n{rest}\n")
}

/// Validates with the registries of [`registries`] and every capability.
pub fn validate(text: &str) -> Validation {
    let registries = registries();
    let validator = Validator {
        registries: &registries,
        capabilities: &Capabilities::all(),
    };
    validator.text(text, &yaml::Limits::default())
}

/// Validates and compares `code path` of each finding.
#[track_caller]
pub fn check(text: &str, expect: &[&str]) {
    let found = validate(text);
    assert_eq!(
        codes(&found.issues),
        expect,
        "{text}\n{}",
        found.issues.render("a.yaml", Some(text), false)
    );
}

struct NoSetup;
#[async_trait::async_trait]
impl TriggerSetup for NoSetup {
    async fn setup(
        &self,
        _: Value,
        _: TriggerIdentity,
        _: Fire,
    ) -> Result<Box<dyn Teardown>, BoxError> {
        Err("these suites arm nothing".into())
    }
}

#[derive(JsonSchema)]
#[allow(dead_code)]
struct Payload {
    system_id: String,
}

/// A closed payload: it says what it never has.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Resolved {
    incident_id: String,
    by: Person,
}
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Person {
    name: String,
}
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Deployed {
    service: String,
    version: String,
}

/// An action of any config type that does nothing.
struct Nothing<C>(std::marker::PhantomData<fn(C)>);
#[async_trait::async_trait]
impl<C: serde::de::DeserializeOwned + JsonSchema + Send + 'static> Action for Nothing<C> {
    type Config = C;
    async fn execute(&self, _: C, _: &ActionCx) -> ActionResult {
        ActionResult::ok()
    }
}
fn action<C: serde::de::DeserializeOwned + JsonSchema + Send + 'static>(id: &str) -> ActionDef {
    ActionDef::new(id, Nothing::<C>(std::marker::PhantomData))
}

#[derive(Deserialize, JsonSchema)]
#[allow(dead_code)]
struct LogConfig {
    #[schemars(length(min = 1))]
    message: String,
    #[serde(default)]
    level: Option<LogLevel>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)]
struct CreateConfig {
    #[schemars(length(min = 1, max = 200))]
    title: String,
    severity: Severity,
    #[serde(default)]
    system_ids: Vec<String>,
    #[serde(default)]
    suppress_notifications: bool,
    #[serde(default, rename = "dedupe_open_for_system")]
    dedupe: bool,
}
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code)]
enum Severity {
    Minor,
    Major,
    Critical,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)]
struct ShellConfig {
    #[schemars(extend("x-editor-types" = ["shell"]))]
    script: String,
    #[serde(default)]
    #[schemars(extend("x-secret-env" = true))]
    secret_env: BTreeMap<String, String>,
}

#[derive(Deserialize, JsonSchema)]
#[allow(dead_code)]
struct SearchConfig {
    #[serde(default)]
    jql: String,
    #[serde(default)]
    target: Option<Target>,
}
#[derive(Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
#[allow(dead_code)]
enum Target {
    Project { key: String },
    Board { number: u32 },
}

#[derive(Deserialize, JsonSchema)]
struct Empty {}

/// Registries with everything the seeds and these suites name.
pub fn registries() -> Arc<Registries> {
    let all = Arc::new(Registries::default());
    let trigger = |plugin: &'static str, def: TriggerDef| {
        Implements::<automation_core::registry::TriggerPoint>::apply(
            &all,
            &PluginId::new(plugin),
            def,
        )
        .unwrap();
    };
    for id in ["system_degraded", "system_healthy", "system_health_changed"] {
        trigger("healthcheck", TriggerDef::entity_driven::<Payload>(id));
    }
    trigger(
        "healthcheck",
        TriggerDef::on_hook_id::<Payload>("check_failed", "healthcheck.check.failed")
            .context_field("systemId", "system"),
    );
    trigger("incident", TriggerDef::entity_driven::<Payload>("created"));
    trigger(
        "incident",
        TriggerDef::entity_driven::<Resolved>("resolved").context_field("incidentId", "incident"),
    );
    trigger(
        "deploy",
        TriggerDef::entity_driven::<Deployed>("done").context_field("service", "service"),
    );
    trigger(
        "deploy",
        TriggerDef::on_hook_id::<Value>("webhook", "deploy.webhook"),
    );
    trigger("automation", builtin::cron(Arc::new(NoSetup)));
    trigger("automation", builtin::interval(Arc::new(NoSetup)));
    trigger("automation", builtin::numeric_state());
    let add = |plugin: &'static str, def: ActionDef| {
        Implements::<automation_core::registry::ActionPoint>::apply(
            &all,
            &PluginId::new(plugin),
            def,
        )
        .unwrap();
    };
    add("automation", action::<LogConfig>("log"));
    add(
        "incident",
        action::<CreateConfig>("create").produces("incident"),
    );
    add("incident", action::<Empty>("resolve").consumes("incident"));
    add("integration-script", action::<ShellConfig>("run_shell"));
    add(
        "integration-jira",
        action::<SearchConfig>("search").produces("issue_search"),
    );
    for (plugin, id) in [
        ("incident", "incident"),
        ("integration-jira", "issue_search"),
    ] {
        Implements::<automation_core::registry::ArtifactTypePoint>::apply(
            &all,
            &PluginId::new(plugin),
            ArtifactTypeDef::of::<Payload>(id, id),
        )
        .unwrap();
    }
    all
}
