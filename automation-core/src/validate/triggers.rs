//! Triggers against the registry.

use super::{Subject, removed};
use crate::definition::Trigger;
use crate::diagnostic::{Diagnostic, Diagnostics, Path};
use crate::registry::{Registered, Registries, TriggerDef, TriggerSource};
use serde_json::Value;
use std::collections::HashMap;

pub(super) fn check(s: &Subject<'_>, out: &mut Diagnostics) {
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (i, trigger) in s.definition.triggers.iter().enumerate() {
        let at = |rest: &[&str]| -> Path {
            let mut path: Path = vec!["triggers".into(), i.into()];
            path.extend(rest.iter().map(|k| (*k).into()));
            path
        };
        let id = trigger.effective_id();
        if let Some(first) = seen.get(&id) {
            let message = format!("`{id}` is the id of triggers.{first} already");
            let (key, help) = match trigger.id {
                Some(_) => ("id", "choose another id"),
                None => ("event", "give this trigger an `id` of its own"),
            };
            out.push(Diagnostic::error("duplicate_trigger_id", at(&[key]), message).help(help));
        } else {
            seen.insert(id, i);
        }
        match s.registries.trigger(&trigger.event) {
            Some(registered) => {
                config(s.registries, trigger, &registered, &at(&["config"]), out);
                if trigger.dwell.is_some() && !has_context(&registered) {
                    out.push(
                        Diagnostic::warning(
                            "dwell_without_context",
                            at(&["for"]),
                            format!("`{}` is about no entity, so nothing can be confirmed when the time is over", trigger.event),
                        )
                        .help("use a `delay` action instead"),
                    );
                }
            }
            None => {
                let message = format!("there is no trigger `{}`", trigger.event);
                out.push(
                    Diagnostic::error("unknown_trigger", at(&["event"]), message)
                        .help(removed::help(trigger, s.registries)),
                );
            }
        }
    }
}

/// Entity-driven firings always have the changed id as their context.
pub(super) fn has_context(registered: &Registered<TriggerDef>) -> bool {
    registered.context_key.is_some() || matches!(registered.source, TriggerSource::EntityDriven)
}

fn config(
    registries: &Registries,
    trigger: &Trigger,
    registered: &Registered<TriggerDef>,
    path: &Path,
    out: &mut Diagnostics,
) {
    let Some(schema) = &registered.config else {
        if trigger.config.as_ref().is_some_and(|c| !c.is_empty()) {
            let message = format!(
                "`{}` takes no config; this one has no effect",
                trigger.event
            );
            out.push(
                Diagnostic::warning("unexpected_config", path.clone(), message).help("remove it"),
            );
        }
        return;
    };
    let config: Value = match schema.migrate_assuming_v1(trigger.config_value()) {
        Ok(config) => config,
        Err(e) => {
            out.push(Diagnostic::error(
                "invalid_trigger_config",
                path.clone(),
                format!("the config cannot be brought to its current version: {e}"),
            ));
            return;
        }
    };
    let mut fits = true;
    if let Some(check) = registries.trigger_check(registered) {
        for problem in check.strict(&config, false) {
            fits = false;
            out.push(problem.diagnostic("invalid_trigger_config", path));
        }
    }
    // What a schema cannot say is only asked of configs that fit it.
    if let Some(own) = registered.check_config.as_ref().filter(|_| fits) {
        for issue in own(&config) {
            let below: Path = path.iter().chain(&issue.path).cloned().collect();
            out.push(Diagnostic::error(issue.code, below, issue.message).maybe_help(issue.help));
        }
    }
}
