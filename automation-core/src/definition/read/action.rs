//! Reads the actions of a definition: one of the step forms each, told apart by its key.

use super::fields::{Fields, Reader};
use super::trigger::{event, expression, object};
use super::{condition, retry};
use crate::definition::{Action, ActionKind, Branch, Delay, Expr, Repeat, limits};
use crate::diagnostic::{Diagnostic, Path};
use crate::yaml::Node;

const COMMON: [&str; 4] = ["id", "description", "enabled", "continue_on_error"];

pub(super) fn read(r: &mut Reader, node: &Node, depth: usize) -> Option<Action> {
    if depth > limits::ACTION_DEPTH {
        let message = format!("actions nest at most {} deep", limits::ACTION_DEPTH);
        r.error("limit_exceeded", message);
        return None;
    }
    r.actions += 1;
    if r.actions > limits::ACTIONS {
        // Reported once: the reader stops taking actions from here on.
        if r.actions == limits::ACTIONS + 1 {
            let message = format!("a definition has at most {} actions", limits::ACTIONS);
            r.error("limit_exceeded", message);
        }
        return None;
    }
    let entries = r.entries(node)?;
    let kinds: Vec<&str> = ActionKind::KEYS
        .into_iter()
        .filter(|k| entries.iter().any(|e| e.key == *k))
        .collect();
    let mut known: Vec<&str> = COMMON.to_vec();
    known.extend(&kinds);
    match kinds[..] {
        ["action"] => known.extend(["config", "retry"]),
        ["choose"] => known.push("else"),
        // Which other keys belong here cannot be said.
        [] | [_, _, ..] => known.extend(entries.iter().map(|e| e.key.as_str())),
        _ => {}
    }
    let f = r.fields(node, &known)?;
    let id = f.optional(r, "id", |r, n| {
        r.formed(
            n,
            (1, 64),
            is_action_id,
            "an action id (a letter or `_`, then letters, digits and `_`)",
        )
    });
    let description = f.optional(r, "description", |r, n| r.any_string(n));
    let enabled = f.optional(r, "enabled", |r, n| r.boolean(n));
    let continue_on_error = f.optional(r, "continue_on_error", |r, n| r.boolean(n));
    let key = f.discriminator(r, "ambiguous_action", "action", &ActionKind::KEYS)?;
    let kind = kind(r, &f, key, depth);
    let retry = match key {
        "action" => f.optional(r, "retry", retry::read),
        _ => None,
    };
    Some(Action {
        id,
        description,
        enabled: enabled.unwrap_or(true),
        continue_on_error: continue_on_error.unwrap_or(false),
        retry,
        kind: kind?,
    })
}

fn kind(r: &mut Reader, f: &Fields<'_>, key: &str, depth: usize) -> Option<ActionKind> {
    match key {
        "action" => {
            let action = f.required(r, "action", |r, n| {
                r.formed(
                    n,
                    (1, 200),
                    is_provider_id,
                    "an action name such as `incident.create`",
                )
            });
            let config = f.optional(r, "config", object);
            Some(ActionKind::Provider {
                action: action?,
                config: config.unwrap_or_default(),
            })
        }
        "choose" => {
            let branches = f.required(r, "choose", |r, n| {
                r.filled_list(n, limits::BRANCHES, "clauses", |r, n| branch(r, n, depth))
            });
            let otherwise = f.optional(r, "else", |r, n| r.list(n, |r, n| read(r, n, depth + 1)));
            Some(ActionKind::Choose {
                branches: branches?,
                otherwise,
            })
        }
        "parallel" => f
            .required(r, key, |r, n| {
                r.filled_list(n, limits::BRANCHES, "branches", |r, n| {
                    read(r, n, depth + 1)
                })
            })
            .map(ActionKind::Parallel),
        "sequence" => f
            .required(r, key, |r, n| sequence(r, n, depth))
            .map(ActionKind::Sequence),
        "repeat" => f.required(r, key, |r, n| repeat(r, n, depth)),
        "delay" => f.required(r, key, delay).map(ActionKind::Delay),
        "variables" => f.required(r, key, variables),
        "condition" => f
            .required(r, key, |r, n| condition::read(r, n, 1))
            .map(ActionKind::Condition),
        "stop" => f.required(r, key, stop),
        "wait_for_trigger" => f.required(r, key, wait_for_trigger),
        _ => f.required(r, key, wait_until),
    }
}

fn is_action_id(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// `^[A-Za-z][\w-]*\.[A-Za-z][\w-]*$`
fn is_provider_id(text: &str) -> bool {
    let part = |p: &str| {
        p.starts_with(|c: char| c.is_ascii_alphabetic())
            && p.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    text.split_once('.')
        .is_some_and(|(plugin, name)| part(plugin) && part(name))
}

/// A list of at least one action, one level deeper.
fn sequence(r: &mut Reader, node: &Node, depth: usize) -> Option<Vec<Action>> {
    r.filled_list(node, limits::ACTIONS, "actions", |r, n| {
        read(r, n, depth + 1)
    })
}

fn branch(r: &mut Reader, node: &Node, depth: usize) -> Option<Branch> {
    let f = r.fields(node, &["when", "sequence"])?;
    let when = f.required(r, "when", |r, n| condition::read(r, n, 1));
    let sequence = f.required(r, "sequence", |r, n| sequence(r, n, depth));
    Some(Branch {
        when: when?,
        sequence: sequence?,
    })
}

fn repeat(r: &mut Reader, node: &Node, depth: usize) -> Option<ActionKind> {
    const MODES: [&str; 4] = ["count", "for_each", "while", "until"];
    let f = r.fields(
        node,
        &[
            "count",
            "for_each",
            "while",
            "until",
            "max_iterations",
            "sequence",
        ],
    )?;
    let sequence = f.required(r, "sequence", |r, n| sequence(r, n, depth));
    let max = f.optional(r, "max_iterations", |r, n| r.int(n, 1, 10_000));
    let mode = f.discriminator(r, "ambiguous_repeat", "loop", &MODES)?;
    if max.is_some() && matches!(mode, "count" | "for_each") {
        r.within("max_iterations", |r| {
            r.report(
                Diagnostic::error(
                    "unknown_field",
                    Path::new(),
                    format!("`max_iterations` has no meaning beside `{mode}`"),
                )
                .on_key()
                .help("it limits `while` and `until`"),
            );
        });
    }
    let max_iterations = max.unwrap_or(1000);
    let mode = f.required(r, mode, |r, n| {
        Some(match mode {
            "count" => Repeat::Count(r.int(n, 1, 10_000)?),
            "for_each" => Repeat::ForEach(expression(r, n)?),
            "while" => Repeat::While {
                test: expression(r, n)?,
                max_iterations,
            },
            _ => Repeat::Until {
                test: expression(r, n)?,
                max_iterations,
            },
        })
    });
    Some(ActionKind::Repeat {
        mode: mode?,
        sequence: sequence?,
    })
}

fn delay(r: &mut Reader, node: &Node) -> Option<Delay> {
    const UNITS: [&str; 2] = ["seconds", "template"];
    let f = r.fields(node, &UNITS)?;
    let unit = f.discriminator(r, "ambiguous_duration", "delay", &UNITS)?;
    f.required(r, unit, |r, n| match unit {
        "seconds" => r.int(n, 0, limits::LONGEST_SECONDS).map(Delay::Seconds),
        _ => expression(r, n).map(Delay::Template),
    })
}

fn variables(r: &mut Reader, node: &Node) -> Option<ActionKind> {
    let map = object(r, node)?;
    if map.is_empty() {
        r.error("bad_length", "at least one variable is needed");
        return None;
    }
    if map.contains_key("") {
        r.error("bad_length", "a variable has an empty name");
        return None;
    }
    Some(ActionKind::Variables(map))
}

fn stop(r: &mut Reader, node: &Node) -> Option<ActionKind> {
    let f = r.fields(node, &["reason", "error"])?;
    let reason = f.optional(r, "reason", |r, n| r.any_string(n));
    let error = f.optional(r, "error", |r, n| r.boolean(n));
    Some(ActionKind::Stop {
        reason,
        error: error.unwrap_or(false),
    })
}

fn timeout(r: &mut Reader, node: &Node) -> Option<u32> {
    r.int(node, 1, limits::LONGEST_SECONDS)
}

fn wait_for_trigger(r: &mut Reader, node: &Node) -> Option<ActionKind> {
    let f = r.fields(node, &["event", "filter", "timeout_seconds", "context_key"])?;
    let event = f.required(r, "event", event);
    let filter = f.optional(r, "filter", |r, n| r.any_string(n));
    let timeout_seconds = f.optional(r, "timeout_seconds", timeout);
    let context_key = f.optional(r, "context_key", |r, n| r.any_string(n));
    Some(ActionKind::WaitForTrigger {
        event: event?,
        filter: filter.map(Expr::new).filter(|e| !e.is_blank()),
        timeout_seconds,
        context_key,
    })
}

fn wait_until(r: &mut Reader, node: &Node) -> Option<ActionKind> {
    let f = r.fields(
        node,
        &[
            "condition",
            "timeout_seconds",
            "continue_on_timeout",
            "poll_seconds",
        ],
    )?;
    let condition = f.required(r, "condition", |r, n| condition::read(r, n, 1));
    let timeout_seconds = f.optional(r, "timeout_seconds", timeout);
    let continue_on_timeout = f.optional(r, "continue_on_timeout", |r, n| r.boolean(n));
    if f.get("poll_seconds").is_some() {
        r.within("poll_seconds", |r| {
            r.report(
                Diagnostic::warning(
                    "deprecated_field",
                    Path::new(),
                    "`poll_seconds` has no effect and is dropped: a wait wakes by itself when what it reads changes",
                )
                .on_key()
                .help("remove the line"),
            );
        });
    }
    Some(ActionKind::WaitUntil {
        condition: condition?,
        timeout_seconds,
        continue_on_timeout: continue_on_timeout.unwrap_or(true),
    })
}
