//! Whether a payload can have a field, as far as its schema says.

use serde_json::Value;

/// What a schema says of a path.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Known {
    /// It is declared, or cannot be excluded.
    Maybe,
    /// A closed object on the way does not have it.
    Missing {
        /// Position in the path.
        at: usize,
        /// What that object has.
        fields: Vec<String>,
    },
}

/// Follows a path through declared properties. Only an object that allows no further keys excludes
/// one; alternatives and lists exclude nothing.
pub(super) fn lookup(schema: &Value, path: &[&str]) -> Known {
    let mut here = schema;
    for (at, key) in path.iter().enumerate() {
        here = resolve(schema, here);
        let alternatives = ["anyOf", "oneOf", "allOf", "patternProperties"];
        if alternatives.iter().any(|k| here.get(k).is_some()) {
            return Known::Maybe;
        }
        let properties = here.get("properties").and_then(Value::as_object);
        match properties.and_then(|p| p.get(*key)) {
            Some(next) => here = next,
            None if here.get("additionalProperties") == Some(&Value::Bool(false)) => {
                let fields = properties.map(|p| p.keys().cloned().collect());
                return Known::Missing {
                    at,
                    fields: fields.unwrap_or_default(),
                };
            }
            None => return Known::Maybe,
        }
    }
    Known::Maybe
}

/// Follows references; a chain too long to be meant is left where it is.
fn resolve<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    let mut schema = schema;
    for _ in 0..16 {
        let target = schema.get("$ref").and_then(Value::as_str);
        match target.and_then(|t| root.pointer(t.strip_prefix('#')?)) {
            Some(next) => schema = next,
            None => break,
        }
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_closed_objects_exclude_a_field() {
        let schema = json!({
            "type": "object", "additionalProperties": false,
            "properties": {
                "id": {"type": "string"},
                "check": {"$ref": "#/$defs/Check"},
                "free": {"type": "object"},
                "either": {"anyOf": [{"$ref": "#/$defs/Check"}, {"type": "null"}]},
            },
            "$defs": {"Check": {"type": "object", "additionalProperties": false, "properties": {"ms": {"type": "number"}}}},
        });
        let missing = |at: usize, fields: &[&str]| Known::Missing {
            at,
            fields: fields.iter().map(|f| (*f).to_owned()).collect(),
        };
        for maybe in [
            &["id"][..],
            &["check", "ms"],
            &["free", "x", "y"],
            &["either", "x"],
            &["id", "length"],
        ] {
            assert_eq!(lookup(&schema, maybe), Known::Maybe, "{maybe:?}");
        }
        assert_eq!(
            lookup(&schema, &["idd"]),
            missing(0, &["id", "check", "free", "either"])
        );
        assert_eq!(lookup(&schema, &["check", "mss"]), missing(1, &["ms"]));
        assert_eq!(lookup(&json!({}), &["x"]), Known::Maybe);
    }
}
