//! Which fields of a schema are secrets or scripts, for those who draw forms (`api §4`).

use serde_json::Value;

/// Fields by mark, as paths from the config's root: `secretEnv`, `headers[].value`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MarkedFields {
    /// Marked `x-secret` or `x-secret-env`.
    pub secrets: Vec<String>,
    /// Whose `x-editor-types` name a language of scripts.
    pub scripts: Vec<String>,
}

/// How deep marks are looked for; schemas that refer to themselves end here.
const DEPTH: usize = 12;

impl MarkedFields {
    /// Those of a schema, each once, in the order of its properties.
    pub fn of(schema: &Value) -> Self {
        let mut found = Self::default();
        found.visit(schema, schema, "", 0);
        found
    }

    fn visit(&mut self, root: &Value, schema: &Value, path: &str, depth: usize) {
        if depth > DEPTH {
            return;
        }
        let flag = |key: &str| schema.get(key) == Some(&Value::Bool(true));
        if flag("x-secret") || flag("x-secret-env") {
            add(&mut self.secrets, path);
        }
        let editors = list(schema, "x-editor-types").filter_map(Value::as_str);
        if editors
            .into_iter()
            .any(|e| matches!(e, "shell" | "typescript" | "javascript"))
        {
            add(&mut self.scripts, path);
        }
        let target = schema.get("$ref").and_then(Value::as_str);
        let target = target.and_then(|t| root.pointer(t.strip_prefix('#')?));
        for same in ["allOf", "anyOf", "oneOf"]
            .into_iter()
            .flat_map(|key| list(schema, key))
            .chain(target)
        {
            self.visit(root, same, path, depth + 1);
        }
        for (key, property) in schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let below = match path {
                "" => key.clone(),
                _ => format!("{path}.{key}"),
            };
            self.visit(root, property, &below, depth + 1);
        }
        for items in schema
            .get("items")
            .into_iter()
            .chain(list(schema, "prefixItems"))
        {
            self.visit(root, items, &format!("{path}[]"), depth + 1);
        }
        if let Some(values) = schema.get("additionalProperties") {
            self.visit(root, values, &format!("{path}.*"), depth + 1);
        }
    }
}

fn add(to: &mut Vec<String>, path: &str) {
    if !to.iter().any(|p| p == path) {
        to.push(path.to_owned());
    }
}

fn list<'s>(schema: &'s Value, key: &str) -> impl Iterator<Item = &'s Value> {
    schema
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn marks_are_found_at_any_depth() {
        let schema = json!({
            "type": "object",
            "properties": {
                "script": {"type": "string", "x-editor-types": ["text", "shell"]},
                "secretEnv": {"type": "object", "x-secret-env": true, "additionalProperties": {"type": "string"}},
                "auth": {"anyOf": [{"$ref": "#/$defs/Auth"}, {"type": "null"}]},
                "headers": {"type": "array", "items": {"$ref": "#/$defs/Header"}},
                "plain": {"type": "string", "x-editor-types": ["markdown"]},
            },
            "$defs": {
                "Auth": {"oneOf": [
                    {"properties": {"password": {"x-secret": true}}},
                    {"properties": {"token": {"x-secret": true}, "password": {"x-secret": true}}},
                ]},
                "Header": {"properties": {"value": {"x-secret": true}, "child": {"$ref": "#/$defs/Header"}}},
            },
        });
        let found = MarkedFields::of(&schema);
        assert_eq!(found.scripts, ["script"]);
        assert_eq!(
            found.secrets[..4],
            [
                "secretEnv",
                "auth.password",
                "auth.token",
                "headers[].value"
            ]
        );
        assert!(found.secrets.len() < 12, "{:?}", found.secrets);
    }
}
