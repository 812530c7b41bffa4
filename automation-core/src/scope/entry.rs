//! What an author can type: entries, and how they follow from a JSON Schema (`definition §14.7`).

use serde::Serialize;
use serde_json::Value;

/// A name in scope.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Entry {
    /// Its place, such as `trigger.payload.systemId`.
    pub path: String,
    /// What can be typed for it.
    pub insert: String,
    /// What it is: a JSON type, or its values joined by ` | `.
    #[serde(rename = "type")]
    pub kind: String,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What is below it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Entry>,
    /// Whether it is a value to be read, and not only the way to others.
    pub referenceable: bool,
    /// The triggers that have it, when not all that can lead here do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only_when: Vec<String>,
    /// It may be missing although what makes it has run.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

/// How deep a schema is followed; one that refers to itself ends here.
const DEPTH: usize = 8;

impl Entry {
    /// A root of the scope.
    pub fn root(name: &str, kind: &str) -> Self {
        Self {
            path: name.to_owned(),
            insert: name.to_owned(),
            kind: kind.to_owned(),
            referenceable: true,
            ..Self::default()
        }
    }

    /// An entry below another.
    pub fn below(parent: &Self, name: &str, kind: &str) -> Self {
        Self {
            path: format!("{}.{name}", parent.path),
            insert: format!("{}{}", parent.insert, segment(name)),
            kind: kind.to_owned(),
            referenceable: true,
            ..Self::default()
        }
    }

    /// With a description.
    pub fn describe(mut self, text: &str) -> Self {
        self.description = Some(text.to_owned());
        self
    }

    /// Gives it the type and the children that a schema says.
    pub fn shaped(mut self, root: &Value, schema: &Value) -> Self {
        self.shape(root, schema, 0);
        self
    }

    /// Marks it and everything below as perhaps missing.
    pub fn make_optional(&mut self) {
        self.optional = true;
        for child in &mut self.children {
            child.make_optional();
        }
    }

    fn shape(&mut self, root: &Value, schema: &Value, depth: usize) {
        let schema = meant(root, schema);
        self.kind = kind(root, schema);
        if let Some(text) = schema.get("description").and_then(Value::as_str) {
            self.description.get_or_insert_with(|| text.to_owned());
        }
        if depth == DEPTH {
            return;
        }
        let properties = schema.get("properties").and_then(Value::as_object);
        for (name, property) in properties.into_iter().flatten() {
            let mut child = Self::below(self, name, "any");
            child.shape(root, property, depth + 1);
            self.children.push(child);
        }
        if let Some(items) = schema.get("items").filter(|_| self.kind == "array") {
            let mut first = Self {
                path: format!("{}[0]", self.path),
                insert: format!("{}[0]", self.insert),
                referenceable: true,
                ..Self::default()
            };
            first.shape(root, items, depth + 1);
            self.children.push(first);
        }
    }
}

/// A name behind its parent: with a dot, or in brackets where a dot does not do.
fn segment(name: &str) -> String {
    let mut chars = name.chars();
    let first = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '$');
    let plain = chars.next().is_some_and(first)
        && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '$'));
    if plain {
        format!(".{name}")
    } else {
        format!("[{}]", Value::from(name))
    }
}

/// Follows references, and the one branch of a union that is not null.
fn meant<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    let mut schema = schema;
    for _ in 0..16 {
        let target = schema.get("$ref").and_then(Value::as_str);
        if let Some(next) = target.and_then(|t| root.pointer(t.strip_prefix('#')?)) {
            schema = next;
            continue;
        }
        let branches = ["anyOf", "oneOf"]
            .iter()
            .find_map(|k| schema.get(*k).and_then(Value::as_array));
        let mut real = branches
            .into_iter()
            .flatten()
            .filter(|b| b.get("type") != Some(&Value::from("null")));
        match (real.next(), real.next()) {
            (Some(only), None) => schema = only,
            _ => break,
        }
    }
    schema
}

/// The type as a label.
fn kind(root: &Value, schema: &Value) -> String {
    let values = |list: &[Value]| -> String {
        let texts: Vec<String> = list.iter().map(Value::to_string).collect();
        texts.join(" | ")
    };
    if let Some(constant) = schema.get("const") {
        return constant.to_string();
    }
    if let Some(list) = schema.get("enum").and_then(Value::as_array) {
        return values(list);
    }
    let branches = ["anyOf", "oneOf"]
        .iter()
        .find_map(|k| schema.get(*k).and_then(Value::as_array));
    if let Some(branches) = branches {
        let mut kinds: Vec<String> = Vec::new();
        for branch in branches {
            let one = kind(root, meant(root, branch));
            if !kinds.contains(&one) {
                kinds.push(one);
            }
        }
        return kinds.join(" | ");
    }
    match schema.get("type") {
        Some(Value::String(one)) => one.clone(),
        Some(Value::Array(several)) => {
            let real: Vec<&str> = several
                .iter()
                .filter_map(Value::as_str)
                .filter(|t| *t != "null")
                .collect();
            real.join(" | ")
        }
        _ if schema.get("properties").is_some() => "object".to_owned(),
        _ => "any".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn definition_14_7_entries_say_what_can_be_typed() {
        let schema = json!({
            "properties": {
                "system-id": {"type": ["string", "null"], "description": "The system."},
                "status": {"$ref": "#/$defs/Status"},
                "list": {"type": "array", "items": {"properties": {"x": {"type": "number"}}}},
                "maybe": {"anyOf": [{"$ref": "#/$defs/Inner"}, {"type": "null"}]},
                "either": {"oneOf": [{"type": "string"}, {"type": "number"}]},
            },
            "$defs": {
                "Status": {"oneOf": [{"const": "up"}, {"const": "down"}]},
                "Inner": {"properties": {"again": {"$ref": "#/$defs/Inner"}}},
            },
        });
        let entry = Entry::root("p", "any").shaped(&schema, &schema);
        let lines: Vec<String> = entry
            .children
            .iter()
            .map(|c| format!("{} {} {}", c.path, c.insert, c.kind))
            .collect();
        assert_eq!(
            lines,
            [
                "p.system-id p[\"system-id\"] string",
                "p.status p.status \"up\" | \"down\"",
                "p.list p.list array",
                "p.maybe p.maybe object",
                "p.either p.either string | number",
            ]
        );
        assert_eq!(
            entry.children[0].description.as_deref(),
            Some("The system.")
        );
        let element = &entry.children[2].children[0];
        assert_eq!(
            (element.insert.as_str(), element.children[0].insert.as_str()),
            ("p.list[0]", "p.list[0].x")
        );
        // A schema that refers to itself ends somewhere.
        assert_eq!(entry.children[3].children[0].path, "p.maybe.again");
    }
}
