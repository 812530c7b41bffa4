//! Reading a document part by part: what has another shape than it should is noted with its path,
//! and the rest is read nevertheless.

use super::{Issue, Path, below};
use crate::assertions::Assertion;
use serde_json::{Map, Value, json};

/// A configuration as it was sent, as far as it can be read.
#[derive(Clone, Debug)]
pub struct CheckInput {
    /// Strategy id, qualified or short; none when it is missing or no text.
    pub strategy: Option<String>,
    /// Seconds between runs.
    pub interval_seconds: Value,
    /// The strategy's config.
    pub config: Value,
    /// Collector entries.
    pub collectors: Vec<EntryInput>,
    /// Pauses or resumes; absent leaves it as it is.
    pub paused: Option<bool>,
    /// How the interval is spelt in the document.
    pub(super) interval_key: &'static str,
    /// What could not be read.
    pub(super) issues: Vec<Issue>,
}

/// A collector entry as it was sent, as far as it can be read.
#[derive(Clone, Debug)]
pub struct EntryInput {
    /// Default: the collector's id, then `<collector id>-2`, … (`healthcheck §16.2`).
    pub id: Option<String>,
    /// Collector id, qualified or short; none when it is missing or no text.
    pub collector_id: Option<String>,
    /// The collector's config.
    pub config: Value,
    /// What is expected, each with its place in the document's list.
    pub assertions: Vec<(usize, Assertion)>,
    /// Its place in the document's list.
    pub(super) index: usize,
}

/// Keys of a configuration with their other spellings.
const KEYS: &[(&str, &str)] = &[
    ("strategy", "strategyId"),
    ("interval_seconds", "intervalSeconds"),
    ("config", "config"),
    ("collectors", "collectors"),
    ("paused", "paused"),
];
const ENTRY_KEYS: &[(&str, &str)] = &[
    ("id", "id"),
    ("collectorId", "collector_id"),
    ("config", "config"),
    ("assertions", "assertions"),
];
const ASSERTION_KEYS: &[(&str, &str)] = &[
    ("field", "field"),
    ("jsonPath", "jsonPath"),
    ("operator", "operator"),
    ("value", "value"),
];

/// An object that is being read, with its place.
struct Reader<'a> {
    what: &'static str,
    path: Path,
    members: &'a Map<String, Value>,
    keys: &'static [(&'static str, &'static str)],
}

impl<'a> Reader<'a> {
    /// Notes unknown keys. None, with an issue, when the value is no object.
    fn new(
        what: &'static str,
        path: Path,
        value: &'a Value,
        keys: &'static [(&'static str, &'static str)],
        issues: &mut Vec<Issue>,
    ) -> Option<Self> {
        let Value::Object(members) = value else {
            issues.push(Issue::new(path, format!("{what} is an object")));
            return None;
        };
        for key in members.keys() {
            if !keys.iter().any(|(a, b)| key == a || key == b) {
                let known: Vec<&str> = keys.iter().map(|k| k.0).collect();
                issues.push(Issue::new(
                    below(&path, key.as_str()),
                    format!("unknown key; {what} has {}", known.join(", ")),
                ));
            }
        }
        Some(Self {
            what,
            path,
            members,
            keys,
        })
    }

    /// The spelling in use: of a key that is absent, the first.
    fn spelling(&self, key: &'static str) -> &'static str {
        let other = self.keys.iter().find(|k| k.0 == key).map_or(key, |k| k.1);
        if !self.members.contains_key(key) && self.members.contains_key(other) {
            other
        } else {
            key
        }
    }

    fn at(&self, key: &'static str) -> Path {
        below(&self.path, self.spelling(key))
    }

    /// The value, unless it is absent or null.
    fn get(&self, key: &'static str) -> Option<&'a Value> {
        self.members
            .get(self.spelling(key))
            .filter(|v| !v.is_null())
    }

    fn text(&self, key: &'static str, issues: &mut Vec<Issue>) -> Option<String> {
        match self.get(key)? {
            Value::String(text) => Some(text.clone()),
            _ => {
                issues.push(Issue::new(self.at(key), "must be a text"));
                None
            }
        }
    }

    fn needed_text(&self, key: &'static str, issues: &mut Vec<Issue>) -> Option<String> {
        if self.get(key).is_none() {
            let message = format!("is missing; {} needs it", self.what);
            issues.push(Issue::new(self.at(key), message));
        }
        self.text(key, issues)
    }

    fn list(&self, key: &'static str, issues: &mut Vec<Issue>) -> &'a [Value] {
        match self.get(key) {
            None => &[],
            Some(Value::Array(items)) => items,
            Some(_) => {
                issues.push(Issue::new(self.at(key), "must be a list"));
                &[]
            }
        }
    }

    fn object(&self, key: &'static str, issues: &mut Vec<Issue>) -> Value {
        match self.get(key) {
            None => json!({}),
            Some(object @ Value::Object(_)) => object.clone(),
            Some(_) => {
                issues.push(Issue::new(self.at(key), "must be an object"));
                // Nothing more is said about it.
                Value::Null
            }
        }
    }
}

impl CheckInput {
    /// Reads a configuration. What is wrong with it is answered by [`check`](super::check).
    pub fn read(body: &Value) -> Self {
        let mut issues = Vec::new();
        let Some(root) = Reader::new("a check", Vec::new(), body, KEYS, &mut issues) else {
            return Self {
                strategy: None,
                interval_seconds: Value::Null,
                config: Value::Null,
                collectors: Vec::new(),
                paused: None,
                interval_key: "interval_seconds",
                issues,
            };
        };
        let strategy = root.needed_text("strategy", &mut issues);
        let config = root.object("config", &mut issues);
        let list = root.list("collectors", &mut issues);
        let collectors = (0..)
            .zip(list)
            .filter_map(|(index, entry)| read_entry(index, entry, &mut issues))
            .collect();
        let paused = match root.get("paused") {
            None => None,
            Some(Value::Bool(paused)) => Some(*paused),
            Some(_) => {
                issues.push(Issue::new(root.at("paused"), "must be true or false"));
                None
            }
        };
        Self {
            strategy,
            interval_seconds: root.get("interval_seconds").cloned().unwrap_or_default(),
            config,
            collectors,
            paused,
            interval_key: root.spelling("interval_seconds"),
            issues,
        }
    }

    /// Adds something that was found around the document.
    pub fn with_issue(mut self, key: &str, message: impl Into<String>) -> Self {
        self.issues.insert(0, Issue::new(vec![key.into()], message));
        self
    }

    /// True when what is at this path, or around it, could not be read: then nothing more is said
    /// about it.
    pub(super) fn is_unread(&self, path: &[Value]) -> bool {
        self.issues.iter().any(|i| path.starts_with(&i.path))
    }
}

fn read_entry(index: usize, entry: &Value, issues: &mut Vec<Issue>) -> Option<EntryInput> {
    let path: Path = vec!["collectors".into(), index.into()];
    let reader = Reader::new("a collector entry", path, entry, ENTRY_KEYS, issues)?;
    let list = reader.list("assertions", issues);
    let at = reader.at("assertions");
    let assertions = (0..)
        .zip(list)
        .filter_map(|(n, assertion)| Some((n, read_assertion(below(&at, n), assertion, issues)?)))
        .collect();
    Some(EntryInput {
        id: reader.text("id", issues),
        collector_id: reader.needed_text("collectorId", issues),
        config: reader.object("config", issues),
        assertions,
        index,
    })
}

fn read_assertion(path: Path, assertion: &Value, issues: &mut Vec<Issue>) -> Option<Assertion> {
    let reader = Reader::new("an assertion", path, assertion, ASSERTION_KEYS, issues)?;
    let field = reader.needed_text("field", issues);
    let json_path = reader.text("jsonPath", issues);
    let operator = reader.needed_text("operator", issues);
    Some(Assertion {
        field: field?,
        json_path,
        operator: operator?,
        value: reader.get("value").cloned(),
    })
}
