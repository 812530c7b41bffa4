//! The trigger that older releases had for flapping, and what does the same today
//! (`definition §16`).

use super::{effective_id, normal_event};
use serde_json::{Map, Value, json};

/// The event of that trigger.
pub const FLAPPING: &str = "healthcheck.flapping_detected";

/// A trigger on [`FLAPPING`] rewritten: a window over changes of health that do not end healthy.
/// `id`, `for` and whatever else it has stay. None for other triggers. The derived id is written
/// out where there was none, or the dwells and counts under it would be abandoned.
pub fn rewritten(trigger: &Map<String, Value>) -> Option<Map<String, Value>> {
    let event = trigger.get("event")?.as_str()?;
    if normal_event(event) != FLAPPING {
        return None;
    }
    let config = trigger.get("config");
    let number = |key: &str, default: u64, most: u64| {
        config
            .and_then(|c| c.get(key))
            .and_then(whole)
            .filter(|n| *n >= 1)
            .unwrap_or(default)
            .min(most)
    };
    let mut out = Map::new();
    let id = trigger.get("id").filter(|id| !id.is_null());
    let derived = || effective_id(FLAPPING).into();
    out.insert("id".into(), id.cloned().unwrap_or_else(derived));
    out.insert("event".into(), "healthcheck.system_health_changed".into());
    out.insert(
        "filter".into(),
        "trigger.payload.newStatus != \"healthy\"".into(),
    );
    if let Some(dwell) = trigger.get("for") {
        out.insert("for".into(), dwell.clone());
    }
    out.insert(
        "window".into(),
        json!({
            "count": number("transitions", 3, 1000),
            "minutes": number("windowMinutes", 60, 1440),
            "refire": "once",
        }),
    );
    for (key, value) in trigger {
        if key != "config" && !out.contains_key(key) {
            out.insert(key.clone(), value.clone());
        }
    }
    Some(out)
}

/// A whole number, also when it is written with a point.
fn whole(value: &Value) -> Option<u64> {
    let as_float = || value.as_f64().filter(|f| f.fract() == 0.0 && *f >= 0.0);
    value.as_u64().or_else(|| as_float().map(|f| f as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewrite(trigger: Value) -> Value {
        let Value::Object(map) = trigger else {
            panic!("a trigger is a mapping");
        };
        rewritten(&map).map_or(Value::Null, Value::Object)
    }

    #[test]
    fn definition_16_counts_are_taken_over_and_bounded() {
        let window = |config: Value| {
            let trigger = json!({"event": FLAPPING, "config": config});
            rewrite(trigger)["window"].clone()
        };
        let of = |count: u32, minutes: u32| json!({"count": count, "minutes": minutes, "refire": "once"});
        assert_eq!(window(json!({"transitions": 5})), of(5, 60));
        assert_eq!(window(json!({"windowMinutes": 15.0})), of(3, 15));
        assert_eq!(
            window(json!({"transitions": 0, "windowMinutes": -1})),
            of(3, 60)
        );
        assert_eq!(
            window(json!({"transitions": 2.5, "windowMinutes": "9"})),
            of(3, 60)
        );
        assert_eq!(
            window(json!({"transitions": 5000, "windowMinutes": 5000})),
            of(1000, 1440)
        );
        assert_eq!(window(Value::Null), of(3, 60));
    }

    #[test]
    fn definition_16_id_and_for_stay_and_other_triggers_are_untouched() {
        let old = json!({
            "event": "healthcheck.flapping.detected", "config": {"transitions": 4},
            "filter": "x", "for": {"minutes": 5}, "window": {"count": 9, "minutes": 9},
            "cooldown": {"hours": 1}, "note": "n",
        });
        assert_eq!(
            rewrite(old).to_string(),
            json!({
                "id": "healthcheck_flapping_detected",
                "event": "healthcheck.system_health_changed",
                "filter": "trigger.payload.newStatus != \"healthy\"",
                "for": {"minutes": 5},
                "window": {"count": 4, "minutes": 60, "refire": "once"},
                "cooldown": {"hours": 1}, "note": "n",
            })
            .to_string()
        );
        assert_eq!(rewrite(json!({"id": "f", "event": FLAPPING}))["id"], "f");
        for other in [
            json!({"event": "healthcheck.system_health_changed"}),
            json!({"event": "x.flapping_detected"}),
            json!({"event": 5}),
            json!({}),
        ] {
            assert_eq!(rewrite(other), Value::Null);
        }
    }
}
