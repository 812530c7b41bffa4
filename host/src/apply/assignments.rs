//! The key `healthcheck` of a System: which checks watch it (`healthcheck §16.3`).

use super::document::Document;
use automation_core::{
    diagnostic::{Diagnostic, Diagnostics, Path, nearest},
    yaml::{Entry, Kind, Node},
};
use serde_json::{Value, json};

/// An entry of the list.
pub struct Assignment {
    /// Its place in the list.
    pub index: usize,
    /// Name of the check, as its document has it.
    pub check: String,
    /// Body of the assignment: complete, so that what an entry leaves out goes back to its default.
    pub body: Value,
}

/// Where an entry is written.
pub fn entry_at(index: usize) -> Path {
    vec!["spec".into(), "healthcheck".into(), index.into()]
}

/// Where the part of an entry is written that a message of the API is about, and the message in the
/// words of the document.
pub fn in_own_words(d: &Document, index: usize, message: &str) -> (Path, String) {
    const WORDS: [(&str, &str); 2] = [
        ("degraded.minFailureCount", "degradedThreshold"),
        ("unhealthy.minFailureCount", "unhealthyThreshold"),
    ];
    let mut path = entry_at(index);
    let mut own = message.to_owned();
    for (theirs, ours) in WORDS {
        own = own.replace(theirs, ours);
    }
    if let Some((_, ours)) = WORDS.iter().find(|(theirs, _)| message.starts_with(theirs)) {
        let exact = below(&path, ours);
        if d.root.find(&exact).exact {
            path = exact;
        }
    }
    (path, own)
}

/// The list; none when the key is absent, which leaves assignments untouched (`healthcheck §16.4`).
/// Entries with errors are left out.
pub fn read(d: &Document) -> (Option<Vec<Assignment>>, Diagnostics) {
    let mut r = Reader::default();
    let node = d.root.get("spec").and_then(|s| s.get("healthcheck"));
    let list = match node.map(|n| (&n.kind, n)) {
        None => return (None, r.found),
        Some((Kind::List(items), _)) => items,
        Some((_, n)) => {
            let at = vec!["spec".into(), "healthcheck".into()];
            r.wrong_type(
                at,
                n,
                "a list of references to checks; [] removes all of them",
            );
            return (None, r.found);
        }
    };
    let mut read: Vec<Assignment> = Vec::new();
    for (index, node) in list.iter().enumerate() {
        let Some(assignment) = r.entry(index, node) else {
            continue;
        };
        if read.iter().any(|a| a.check == assignment.check) {
            let message = format!("{} is listed twice", assignment.check);
            r.found.push(Diagnostic::error(
                "duplicate_reference",
                entry_at(index),
                message,
            ));
        }
        read.push(assignment);
    }
    (Some(read), r.found)
}

#[derive(Default)]
struct Reader {
    found: Diagnostics,
}

fn below(at: &Path, key: &str) -> Path {
    let mut path = at.clone();
    path.push(key.into());
    path
}

impl Reader {
    fn wrong_type(&mut self, at: Path, node: &Node, expected: &str) {
        let message = format!("expected {expected}, found {}", node.describe());
        self.found
            .push(Diagnostic::error("wrong_type", at, message));
    }

    fn entries<'n>(
        &mut self,
        at: &Path,
        node: &'n Node,
        expected: &str,
        known: &[&'static str],
    ) -> &'n [Entry] {
        let Kind::Map(entries) = &node.kind else {
            self.wrong_type(at.clone(), node, expected);
            return &[];
        };
        for e in entries.iter().filter(|e| !known.contains(&e.key.as_str())) {
            let help = nearest(&e.key, known.iter().copied()).map_or_else(
                || format!("known here: {}", known.join(", ")),
                |n| format!("did you mean {n}?"),
            );
            let message = format!("{} is not a field of {expected}", e.key);
            let d = Diagnostic::error("unknown_field", below(at, &e.key), message);
            self.found.push(d.help(help).on_key());
        }
        entries
    }

    fn entry(&mut self, index: usize, node: &Node) -> Option<Assignment> {
        let at = entry_at(index);
        let before = self.found.len();
        self.entries(
            &at,
            node,
            "an entry with a reference to a Healthcheck",
            &[
                "ref",
                "degradedThreshold",
                "unhealthyThreshold",
                "notificationPolicy",
                "flappingTrigger",
            ],
        );
        let check = match node.get("ref") {
            Some(reference) => self.reference(&below(&at, "ref"), reference),
            None => {
                if self.found.len() == before {
                    let d = Diagnostic::error("missing_field", at.clone(), "ref is missing");
                    self.found
                        .push(d.help("write - ref: { kind: Healthcheck, name: … }"));
                }
                None
            }
        };
        if node.get("flappingTrigger").is_some() {
            let message = "flappingTrigger is ignored: a window in an automation does its work";
            let at = below(&at, "flappingTrigger");
            self.found
                .push(Diagnostic::warning("ignored_field", at, message).on_key());
        }
        let degraded = self.threshold(&at, node, "degradedThreshold", 2);
        let unhealthy = self.threshold(&at, node, "unhealthyThreshold", 5);
        let policy = match node.get("notificationPolicy") {
            Some(policy) => self.policy(&below(&at, "notificationPolicy"), policy),
            None => Value::Null,
        };
        Some(Assignment {
            index,
            check: check?,
            body: json!({
                "enabled": true,
                "state_thresholds": {
                    "mode": "consecutive",
                    "healthy": {"minSuccessCount": 1},
                    "degraded": {"minFailureCount": degraded?},
                    "unhealthy": {"minFailureCount": unhealthy?},
                },
                "notification_policy": policy,
            }),
        })
    }

    fn reference(&mut self, at: &Path, node: &Node) -> Option<String> {
        let before = self.found.len();
        self.entries(at, node, "a reference", &["kind", "name", "apiVersion"]);
        if self.found.len() > before {
            return None;
        }
        let kind = self.text(at, node, "kind")?;
        if kind != "Healthcheck" {
            let message = format!("a System is checked by a Healthcheck, not by {kind:?}");
            let d = Diagnostic::error("bad_enum", below(at, "kind"), message);
            self.found.push(d.help("write kind: Healthcheck"));
            return None;
        }
        self.text(at, node, "name")
    }

    fn text(&mut self, at: &Path, node: &Node, key: &str) -> Option<String> {
        match node.get(key) {
            Some(n) if n.as_str().is_some_and(|t| !t.is_empty()) => n.as_str().map(str::to_owned),
            Some(n) => {
                self.wrong_type(below(at, key), n, "text");
                None
            }
            None => {
                let message = format!("{key} is missing");
                self.found
                    .push(Diagnostic::error("missing_field", below(at, key), message));
                None
            }
        }
    }

    /// Whether it is in range is for the API to say.
    fn threshold(&mut self, at: &Path, node: &Node, key: &str, default: u32) -> Option<u32> {
        let Some(n) = node.get(key) else {
            return Some(default);
        };
        let number = match &n.kind {
            Kind::Number(n) => n.as_u64().and_then(|n| u32::try_from(n).ok()),
            _ => None,
        };
        if number.is_none() {
            let found = match &n.kind {
                Kind::Number(n) => n.to_string(),
                _ => n.describe().to_owned(),
            };
            let message =
                format!("expected a number of failed runs in a row, at least 1, found {found}");
            self.found
                .push(Diagnostic::error("wrong_type", below(at, key), message));
        }
        number
    }

    fn policy(&mut self, at: &Path, node: &Node) -> Value {
        let entries = self.entries(
            at,
            node,
            "a notification policy",
            &["suppressDeEscalations"],
        );
        let mut policy = json!({});
        for e in entries {
            match &e.value.kind {
                Kind::Bool(b) => policy[&e.key] = (*b).into(),
                _ => self.wrong_type(below(at, &e.key), &e.value, "true or false"),
            }
        }
        policy
    }
}
