//! Save-time validation of a configuration: everything wrong at once, each with its path
//! (`healthcheck §3.1.7`).

use crate::{
    assertions::{self, Assertion},
    executor::run::CollectorEntry,
    strategies::{Known, Strategies, is_called},
};
use plugin_api::config::ConfigSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A configuration as it is sent, read by [`CheckInput::read`].
#[derive(Clone, Debug)]
pub struct CheckInput {
    /// Strategy id, qualified or short.
    pub strategy: String,
    /// Seconds between runs.
    pub interval_seconds: Value,
    /// The strategy's config.
    pub config: Value,
    /// Collector entries.
    pub collectors: Vec<EntryInput>,
    /// Pauses or resumes; absent leaves it as it is.
    pub paused: Option<bool>,
}

/// A collector entry as it is sent.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EntryInput {
    /// Default: the collector's id, then `<collector id>-2`, … (`healthcheck §16.2`).
    #[serde(default)]
    pub id: Option<String>,
    /// Collector id, qualified or short.
    #[serde(alias = "collector_id")]
    pub collector_id: String,
    /// The collector's config.
    #[serde(default = "object")]
    pub config: Value,
    /// What is expected.
    #[serde(default)]
    pub assertions: Vec<Assertion>,
}

/// Keys of a configuration; the second of a pair is another spelling of the first.
const KEYS: &[(&str, &str)] = &[
    ("strategy", "strategyId"),
    ("interval_seconds", "intervalSeconds"),
    ("config", "config"),
    ("collectors", "collectors"),
    ("paused", "paused"),
];

impl CheckInput {
    /// Reads a configuration part by part, so that each issue names its place.
    ///
    /// # Errors
    /// Everything whose shape is wrong.
    pub fn read(body: Value) -> Result<Self, Vec<Issue>> {
        let Value::Object(body) = body else {
            return Err(vec![Issue::new(&[], "a check is an object")]);
        };
        let mut issues = Vec::new();
        for key in body.keys() {
            if !KEYS.iter().any(|(a, b)| key == a || key == b) {
                let known: Vec<&str> = KEYS.iter().map(|k| k.0).collect();
                issues.push(Issue::new(
                    &[key.as_str().into()],
                    format!("unknown key; a check has {}", known.join(", ")),
                ));
            }
        }
        let field = |at: usize| body.get(KEYS[at].0).or_else(|| body.get(KEYS[at].1));
        let strategy = match field(0) {
            Some(Value::String(id)) => id.clone(),
            _ => {
                issues.push(Issue::new(&["strategy".into()], "must name a strategy"));
                String::new()
            }
        };
        let collectors = match field(3) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(entries)) => entries
                .iter()
                .enumerate()
                .filter_map(|(index, entry)| read_entry(index, entry, &mut issues))
                .collect(),
            Some(_) => {
                issues.push(Issue::new(&["collectors".into()], "must be a list"));
                Vec::new()
            }
        };
        let paused = match field(4) {
            None | Some(Value::Null) => None,
            Some(Value::Bool(paused)) => Some(*paused),
            Some(_) => {
                issues.push(Issue::new(&["paused".into()], "must be true or false"));
                None
            }
        };
        if !issues.is_empty() {
            return Err(issues);
        }
        Ok(Self {
            strategy,
            interval_seconds: field(1).cloned().unwrap_or(Value::Null),
            config: field(2).cloned().unwrap_or_else(object),
            collectors,
            paused,
        })
    }
}

/// Reads an entry without its assertions, then each assertion, so that both can be located.
fn read_entry(index: usize, entry: &Value, issues: &mut Vec<Issue>) -> Option<EntryInput> {
    let path: Vec<Value> = vec!["collectors".into(), index.into()];
    let mut bare = entry.clone();
    let assertions = bare
        .as_object_mut()
        .and_then(|e| e.shift_remove("assertions"))
        .unwrap_or(Value::Null);
    let mut input = match serde_json::from_value::<EntryInput>(bare) {
        Ok(input) => input,
        Err(error) => {
            issues.push(Issue::new(&path, error.to_string()));
            return None;
        }
    };
    let at = |rest: Vec<Value>| [path.clone(), vec!["assertions".into()], rest].concat();
    match assertions {
        Value::Null => {}
        Value::Array(list) => {
            for (n, assertion) in list.into_iter().enumerate() {
                match serde_json::from_value(assertion) {
                    Ok(assertion) => input.assertions.push(assertion),
                    Err(error) => {
                        issues.push(Issue::new(&at(vec![n.into()]), error.to_string()));
                    }
                }
            }
        }
        _ => issues.push(Issue::new(&at(vec![]), "must be a list")),
    }
    Some(input)
}

fn object() -> Value {
    json!({})
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Issue {
    /// Keys and indexes from the root of the configuration.
    pub path: Vec<Value>,
    /// What to write instead.
    pub message: String,
}

impl Issue {
    fn new(path: &[Value], message: impl Into<String>) -> Self {
        Self {
            path: path.to_vec(),
            message: message.into(),
        }
    }
    /// The path as a JSON pointer.
    pub fn pointer(&self) -> String {
        self.path
            .iter()
            .map(|p| match p {
                Value::String(s) => format!("/{}", s.replace('~', "~0").replace('/', "~1")),
                other => format!("/{other}"),
            })
            .collect()
    }
}

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

/// Checks an input against the strategies of this host.
pub fn check(
    strategies: &Strategies,
    name: &str,
    input: &CheckInput,
) -> Result<ValidCheck, Vec<Issue>> {
    let mut issues = Vec::new();
    if name.trim().is_empty() || name.chars().count() > 200 {
        issues.push(Issue::new(
            &["name".into()],
            "must be a text of 1 to 200 characters",
        ));
    }
    let interval = input
        .interval_seconds
        .as_i64()
        .filter(|n| (1..=31_536_000).contains(n));
    if interval.is_none() {
        issues.push(Issue::new(
            &["interval_seconds".into()],
            "must be a whole number of seconds from 1 to 31536000 (a year)",
        ));
    }
    let Some(strategy) = strategies.get(&input.strategy) else {
        let known: Vec<&str> = strategies.all().iter().map(|s| s.id()).collect();
        issues.push(Issue::new(
            &["strategy".into()],
            format!(
                "unknown strategy {:?}; this host has {}",
                input.strategy,
                known.join(", ")
            ),
        ));
        return Err(issues);
    };
    let mut config = input.config.clone();
    if let Some(object) = config.as_object_mut() {
        object.entry("timeout").or_insert(json!(30_000));
    }
    issues.extend(against_schema(
        &strategy.config,
        &config,
        &["config".into()],
    ));
    let collectors = entries(strategy, &input.collectors, &mut issues);
    match interval {
        Some(interval_seconds) if issues.is_empty() => Ok(ValidCheck {
            strategy_id: strategy.id().to_owned(),
            config,
            collectors,
            interval_seconds,
        }),
        _ => Err(issues),
    }
}

fn entries(
    strategy: &Known,
    inputs: &[EntryInput],
    issues: &mut Vec<Issue>,
) -> Vec<CollectorEntry> {
    let defs = &strategy.collectors;
    let mut out: Vec<CollectorEntry> = Vec::new();
    for (index, input) in inputs.iter().enumerate() {
        let at = |rest: &[&str]| -> Vec<Value> {
            let mut path: Vec<Value> = vec!["collectors".into(), index.into()];
            path.extend(rest.iter().map(|k| Value::from(*k)));
            path
        };
        let wanted = input.collector_id.as_str();
        let def = defs.iter().find(|d| is_called(d.id, wanted));
        let Some(def) = def else {
            let known: Vec<&str> = defs.iter().map(|d| d.id).collect();
            issues.push(Issue::new(
                &at(&["collectorId"]),
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
                &at(&["collectorId"]),
                format!("collector {} may be used once per check", def.id),
            ));
        }
        issues.extend(against_schema(&def.config, &input.config, &at(&["config"])));
        for (key, message) in (def.check)(&input.config) {
            issues.push(Issue::new(&at(&["config", &key]), message));
        }
        for key in misplaced_secrets(&input.config, def.secret_keys) {
            issues.push(Issue::new(
                &at(&["config", &key]),
                "secret references are not resolved in this field",
            ));
        }
        for (n, assertion) in input.assertions.iter().enumerate() {
            for (key, message) in assertions::check(assertion, def.fields) {
                let mut path = at(&["assertions"]);
                path.extend([Value::from(n), Value::from(key)]);
                issues.push(Issue::new(&path, message));
            }
        }
        let id = match &input.id {
            Some(id) => {
                if id.trim().is_empty() || id.starts_with('_') {
                    issues.push(Issue::new(
                        &at(&["id"]),
                        "must be a text that does not begin with _",
                    ));
                }
                if out.iter().any(|e| e.id == *id) {
                    issues.push(Issue::new(
                        &at(&["id"]),
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
            assertions: input.assertions.clone(),
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

/// Everything a schema objects to.
fn against_schema(schema: &ConfigSchema, value: &Value, at: &[Value]) -> Vec<Issue> {
    let validator = match jsonschema::validator_for(&schema.schema) {
        Ok(v) => v,
        Err(error) => return vec![Issue::new(at, format!("the schema is broken: {error}"))],
    };
    validator
        .iter_errors(value)
        .map(|error| {
            let mut path = at.to_vec();
            for step in error.instance_path().as_str().split('/').skip(1) {
                let step = step.replace("~1", "/").replace("~0", "~");
                path.push(match step.parse::<u64>() {
                    Ok(n) => n.into(),
                    Err(_) => step.into(),
                });
            }
            Issue {
                path,
                message: error.masked_with("the value").to_string(),
            }
        })
        .collect()
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
