//! Where a walk stands in a schema.

use serde_json::{Map, Value};

/// A place in a schema while a value is walked: the subschemas that apply there. References,
/// `allOf`, and those branches of `anyOf` and `oneOf` that fit the value are followed to any depth
/// (`secrets §6.1–6.5`).
#[derive(Clone, Debug)]
pub struct Cursor<'s> {
    root: &'s Value,
    parts: Vec<&'s Map<String, Value>>,
}

impl<'s> Cursor<'s> {
    /// The place of a whole value.
    pub fn new(root: &'s Value, value: &Value) -> Self {
        Self::at(root, [root], value)
    }

    fn at(root: &'s Value, schemas: impl IntoIterator<Item = &'s Value>, value: &Value) -> Self {
        let mut cursor = Self {
            root,
            parts: Vec::new(),
        };
        for schema in schemas {
            cursor.flatten(schema, value);
        }
        cursor
    }

    fn flatten(&mut self, schema: &'s Value, value: &Value) {
        let Value::Object(map) = schema else { return };
        // A schema met twice adds nothing; this also ends circular references.
        if self.parts.iter().any(|p| std::ptr::eq(*p, map)) {
            return;
        }
        self.parts.push(map);
        if let Some(target) = map.get("$ref").and_then(|r| resolve(self.root, r)) {
            self.flatten(target, value);
        }
        for part in array(map, "allOf") {
            self.flatten(part, value);
        }
        for branch in array(map, "anyOf").iter().chain(array(map, "oneOf")) {
            if self.fits(branch, value) {
                self.flatten(branch, value);
            }
        }
    }

    /// Whether a branch can be meant: its type is the value's, and where it pins a property to a
    /// constant, the value has that constant.
    fn fits(&self, branch: &'s Value, value: &Value) -> bool {
        let mut branch = branch;
        for _ in 0..16 {
            match branch.get("$ref").and_then(|r| resolve(self.root, r)) {
                Some(target) => branch = target,
                None => break,
            }
        }
        let type_fits = match branch.get("type") {
            Some(Value::String(t)) => is_type(value, t),
            Some(Value::Array(types)) => types
                .iter()
                .filter_map(Value::as_str)
                .any(|t| is_type(value, t)),
            _ => true,
        };
        type_fits
            && branch
                .get("properties")
                .and_then(Value::as_object)
                .is_none_or(|properties| {
                    properties.iter().all(|(key, schema)| {
                        match (schema.get("const"), value.get(key)) {
                            (Some(expected), Some(given)) => expected == given,
                            _ => true,
                        }
                    })
                })
    }

    /// The place of a property; none when no schema says anything about it.
    pub fn property(&self, key: &str, value: &Value) -> Option<Self> {
        let schemas: Vec<&Value> = self
            .parts
            .iter()
            .filter_map(|part| {
                let declared = part.get("properties").and_then(|p| p.get(key));
                declared
                    .or_else(|| {
                        let patterns = part.get("patternProperties")?.as_object()?;
                        // Patterns on keys are rare; one that is given is taken to fit.
                        patterns.values().next()
                    })
                    .or_else(|| part.get("additionalProperties").filter(|s| s.is_object()))
            })
            .collect();
        (!schemas.is_empty()).then(|| Self::at(self.root, schemas, value))
    }

    /// The place of a list element.
    pub fn item(&self, index: usize, value: &Value) -> Option<Self> {
        let schemas: Vec<&Value> = self
            .parts
            .iter()
            .filter_map(|part| {
                array(part, "prefixItems")
                    .get(index)
                    .or_else(|| part.get("items").filter(|s| s.is_object()))
            })
            .collect();
        (!schemas.is_empty()).then(|| Self::at(self.root, schemas, value))
    }

    fn flag(&self, keyword: &str) -> bool {
        self.parts
            .iter()
            .any(|p| p.get(keyword) == Some(&Value::Bool(true)))
    }

    /// `x-secret` or `x-secret-env`: references to secrets resolve here.
    pub fn is_secret(&self) -> bool {
        self.flag("x-secret") || self.flag("x-secret-env")
    }

    /// Never rendered: a secret, or native code (`template §14.1`).
    pub fn is_verbatim(&self) -> bool {
        self.is_secret()
            || self.parts.iter().any(|p| {
                array(p, "x-editor-types")
                    .iter()
                    .filter_map(Value::as_str)
                    .any(|t| matches!(t, "shell" | "typescript" | "javascript"))
            })
    }

    /// The keys an object may have here; none when it may have any.
    pub fn known_keys(&self) -> Option<Vec<&'s str>> {
        let open = self.parts.iter().any(|p| {
            p.contains_key("patternProperties")
                || p.get("additionalProperties")
                    .is_some_and(|a| *a != Value::Bool(false))
        });
        let mut declared = self
            .parts
            .iter()
            .filter_map(|p| p.get("properties"))
            .peekable();
        if open || declared.peek().is_none() {
            // `additionalProperties: false` alone allows no key at all.
            let closed = !open
                && self
                    .parts
                    .iter()
                    .any(|p| p.get("additionalProperties") == Some(&Value::Bool(false)));
            return closed.then(Vec::new);
        }
        Some(
            declared
                .filter_map(Value::as_object)
                .flat_map(|m| m.keys().map(String::as_str))
                .collect(),
        )
    }
}

fn array<'s>(map: &'s Map<String, Value>, key: &str) -> &'s [Value] {
    map.get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn resolve<'s>(root: &'s Value, reference: &Value) -> Option<&'s Value> {
    root.pointer(reference.as_str()?.strip_prefix('#')?)
}

fn is_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|f| f.fract() == 0.0)
        }
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn annotations_are_found_through_references_unions_and_records() {
        let schema = json!({
            "type": "object",
            "properties": {
                "auth": {"anyOf": [{"$ref": "#/$defs/Auth"}, {"type": "null"}]},
                "env": {"type": "object", "additionalProperties": {"type": "string"}, "x-secret-env": true},
                "headers": {"type": "array", "items": {"$ref": "#/$defs/Header"}},
            },
            "$defs": {
                "Auth": {"oneOf": [
                    {"type": "object", "properties": {"kind": {"const": "basic"}, "user": {"type": "string"}}},
                    {"type": "object", "properties": {"kind": {"const": "token"}, "token": {"type": "string", "x-secret": true}}},
                ]},
                "Header": {"type": "object", "properties": {"value": {"type": ["string", "null"], "x-secret": true}, "child": {"$ref": "#/$defs/Header"}}},
            },
        });
        let value = json!({"auth": {"kind": "token", "token": "x"}, "env": {"A": "b"}, "headers": [{"value": "v", "child": {"value": "w"}}]});
        let top = Cursor::new(&schema, &value);
        let auth = top.property("auth", &value["auth"]).unwrap();
        assert_eq!(auth.known_keys(), Some(vec!["kind", "token"]));
        assert!(auth.property("token", &json!("x")).unwrap().is_secret());
        assert!(top.property("env", &value["env"]).unwrap().is_secret());
        assert!(
            top.property("env", &value["env"])
                .unwrap()
                .known_keys()
                .is_none()
        );
        let header = top
            .property("headers", &value["headers"])
            .and_then(|h| h.item(0, &value["headers"][0]))
            .unwrap();
        let child = header.property("child", &json!({"value": "w"})).unwrap();
        assert!(child.property("value", &json!("w")).unwrap().is_verbatim());
        assert!(top.property("nope", &json!(1)).is_none());
    }
}
