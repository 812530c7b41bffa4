//! Actions against the registry.

use super::Subject;
use super::outline::ActionAt;
use crate::definition::ActionKind;
use crate::diagnostic::{Diagnostic, Diagnostics, Path, nearest, path_text};
use crate::registry::{ActionDef, Registered, Registries};
use serde_json::{Map, Value};
use std::collections::HashMap;

pub(super) fn check(s: &Subject<'_>, out: &mut Diagnostics) {
    let mut ids: HashMap<&str, &Path> = HashMap::new();
    for at in &s.outline.actions {
        let field = |key: &str| -> Path {
            let mut path = at.path.clone();
            path.push(key.into());
            path
        };
        if let Some(id) = &at.action.id {
            if let Some(first) = ids.get(id.as_str()) {
                let message = format!("`{id}` is the id of {} already", path_text(first));
                out.push(
                    Diagnostic::error("duplicate_action_id", field("id"), message)
                        .help("ids are unique in the whole automation"),
                );
            } else {
                ids.insert(id, &at.path);
            }
        }
        if at
            .before
            .is_some_and(|b| b.enabled && matches!(b.kind, ActionKind::Stop { .. }))
        {
            out.push(
                Diagnostic::warning(
                    "unreachable_action",
                    at.path.clone(),
                    "the `stop` before it ends the run, so this never runs",
                )
                .help("remove it, or put the `stop` into a `choose`"),
            );
        }
        match &at.action.kind {
            ActionKind::Provider { action, config } => match s.registries.action(action) {
                Some(registered) => provider(s.registries, at, &registered, config, out),
                None => out.push(
                    Diagnostic::error(
                        "unknown_action",
                        field("action"),
                        format!("there is no action `{action}`"),
                    )
                    .help(unknown(action, s.registries)),
                ),
            },
            ActionKind::WaitForTrigger { event, .. } if s.registries.trigger(event).is_none() => {
                let mut path = field("wait_for_trigger");
                path.push("event".into());
                let triggers = s.registries.triggers();
                let help = nearest(event, triggers.iter().map(|t| t.id.as_str()))
                    .map(|n| format!("did you mean `{n}`?"));
                out.push(
                    Diagnostic::error(
                        "unknown_wait_event",
                        path,
                        format!("there is no trigger `{event}` to wait for"),
                    )
                    .maybe_help(help),
                );
            }
            _ => {}
        }
    }
}

fn unknown(action: &str, registries: &Registries) -> String {
    let actions = registries.actions();
    if let Some(near) = nearest(action, actions.iter().map(|a| a.id.as_str())) {
        return format!("did you mean `{near}`?");
    }
    let plugin = action.split('.').next().unwrap_or_default();
    let of_plugin: Vec<&str> = actions
        .iter()
        .filter(|a| a.owner.as_str() == plugin)
        .map(|a| a.id.as_str())
        .collect();
    if of_plugin.is_empty() {
        format!("no plugin `{plugin}` that has actions is installed")
    } else {
        format!("actions of `{plugin}`: {}", of_plugin.join(", "))
    }
}

fn provider(
    registries: &Registries,
    at: &ActionAt<'_>,
    registered: &Registered<ActionDef>,
    config: &Map<String, Value>,
    out: &mut Diagnostics,
) {
    if let Some(local) = registered
        .produces
        .as_ref()
        .filter(|_| at.action.id.is_none())
    {
        let mut path = at.path.clone();
        path.push("id".into());
        out.push(
            Diagnostic::warning(
                "missing_producer_id",
                path,
                format!("without an `id` its `{local}` cannot be read by later actions"),
            )
            .help(format!("with `id: x` it is `artifacts.x.{local}`")),
        );
    }
    let mut root = at.path.clone();
    root.push("config".into());
    let value = Value::Object(config.clone());
    let value = match registered.config.migrate_assuming_v1(value) {
        Ok(value) => value,
        Err(e) => {
            out.push(Diagnostic::error(
                "invalid_action_config",
                root,
                format!("the config cannot be brought to its current version: {e}"),
            ));
            return;
        }
    };
    let Some(check) = registries.config_check(registered) else {
        return;
    };
    for problem in check.strict(&value, true) {
        out.push(problem.diagnostic("invalid_action_config", &root));
    }
}
