//! The envelope of a document: apiVersion, kind, metadata, spec (`gitops §2`).

use automation_core::{
    diagnostic::{Diagnostic, Diagnostics, Path, PathSegment, nearest},
    yaml::{Kind, Node},
};
use std::collections::BTreeMap;

/// The kinds that can be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DocumentKind {
    /// A system of the catalog.
    System,
    /// A check.
    Healthcheck,
    /// An automation.
    Automation,
}

impl DocumentKind {
    /// As written in a document.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "System",
            Self::Healthcheck => "Healthcheck",
            Self::Automation => "Automation",
        }
    }
    /// All of them.
    pub const ALL: [DocumentKind; 3] = [Self::System, Self::Healthcheck, Self::Automation];
}

/// A document whose envelope is in order.
#[derive(Clone, Debug)]
pub struct Document {
    /// What it declares.
    pub kind: DocumentKind,
    /// Identity within the kind.
    pub name: String,
    /// Display name; the name when absent.
    pub title: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The whole document with places.
    pub root: Node,
    /// False once something is known to be wrong with it: then it is neither planned nor tried.
    pub sound: bool,
}

impl Document {
    /// The spec; an empty mapping when absent.
    pub fn spec(&self) -> serde_json::Value {
        match self.root.get("spec").map(Node::to_json) {
            None | Some(serde_json::Value::Null) => serde_json::json!({}),
            Some(v) => v,
        }
    }
    /// The display name.
    pub fn display_name(&self) -> &str {
        self.title.as_deref().map_or(&self.name, str::trim)
    }
    /// Where the display name is written.
    pub fn display_name_at(&self) -> Path {
        path(&[
            "metadata",
            if self.title.is_some() {
                "title"
            } else {
                "name"
            },
        ])
    }
}

fn path(keys: &[&str]) -> Path {
    keys.iter()
        .map(|k| PathSegment::Key((*k).to_owned()))
        .collect()
}

struct Reader<'n> {
    root: &'n Node,
    found: Diagnostics,
}

impl Reader<'_> {
    fn error(
        &mut self,
        code: &'static str,
        at: &[&str],
        message: impl Into<String>,
        help: Option<String>,
    ) {
        self.found
            .push(Diagnostic::error(code, path(at), message).maybe_help(help));
    }

    fn wrong_type(&mut self, at: &[&str], node: &Node, expected: &str, help: Option<&str>) {
        let message = format!("expected {expected}, found {}", node.describe());
        self.error("wrong_type", at, message, help.map(str::to_owned));
    }

    fn unknown_keys(&mut self, at: &[&str], node: &Node, allowed: &[&'static str]) {
        let Kind::Map(entries) = &node.kind else {
            return;
        };
        for e in entries
            .iter()
            .filter(|e| !allowed.contains(&e.key.as_str()))
        {
            let mut full = at.to_vec();
            full.push(&e.key);
            let help =
                nearest(&e.key, allowed.iter().copied()).map(|n| format!("did you mean {n}?"));
            let help = help.or_else(|| Some(format!("known here: {}", allowed.join(", "))));
            let whole = if at.is_empty() {
                "a document"
            } else {
                "metadata"
            };
            let message = format!("{} is not a field of {whole}", e.key);
            let d = Diagnostic::error("unknown_field", path(&full), message).maybe_help(help);
            self.found.push(d.on_key());
        }
    }

    fn text(&mut self, at: &[&str], node: Option<&Node>) -> Option<String> {
        match node.map(|n| (&n.kind, n)) {
            None | Some((Kind::Null, _)) => None,
            Some((Kind::String(s), _)) => Some(s.clone()),
            Some((_, n)) => {
                self.wrong_type(at, n, "text", Some("quote it"));
                None
            }
        }
    }
}

/// Reads the envelope of a document.
///
/// # Errors
/// Every problem of the envelope, located.
pub fn envelope(root: Node, source: &str) -> Result<Document, Diagnostics> {
    let mut r = Reader {
        root: &root,
        found: Diagnostics::new(),
    };
    if !matches!(root.kind, Kind::Map(_)) {
        let expected = "a document with apiVersion, kind, metadata and spec";
        r.wrong_type(&[], &root, expected, None);
        return Err(r.found.locate(&root, Some(source)));
    }
    r.unknown_keys(&[], &root, &["apiVersion", "kind", "metadata", "spec"]);
    match r.text(&["apiVersion"], root.get("apiVersion")).as_deref() {
        Some("signalbox.dev/v1" | "checkstack.io/v1alpha1") => {}
        Some(other) => r.error(
            "bad_enum",
            &["apiVersion"],
            format!("{other} is not known here"),
            Some("write signalbox.dev/v1".into()),
        ),
        None => r.error(
            "missing_field",
            &["apiVersion"],
            "apiVersion is missing",
            Some("add apiVersion: signalbox.dev/v1".into()),
        ),
    }
    let names: Vec<&str> = DocumentKind::ALL.iter().map(|k| k.as_str()).collect();
    let kind = match r.text(&["kind"], root.get("kind")) {
        None => {
            r.error(
                "missing_field",
                &["kind"],
                "kind is missing",
                Some(format!("one of {}", names.join(", "))),
            );
            None
        }
        Some(text) => {
            let kind = DocumentKind::ALL.into_iter().find(|k| k.as_str() == text);
            if kind.is_none() {
                let help = nearest(&text, names.iter().copied())
                    .map_or(format!("one of {}", names.join(", ")), |n| {
                        format!("did you mean {n}?")
                    });
                r.error(
                    "bad_enum",
                    &["kind"],
                    format!("{text} is not a kind that can be applied"),
                    Some(help),
                );
            }
            kind
        }
    };
    let metadata = metadata(&mut r);
    if let Some(spec) = root.get("spec")
        && !matches!(spec.kind, Kind::Map(_) | Kind::Null)
    {
        r.wrong_type(&["spec"], spec, "a mapping", None);
    }
    match (kind, metadata) {
        (Some(kind), Some((name, title, description, labels))) if !r.found.has_errors() => {
            Ok(Document {
                kind,
                name,
                title,
                description,
                labels,
                root,
                sound: true,
            })
        }
        _ => Err(r.found.locate(&root, Some(source))),
    }
}

type Metadata = (
    String,
    Option<String>,
    Option<String>,
    BTreeMap<String, String>,
);

fn metadata(r: &mut Reader<'_>) -> Option<Metadata> {
    let root = r.root;
    let Some(node) = root.get("metadata") else {
        r.error(
            "missing_field",
            &["metadata"],
            "metadata is missing",
            Some("add metadata: { name: … }".into()),
        );
        return None;
    };
    if !matches!(node.kind, Kind::Map(_)) {
        r.wrong_type(&["metadata"], node, "a mapping", None);
        return None;
    }
    r.unknown_keys(
        &["metadata"],
        node,
        &[
            "name",
            "title",
            "description",
            "labels",
            "annotations",
            "tags",
        ],
    );
    let title = r.text(&["metadata", "title"], node.get("title"));
    let description = r.text(&["metadata", "description"], node.get("description"));
    let mut labels = BTreeMap::new();
    for field in ["labels", "annotations"] {
        match node.get(field).map(|n| (&n.kind, n)) {
            None | Some((Kind::Null, _)) => {}
            Some((Kind::Map(entries), _)) => {
                for e in entries {
                    if let Some(v) = r.text(&["metadata", field, &e.key], Some(&e.value))
                        && field == "labels"
                    {
                        labels.insert(e.key.clone(), v);
                    }
                }
            }
            Some((_, n)) => r.wrong_type(&["metadata", field], n, "a mapping of texts", None),
        }
    }
    match node.get("tags").map(|n| (&n.kind, n)) {
        None | Some((Kind::Null, _)) => {}
        Some((Kind::List(tags), _)) if tags.iter().all(|t| t.as_str().is_some()) => {}
        Some((_, n)) => r.wrong_type(&["metadata", "tags"], n, "a list of texts", None),
    }
    let Some(name) = r.text(&["metadata", "name"], node.get("name")) else {
        if node.get("name").is_none() {
            r.error(
                "missing_field",
                &["metadata", "name"],
                "name is missing",
                Some("add the name that identifies this document".into()),
            );
        }
        return None;
    };
    let b = name.as_bytes();
    let valid = b.len() <= 63
        && b.first()
            .is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        && b.iter()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == b'-');
    if !valid {
        r.error("bad_format", &["metadata", "name"], format!("{name:?} cannot be a name"), Some("use 1 to 63 lower-case letters, digits and hyphens, beginning with a letter or digit".into()));
        return None;
    }
    Some((name, title, description, labels))
}
