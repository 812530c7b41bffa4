//! Keeping stored secrets that a write leaves blank. Pure.

use plugin_api::config::annotations::{FieldPath, Mark, Step, locate};
use serde_json::Value;
use std::collections::HashSet;

/// Puts each secret of `stored` into `new` where `new` has a blank, a null, or nothing at all, and
/// answers where it did. A removed map entry or list element stays removed.
pub(super) fn keep_blank(schema: &Value, stored: &Value, new: &mut Value) -> Vec<FieldPath> {
    let (old, now) = (plain(schema, stored), plain(schema, new));
    let mut filled = new.clone();
    let mut kept = Vec::new();
    for path in secrets(schema, stored) {
        let Some(Value::String(secret)) = path.get(stored).filter(|v| !is_blank(v)) else {
            continue;
        };
        if let Some(place) = counterpart(&path, &old, &now)
            && let Some(slot) = blank_slot(&mut filled, &place)
        {
            *slot = secret.as_str().into();
            kept.push((place, secret));
        }
    }
    // In another variant of a union the same place is no secret: there it would be stored in the clear.
    let secret_now: HashSet<FieldPath> = secrets(schema, &filled).collect();
    kept.retain(|(place, _)| secret_now.contains(place));
    for (place, secret) in &kept {
        if let Some(slot) = blank_slot(new, place) {
            *slot = secret.as_str().into();
        }
    }
    kept.into_iter().map(|(place, _)| place).collect()
}

fn secrets(schema: &Value, value: &Value) -> impl DoubleEndedIterator<Item = FieldPath> {
    let marked = locate(schema, value).into_iter();
    marked.filter(|m| m.mark == Mark::Secret).map(|m| m.path)
}

fn is_blank(value: &Value) -> bool {
    value.is_null() || value.as_str() == Some("")
}

/// The place of `new` that stands for a place of `stored`, both without their secrets; it need not
/// be there. None when the list element that it was in is gone.
fn counterpart(path: &FieldPath, stored: &Value, new: &Value) -> Option<FieldPath> {
    let mut place = FieldPath::default();
    for (depth, step) in path.0.iter().enumerate() {
        let step = match step {
            Step::Index(i) => {
                let old = FieldPath(path.0[..depth].to_vec()).get(stored)?;
                let now = place.get(new)?;
                Step::Index(same_element(*i, old.as_array()?, now.as_array()?)?)
            }
            named => named.clone(),
        };
        place.0.push(step);
    }
    Some(place)
}

/// Where element `i` of `stored` is in `new`. Of several alike each keeps its rank; when one was added
/// or removed among them, only the place can tell.
fn same_element(i: usize, stored: &[Value], new: &[Value]) -> Option<usize> {
    let alike_in = |list: &[Value]| -> Vec<usize> {
        let places = (0..list.len()).filter(|j| alike(&list[*j], &stored[i]));
        places.collect()
    };
    let (old, now) = (alike_in(stored), alike_in(new));
    if old.len() == now.len() {
        let rank = old.iter().position(|j| *j == i)?;
        return Some(now[rank]);
    }
    now.contains(&i).then_some(i)
}

/// True of two elements with the same `id` or `name`; without one, of elements that differ in nothing
/// but their secrets. So a secret never moves to what it was not entered for.
fn alike(a: &Value, b: &Value) -> bool {
    match (identity(a), identity(b)) {
        (None, None) => a == b,
        (a, b) => a == b,
    }
}

fn identity(element: &Value) -> Option<&Value> {
    let told = |key| {
        let id = element.get(key);
        id.filter(|v| v.is_string() || v.is_number())
    };
    told("id").or_else(|| told("name"))
}

/// The slot at a place if it is blank, made if a declared property is missing; none when it holds
/// something or its surroundings are gone.
fn blank_slot<'v>(data: &'v mut Value, place: &FieldPath) -> Option<&'v mut Value> {
    let slot = match place.0.split_last() {
        Some((Step::Key(key), parent)) => {
            let map = FieldPath(parent.to_vec()).get_mut(data)?.as_object_mut()?;
            map.entry(key).or_insert(Value::Null)
        }
        _ => place.get_mut(data)?,
    };
    is_blank(slot).then_some(slot)
}

/// A value without its secrets; positions in lists stay as they are.
fn plain(schema: &Value, value: &Value) -> Value {
    let mut plain = value.clone();
    for path in secrets(schema, value) {
        hide(&mut plain, &path);
    }
    plain
}

/// Removes a field; what has no name becomes null.
fn hide(data: &mut Value, path: &FieldPath) {
    match path.0.split_last() {
        Some((Step::Key(key) | Step::Entry(key), parent)) => {
            if let Some(Value::Object(map)) = FieldPath(parent.to_vec()).get_mut(data) {
                map.shift_remove(key);
            }
        }
        _ => {
            if let Some(slot) = path.get_mut(data) {
                *slot = Value::Null;
            }
        }
    }
}

/// Removes every secret and tells where one was set.
pub(super) fn redact(schema: &Value, data: &mut Value) -> Vec<String> {
    let secrets: Vec<FieldPath> = secrets(schema, data).collect();
    let set = secrets
        .iter()
        .filter(|p| matches!(p.get(data), Some(Value::String(s)) if !s.is_empty()))
        .map(|p| p.to_string())
        .collect();
    // From the back, so that positions in lists stay right.
    for path in secrets.iter().rev() {
        match path.0.split_last() {
            Some((Step::Index(i), list)) => {
                if let Some(Value::Array(items)) = FieldPath(list.to_vec()).get_mut(data) {
                    items.remove(*i);
                }
            }
            _ => hide(data, path),
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
        let kept = keep_blank(&schema(), &stored, &mut new);
        assert_eq!(
            new,
            json!({"list": [{"id": "b", "pin": "2"}, {"id": "c"}], "map": {"y": "4", "z": "5"}, "words": ["w"], "token": "t"})
        );
        let kept: Vec<String> = kept.iter().map(FieldPath::to_string).collect();
        assert_eq!(kept, ["list[0].pin", "map.y", "token", "words[0]"]);
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

    #[test]
    fn a_secret_is_not_kept_where_another_variant_has_none() {
        let secret = json!({"type": "string", "x-secret": true});
        let schema = json!({"properties": {"auth": {"oneOf": [
            {"properties": {"type": {"const": "basic"}, "password": secret}},
            {"properties": {"type": {"const": "bearer"}, "token": secret, "password": {"type": "string"}}},
        ]}}});
        let stored = json!({"auth": {"type": "basic", "password": "p"}});
        for blank in [
            json!({"auth": {"type": "bearer", "token": "t"}}),
            json!({"auth": {"type": "bearer", "password": ""}}),
        ] {
            let mut new = blank.clone();
            assert!(keep_blank(&schema, &stored, &mut new).is_empty());
            assert_eq!(new, blank);
        }
        let mut same = json!({"auth": {"type": "basic"}});
        keep_blank(&schema, &stored, &mut same);
        assert_eq!(same, stored);
    }

    #[test]
    fn a_secret_of_a_list_stays_with_the_fields_it_was_entered_for() {
        let schema = json!({"items": {"properties": {
            "id": {"type": "integer"}, "url": {"type": "string"},
            "token": {"type": "string", "x-secret": true},
        }}});
        let with = |url: &str, token: &str| json!({"url": url, "token": token});
        let bare = |url: &str| json!({"url": url});
        let (a, b, c) = (with("a", "1"), with("b", "2"), with("b", "3"));
        let cases = [
            ("the first removed", json!([bare("b")]), json!([b])),
            ("swapped", json!([with("b", ""), bare("a")]), json!([b, a])),
            (
                "another url in its place",
                json!([bare("x"), bare("b")]),
                json!([bare("x"), b]),
            ),
            (
                "one more in front",
                json!([with("x", "0"), bare("a"), bare("b")]),
                json!([with("x", "0"), a, b]),
            ),
            (
                "the same again behind",
                json!([bare("a"), bare("b"), with("b", "9")]),
                json!([a, b, with("b", "9")]),
            ),
        ];
        for (what, mut new, expected) in cases {
            keep_blank(&schema, &json!([a, b]), &mut new);
            assert_eq!(new, expected, "{what}");
        }
        // Two alike keep their order while both are there; of one left nobody can tell which it is.
        let mut new = json!([bare("b"), bare("b")]);
        keep_blank(&schema, &json!([a, b, c]), &mut new);
        assert_eq!(new, json!([b, c]));
        let mut new = json!([bare("b")]);
        keep_blank(&schema, &json!([a, b, c]), &mut new);
        assert_eq!(new, json!([bare("b")]));
        // An id, be it a number, tells more than the fields.
        let mut new = json!([{"id": 2, "url": "x"}]);
        keep_blank(
            &schema,
            &json!([{"id": 1, "token": "1"}, {"id": 2, "token": "2"}]),
            &mut new,
        );
        assert_eq!(new, json!([{"id": 2, "url": "x", "token": "2"}]));
    }
}
