//! Keeping stored secrets that a write leaves blank. Pure.

use plugin_api::config::annotations::{FieldPath, Mark, Step, locate};
use serde_json::Value;

/// Puts each secret of `stored` into `new` where `new` has a blank, a null, or nothing at all. A
/// removed map entry or list element stays removed.
pub(super) fn keep_blank(schema: &Value, stored: &Value, new: &mut Value) {
    for field in locate(schema, stored) {
        if field.mark != Mark::Secret {
            continue;
        }
        let Some(secret) = field.path.get(stored).filter(|v| v.is_string()) else {
            continue;
        };
        if let Some(slot) = counterpart(&field.path.0, stored, new) {
            *slot = secret.clone();
        }
    }
}

/// The blank place of `new` that stands for a place of `stored`, made if a declared property is
/// missing; none when it holds something or its surroundings are gone.
fn counterpart<'n>(path: &[Step], stored: &Value, new: &'n mut Value) -> Option<&'n mut Value> {
    let Some((step, rest)) = path.split_first() else {
        let blank = new.is_null() || new.as_str() == Some("");
        return blank.then_some(new);
    };
    match step {
        Step::Key(key) => {
            let map = new.as_object_mut()?;
            if rest.is_empty() {
                let slot = map.entry(key).or_insert(Value::Null);
                return counterpart(rest, stored.get(key)?, slot);
            }
            counterpart(rest, stored.get(key)?, map.get_mut(key)?)
        }
        Step::Entry(key) => counterpart(rest, stored.get(key)?, new.as_object_mut()?.get_mut(key)?),
        Step::Index(i) => {
            let old = stored.get(i)?;
            let items = new.as_array_mut()?;
            let at = match identity(old) {
                Some(id) => items.iter().position(|n| identity(n) == Some(id))?,
                None => *i,
            };
            counterpart(rest, old, items.get_mut(at)?)
        }
    }
}

fn identity(element: &Value) -> Option<&str> {
    element.get("id").or_else(|| element.get("name"))?.as_str()
}

/// Removes every secret and tells where one was set.
pub(super) fn redact(schema: &Value, data: &mut Value) -> Vec<String> {
    let fields = locate(schema, data);
    let secrets = fields.iter().filter(|f| f.mark == Mark::Secret);
    let secrets: Vec<&FieldPath> = secrets.map(|f| &f.path).collect();
    let set = secrets
        .iter()
        .filter(|p| matches!(p.get(data), Some(Value::String(s)) if !s.is_empty()))
        .map(|p| p.to_string())
        .collect();
    // From the back, so that positions in lists stay right.
    for path in secrets.iter().rev() {
        let Some((last, parent)) = path.0.split_last() else {
            *data = Value::Null;
            continue;
        };
        match (last, FieldPath(parent.to_vec()).get_mut(data)) {
            (Step::Key(k) | Step::Entry(k), Some(Value::Object(map))) => {
                map.shift_remove(k);
            }
            (Step::Index(i), Some(Value::Array(items))) => {
                items.remove(*i);
            }
            _ => {}
        }
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Value {
        let secret = json!({"type": "string", "x-secret": true});
        json!({"properties": {
            "token": secret,
            "list": {"items": {"properties": {"id": {"type": "string"}, "pin": secret}}},
            "map": {"additionalProperties": secret},
            "words": {"items": secret},
        }})
    }

    #[test]
    fn blanks_keep_and_removed_places_stay_removed() {
        let stored = json!({"token": "t", "list": [{"id": "a", "pin": "1"}, {"id": "b", "pin": "2"}], "map": {"x": "3", "y": "4"}, "words": ["w"]});
        let mut new = json!({"list": [{"id": "b", "pin": ""}, {"id": "c"}], "map": {"y": "", "z": "5"}, "words": [""]});
        keep_blank(&schema(), &stored, &mut new);
        assert_eq!(
            new,
            json!({"list": [{"id": "b", "pin": "2"}, {"id": "c"}], "map": {"y": "4", "z": "5"}, "words": ["w"], "token": "t"})
        );
    }

    #[test]
    fn redacted_data_has_no_secret_at_any_depth() {
        let mut data = json!({"token": "", "list": [{"id": "a", "pin": "1"}], "map": {"x": "3"}, "words": ["w", "v"], "free": 1});
        let set = redact(&schema(), &mut data);
        assert_eq!(set, ["list[0].pin", "map.x", "words[0]", "words[1]"]);
        assert_eq!(
            data,
            json!({"list": [{"id": "a"}], "map": {}, "words": [], "free": 1})
        );
    }
}
