//! Help for trigger ids nobody registered: ids of older releases and misspelt ones
//! (`definition §10`, `§16`).

use crate::definition::{Trigger, effective_id};
use crate::diagnostic::nearest;
use crate::registry::Registries;
use crate::yaml;
use serde_json::{Map, Value, json};

pub(super) fn help(trigger: &Trigger, registries: &Registries) -> String {
    match trigger.event.as_str() {
        "healthcheck.flapping_detected" => format!(
            "flapping is counted by a window now; write this trigger as\n{}",
            yaml::emit(&flapping(trigger)).trim_end()
        ),
        "automation.template" => "polling a template is gone: use `automation.numeric_state` for a measured value, or `automation.state` for an entity's field".into(),
        "time.cron" => "it is called `automation.cron` and its config key is `cronPattern`".into(),
        "time.interval" => {
            "it is called `automation.interval` and its config key is `intervalSeconds`".into()
        }
        event => unknown(event, registries),
    }
}

fn unknown(event: &str, registries: &Registries) -> String {
    let triggers = registries.triggers();
    if let Some(near) = nearest(event, triggers.iter().map(|t| t.id.as_str())) {
        return format!("did you mean `{near}`?");
    }
    let plugin = event.split('.').next().unwrap_or_default();
    let of_plugin: Vec<&str> = triggers
        .iter()
        .filter(|t| t.owner.as_str() == plugin)
        .map(|t| t.id.as_str())
        .collect();
    if of_plugin.is_empty() {
        format!("no plugin `{plugin}` that has triggers is installed")
    } else {
        format!("triggers of `{plugin}`: {}", of_plugin.join(", "))
    }
}

/// The trigger that does what `healthcheck.flapping_detected` did (`definition §16`).
pub(super) fn flapping(trigger: &Trigger) -> Value {
    let number = |key: &str, default: u64, most: u64| {
        trigger
            .config
            .as_ref()
            .and_then(|c| c.get(key))
            .and_then(Value::as_u64)
            .filter(|n| *n >= 1)
            .unwrap_or(default)
            .min(most)
    };
    let mut out = Map::new();
    // The derived id stays what it was, or dwells and counts would be abandoned.
    let id = match &trigger.id {
        Some(id) => id.clone(),
        None => effective_id(&trigger.event),
    };
    out.insert("id".into(), id.into());
    out.insert("event".into(), "healthcheck.system_health_changed".into());
    out.insert(
        "filter".into(),
        "trigger.payload.newStatus != \"healthy\"".into(),
    );
    out.insert(
        "window".into(),
        json!({
            "count": number("transitions", 3, 1000),
            "minutes": number("windowMinutes", 60, 1440),
            "refire": "once",
        }),
    );
    Value::Object(out)
}
