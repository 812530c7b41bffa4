//! Annotations on JSON Schemas (`plugins §8.1`): checking them when a schema is registered, and
//! finding the marked places of a value.
//!
//! There is one walker, so that encrypting, redacting, resolving and rendering can never disagree
//! about which field is a secret. It follows local `$ref`s, treats `anyOf`, `oneOf`, `allOf` and
//! nullable types as transparent at any depth, and goes into properties, maps, lists and tuples. Of
//! alternatives told apart by a `const` property it takes the one the value names; otherwise it
//! takes all of them: a field that is secret in any alternative is treated as a secret.

use super::ConfigError;
use serde_json::{Map, Value};

/// What a field is marked as, the strictest first. Each of them is kept out of template rendering
/// (`template §14.1`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mark {
    /// `x-secret`: encrypted at rest, removed from reads.
    Secret,
    /// `x-secret-env`: a map of environment names to secret references.
    SecretEnv,
    /// `x-editor-types` with `shell`, `typescript` or `javascript`: code.
    Code,
}

/// One step from a value to a value inside it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// A declared property.
    Key(String),
    /// An entry of a map.
    Entry(String),
    /// An element of a list.
    Index(usize),
}

/// A way from the root of a value; shown as `a.b[0].c`, the root as `(root)`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldPath(pub Vec<Step>);

impl FieldPath {
    fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
    /// The value at this place.
    pub fn get<'v>(&self, root: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(root, |v, step| match step {
            Step::Key(k) | Step::Entry(k) => v.get(k),
            Step::Index(i) => v.get(i),
        })
    }
    /// The value at this place, to be changed.
    pub fn get_mut<'v>(&self, root: &'v mut Value) -> Option<&'v mut Value> {
        self.0.iter().try_fold(root, |v, step| match step {
            Step::Key(k) | Step::Entry(k) => v.get_mut(k),
            Step::Index(i) => v.get_mut(i),
        })
    }
}

impl std::fmt::Display for FieldPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("(root)");
        }
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(k) | Step::Entry(k) if i == 0 => write!(f, "{k}")?,
                Step::Key(k) | Step::Entry(k) => write!(f, ".{k}")?,
                Step::Index(n) => write!(f, "[{n}]")?,
            }
        }
        Ok(())
    }
}

/// A marked place of a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Marked {
    /// Where.
    pub path: FieldPath,
    /// What it is.
    pub mark: Mark,
}

/// The marked places of a value, by path. Nothing inside a marked place is listed again.
pub fn locate(schema: &Value, value: &Value) -> Vec<Marked> {
    let mut found = Vec::new();
    walk(schema, &[schema], value, &FieldPath::default(), &mut found);
    found.sort();
    found.dedup();
    found
}

fn walk(
    root: &Value,
    schemas: &[&Value],
    value: &Value,
    path: &FieldPath,
    found: &mut Vec<Marked>,
) {
    let mut layers = Vec::new();
    for schema in schemas {
        collect_layers(root, schema, Some(value), &mut layers);
    }
    // A field may have one mark and what its `$ref` names another: a secret stays a secret.
    if let Some(mark) = layers.iter().filter_map(|l| mark_of(l)).min() {
        found.push(Marked {
            path: path.clone(),
            mark,
        });
        return;
    }
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                let (declared, schemas) = property_schemas(&layers, key);
                if !schemas.is_empty() {
                    let step = if declared {
                        Step::Key(key.clone())
                    } else {
                        Step::Entry(key.clone())
                    };
                    walk(root, &schemas, inner, &path.with(step), found);
                }
            }
        }
        Value::Array(items) => {
            for (i, inner) in items.iter().enumerate() {
                let schemas: Vec<&Value> = layers
                    .iter()
                    .filter_map(|l| {
                        let tuple = l.get("prefixItems").and_then(|p| p.get(i));
                        tuple.or_else(|| l.get("items"))
                    })
                    .collect();
                walk(root, &schemas, inner, &path.with(Step::Index(i)), found);
            }
        }
        _ => {}
    }
}

fn mark_of(layer: &Value) -> Option<Mark> {
    let on = |key| layer.get(key) == Some(&Value::Bool(true));
    if on("x-secret") {
        return Some(Mark::Secret);
    }
    if on("x-secret-env") {
        return Some(Mark::SecretEnv);
    }
    let editors = layer.get("x-editor-types")?.as_array()?;
    let code = editors.iter().filter_map(Value::as_str);
    code.into_iter()
        .any(|e| matches!(e, "shell" | "typescript" | "javascript"))
        .then_some(Mark::Code)
}

/// The schemas of one key: the declared property, else patterns and additional properties. Which
/// pattern matches is not looked at: taking all of them errs on the side of secrecy.
fn property_schemas<'s>(layers: &[&'s Value], key: &str) -> (bool, Vec<&'s Value>) {
    let declared: Vec<&Value> = layers
        .iter()
        .filter_map(|l| l.get("properties")?.get(key))
        .collect();
    if !declared.is_empty() {
        return (true, declared);
    }
    let mut open = Vec::new();
    for layer in layers {
        if let Some(patterns) = layer.get("patternProperties").and_then(Value::as_object) {
            open.extend(patterns.values());
        }
        open.extend(layer.get("additionalProperties").filter(|a| a.is_object()));
    }
    (false, open)
}

/// A schema and everything that applies to the same value: what `$ref` names and the branches of
/// `allOf`, `anyOf`, `oneOf`. `layers` guards against cycles.
fn collect_layers<'s>(
    root: &'s Value,
    schema: &'s Value,
    value: Option<&Value>,
    layers: &mut Vec<&'s Value>,
) {
    if !schema.is_object() || layers.iter().any(|l| std::ptr::eq(*l, schema)) {
        return;
    }
    layers.push(schema);
    if let Some(target) = schema.get("$ref").and_then(Value::as_str)
        && let Some(target) = target.strip_prefix('#').and_then(|p| root.pointer(p))
    {
        collect_layers(root, target, value, layers);
    }
    for branch in branches(schema, "allOf") {
        collect_layers(root, branch, value, layers);
    }
    for keyword in ["anyOf", "oneOf"] {
        for branch in branches(schema, keyword) {
            if value.is_none_or(|v| !excluded(root, branch, v)) {
                collect_layers(root, branch, value, layers);
            }
        }
    }
}

fn branches<'s>(schema: &'s Value, keyword: &str) -> &'s [Value] {
    schema
        .get(keyword)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// True when a `const` property of the branch contradicts the value.
fn excluded(root: &Value, branch: &Value, value: &Value) -> bool {
    let Some(map) = value.as_object() else {
        return false;
    };
    let mut layers = Vec::new();
    collect_layers(root, branch, None, &mut layers);
    layers
        .iter()
        .filter_map(|l| l.get("properties")?.as_object())
        .flatten()
        .any(|(key, s)| matches!((s.get("const"), map.get(key)), (Some(c), Some(v)) if c != v))
}

const EDITORS: &[&str] = &[
    "none",
    "raw",
    "json",
    "yaml",
    "xml",
    "markdown",
    "formdata",
    "javascript",
    "typescript",
    "shell",
];

/// Checks every annotation of a schema (`plugins §8.1.1`): unknown `x-` keys, values of the wrong
/// type, `x-depends-on` and `x-hidden-when` that name no sibling, `x-secret` on something other than
/// a string.
pub fn check(schema: &Value) -> Result<(), ConfigError> {
    check_at(schema, schema, None, "(root)")
}

fn check_at(
    root: &Value,
    schema: &Value,
    siblings: Option<&Map<String, Value>>,
    path: &str,
) -> Result<(), ConfigError> {
    let Some(map) = schema.as_object() else {
        return Ok(());
    };
    for (key, value) in map.iter().filter(|(k, _)| k.starts_with("x-")) {
        check_annotation(root, schema, key, value, siblings).map_err(|reason| {
            ConfigError::Annotation {
                path: path.to_owned(),
                reason: format!("{key}: {reason}"),
            }
        })?;
    }
    let properties = map.get("properties").and_then(Value::as_object);
    for (key, inner) in properties.into_iter().flatten() {
        let inner_path = match path {
            "(root)" => key.clone(),
            _ => format!("{path}.{key}"),
        };
        check_at(root, inner, properties, &inner_path)?;
    }
    for keyword in ["patternProperties", "$defs", "definitions"] {
        let inner = map.get(keyword).and_then(Value::as_object);
        for (key, inner) in inner.into_iter().flatten() {
            check_at(root, inner, None, &format!("{path}.{keyword}.{key}"))?;
        }
    }
    for (keyword, shown) in [("items", "[]"), ("additionalProperties", ".*"), ("not", "")] {
        if let Some(inner) = map.get(keyword) {
            check_at(root, inner, None, &format!("{path}{shown}"))?;
        }
    }
    for keyword in ["prefixItems", "allOf", "anyOf", "oneOf"] {
        for inner in branches(schema, keyword) {
            // A branch stands in the place of the field itself.
            check_at(root, inner, siblings, path)?;
        }
    }
    Ok(())
}

fn check_annotation(
    root: &Value,
    schema: &Value,
    key: &str,
    value: &Value,
    siblings: Option<&Map<String, Value>>,
) -> Result<(), String> {
    let sibling = |name: &str| match siblings {
        Some(s) if s.contains_key(name) => Ok(()),
        _ => Err(format!("there is no sibling field `{name}`")),
    };
    match key {
        "x-secret" | "x-secret-env" | "x-script-testable" | "x-searchable" | "x-hidden"
        | "x-color" => {
            if value != &Value::Bool(true) {
                return Err("must be true, or be left out".into());
            }
            if key == "x-secret" && !is_string(root, schema) {
                return Err("only a string can be a secret".into());
            }
            Ok(())
        }
        "x-secret-id" | "x-options-resolver" => match value.as_str() {
            Some(t) if !t.is_empty() => Ok(()),
            _ => Err("must be a text".into()),
        },
        "x-editor-types" => {
            let list = value.as_array().filter(|l| !l.is_empty());
            for entry in list.ok_or("must be a list of editors")? {
                if !entry.as_str().is_some_and(|e| EDITORS.contains(&e)) {
                    return Err(format!("{entry} is none of {}", EDITORS.join(", ")));
                }
            }
            Ok(())
        }
        "x-depends-on" => {
            for entry in value.as_array().ok_or("must be a list of sibling fields")? {
                sibling(entry.as_str().ok_or("must be a list of sibling fields")?)?;
            }
            Ok(())
        }
        "x-hidden-when" => {
            for (name, values) in value.as_object().ok_or("must map siblings to values")? {
                if !values.is_array() {
                    return Err(format!("the values of `{name}` must be a list"));
                }
                sibling(name)?;
            }
            Ok(())
        }
        _ => Err("unknown annotation".into()),
    }
}

/// True when every alternative but null is a string.
fn is_string(root: &Value, schema: &Value) -> bool {
    let mut layers = Vec::new();
    collect_layers(root, schema, None, &mut layers);
    let types: Vec<&str> = layers
        .iter()
        .filter_map(|l| l.get("type"))
        .flat_map(|t| match t {
            Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
            other => other.as_str().into_iter().collect::<Vec<_>>(),
        })
        .filter(|t| *t != "null")
        .collect();
    !types.is_empty() && types.iter().all(|t| *t == "string")
}
