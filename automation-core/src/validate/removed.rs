//! Help for trigger ids nobody registered: ids of older releases and misspelt ones
//! (`definition §10`, `§16`).

use crate::definition::{Trigger, flapping};
use crate::diagnostic::nearest;
use crate::registry::Registries;
use crate::yaml;
use serde_json::Value;

pub(super) fn help(trigger: &Trigger, registries: &Registries) -> String {
    match trigger.event.as_str() {
        flapping::FLAPPING => format!(
            "flapping is counted by a window now; write this trigger as\n{}",
            yaml::emit(&without_flapping(trigger)).trim_end()
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

/// The trigger that does what an old flapping trigger did (`definition §16`).
fn without_flapping(trigger: &Trigger) -> Value {
    let old = trigger.to_value();
    let new = old.as_object().and_then(flapping::rewritten);
    new.map_or(old, Value::Object)
}
