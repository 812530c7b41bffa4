//! What a configuration means: the strategy and its collectors exist, configs fit their schemas,
//! assertions make sense.

use super::{CheckInput, EntryInput, Issue, Path, below};
use crate::{
    assertions,
    executor::run::CollectorEntry,
    strategies::{Known, Strategies, is_called},
};
use jsonschema::error::ValidationErrorKind as Kind;
use plugin_api::config::ConfigSchema;
use serde_json::{Value, json};

/// A configuration that may be stored.
#[derive(Clone, Debug)]
pub struct ValidCheck {
    /// Qualified strategy id.
    pub strategy_id: String,
    /// The strategy's config, `timeout` filled in.
    pub config: Value,
    /// Entries with ids, collectors qualified.
    pub collectors: Vec<CollectorEntry>,
    /// At least 1.
    pub interval_seconds: i64,
}

/// Checks an input against the strategies of this host. Errors are everything that is wrong with it,
/// its shape included.
pub fn check(
    strategies: &Strategies,
    name: &str,
    input: &CheckInput,
) -> Result<ValidCheck, Vec<Issue>> {
    let mut found = Vec::new();
    if name.trim().is_empty() || name.chars().count() > 200 {
        found.push(Issue::new(
            vec!["name".into()],
            "must be a text of 1 to 200 characters",
        ));
    }
    let interval = input
        .interval_seconds
        .as_i64()
        .filter(|n| (1..=31_536_000).contains(n));
    if interval.is_none() {
        found.push(Issue::new(
            vec![input.interval_key.into()],
            "must be a whole number of seconds from 1 to 31536000 (a year)",
        ));
    }
    let valid = input
        .strategy
        .as_deref()
        .and_then(|id| match strategies.get(id) {
            Some(strategy) => Some(judge(strategy, input, &mut found)),
            None => {
                let known: Vec<&str> = strategies.all().iter().map(|s| s.id()).collect();
                found.push(Issue::new(
                    vec!["strategy".into()],
                    format!(
                        "unknown strategy {id:?}; this host has {}",
                        known.join(", ")
                    ),
                ));
                None
            }
        });
    let mut issues = input.issues.clone();
    for issue in found {
        // One sentence a key: the first is the one to act on.
        if !input.is_unread(&issue.path) && !issues.iter().any(|i| i.path == issue.path) {
            issues.push(issue);
        }
    }
    match (valid, interval) {
        (Some((strategy_id, config, collectors)), Some(interval_seconds)) if issues.is_empty() => {
            Ok(ValidCheck {
                strategy_id,
                config,
                collectors,
                interval_seconds,
            })
        }
        _ => Err(issues),
    }
}

/// The parts that depend on the strategy.
fn judge(
    strategy: &Known,
    input: &CheckInput,
    issues: &mut Vec<Issue>,
) -> (String, Value, Vec<CollectorEntry>) {
    let mut config = input.config.clone();
    if let Some(object) = config.as_object_mut() {
        object.entry("timeout").or_insert(json!(30_000));
    }
    issues.extend(against_schema(
        &strategy.config,
        &config,
        &["config".into()],
    ));
    let collectors = entries(strategy, &input.collectors, issues);
    (strategy.id().to_owned(), config, collectors)
}

fn entries(
    strategy: &Known,
    inputs: &[EntryInput],
    issues: &mut Vec<Issue>,
) -> Vec<CollectorEntry> {
    let defs = &strategy.collectors;
    let mut out: Vec<CollectorEntry> = Vec::new();
    for input in inputs {
        let entry: Path = vec!["collectors".into(), input.index.into()];
        let at = |key: &str| below(&entry, key);
        // An entry without a collector has its issue already.
        let Some(wanted) = input.collector_id.as_deref() else {
            continue;
        };
        let Some(def) = defs.iter().find(|d| is_called(d.id, wanted)) else {
            let known: Vec<&str> = defs.iter().map(|d| d.id).collect();
            issues.push(Issue::new(
                at("collectorId"),
                format!(
                    "unknown collector {wanted:?} for strategy {}; it has {}",
                    strategy.id(),
                    known.join(", ")
                ),
            ));
            continue;
        };
        if !def.allow_multiple && out.iter().any(|e| e.collector_id == def.id) {
            issues.push(Issue::new(
                at("collectorId"),
                format!("collector {} may be used once per check", def.id),
            ));
        }
        issues.extend(against_schema(&def.config, &input.config, &at("config")));
        for (key, message) in (def.check)(&input.config) {
            issues.push(Issue::new(below(&at("config"), key), message));
        }
        for key in misplaced_secrets(&input.config, def.secret_keys) {
            issues.push(Issue::new(
                below(&at("config"), key),
                "secret references are not resolved in this field",
            ));
        }
        for (n, assertion) in &input.assertions {
            for (key, message) in assertions::check(assertion, def.fields) {
                let place = below(&at("assertions"), *n);
                issues.push(Issue::new(below(&place, key), message));
            }
        }
        let id = match &input.id {
            Some(id) => {
                if id.trim().is_empty() || id.starts_with('_') {
                    issues.push(Issue::new(
                        at("id"),
                        "must be a text that does not begin with _",
                    ));
                }
                if out.iter().any(|e| e.id == *id) {
                    issues.push(Issue::new(
                        at("id"),
                        format!("entry id {id:?} is used twice"),
                    ));
                }
                id.clone()
            }
            None => free_id(def.id, &out, inputs),
        };
        out.push(CollectorEntry {
            id,
            collector_id: def.id.to_owned(),
            config: input.config.clone(),
            assertions: input.assertions.iter().map(|(_, a)| a.clone()).collect(),
        });
    }
    out
}

/// The collector's id, or with `-2`, `-3`, … the first that no entry has.
fn free_id(collector: &str, before: &[CollectorEntry], inputs: &[EntryInput]) -> String {
    let taken = |id: &str| {
        before.iter().any(|e| e.id == id) || inputs.iter().any(|e| e.id.as_deref() == Some(id))
    };
    std::iter::once(collector.to_owned())
        .chain((2..).map(|n: u32| format!("{collector}-{n}")))
        .find(|id| !taken(id))
        .unwrap_or_default()
}

/// Everything a schema objects to, each at its key: a key that is missing or not known is named in the
/// path, not only in the message.
fn against_schema(schema: &ConfigSchema, value: &Value, at: &[Value]) -> Vec<Issue> {
    let validator = match jsonschema::validator_for(&schema.schema) {
        Ok(v) => v,
        Err(error) => {
            return vec![Issue::new(
                at.to_vec(),
                format!("the schema is broken: {error}"),
            )];
        }
    };
    let mut issues = Vec::new();
    for error in validator.iter_errors(value) {
        let mut path = at.to_vec();
        for step in error.instance_path().as_str().split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            path.push(match step.parse::<u64>() {
                Ok(n) => n.into(),
                Err(_) => step.into(),
            });
        }
        match error.kind() {
            Kind::AdditionalProperties { unexpected } => {
                for key in unexpected {
                    issues.push(Issue::new(below(&path, key.as_str()), "unknown key"));
                }
            }
            Kind::Required { property } => {
                let key = property.as_str().unwrap_or_default();
                issues.push(Issue::new(below(&path, key), "is missing"));
            }
            _ => issues.push(Issue::new(path, error.masked_with("the value").to_string())),
        }
    }
    issues
}

/// Top-level keys outside `allowed` whose texts refer to secrets.
fn misplaced_secrets(config: &Value, allowed: &[&str]) -> Vec<String> {
    fn refers(value: &Value) -> bool {
        match value {
            Value::String(text) => !plugin_api::secrets::references(text).is_empty(),
            Value::Array(items) => items.iter().any(refers),
            Value::Object(members) => members.values().any(refers),
            _ => false,
        }
    }
    config
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, value)| !allowed.contains(&key.as_str()) && refers(value))
        .map(|(key, _)| key.clone())
        .collect()
}
