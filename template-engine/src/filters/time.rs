//! Filters over instants and durations. "Now" is the clock handed in with the evaluation, never the system's.

use jiff::Timestamp;

use crate::compare::to_number;
use crate::instant::{Calendar, calendar_ms, epoch_ms};
use crate::value::Value;

/// ISO text of an instant; other values pass.
pub(super) fn iso(value: Value<'_>) -> Value<'_> {
    match calendar_ms(&value) {
        Some(ms) => Value::string(Calendar::of(ms).iso()),
        None => value,
    }
}

/// An instant in one of the named formats; an unknown format is ISO text, a value that is no instant passes.
pub(super) fn date<'v>(value: Value<'v>, format: &Value<'v>) -> Value<'v> {
    let Some(ms) = calendar_ms(&value) else {
        return value;
    };
    let calendar = Calendar::of(ms);
    Value::string(match format.as_str() {
        Some("date") => calendar.date(),
        Some("time") => calendar.time(),
        Some("rfc2822") => calendar.rfc2822(),
        Some("unix") => return Value::float(ms.div_euclid(1000) as f64),
        _ => calendar.iso(),
    })
}

/// A number times a unit in milliseconds; not a number counts as 0, overflow saturates (Q9).
pub(super) fn milliseconds(value: &Value<'_>, unit: f64) -> Value<'static> {
    let n = to_number(value);
    let ms = if n.is_finite() { n * unit } else { 0.0 };
    Value::float(ms.clamp(-f64::MAX, f64::MAX))
}

fn now_ms(now: Timestamp) -> f64 {
    now.as_millisecond() as f64
}

/// Milliseconds since an instant, at least 0; not an instant counts as 0.
pub(super) fn duration_since(value: &Value<'_>, now: Timestamp) -> f64 {
    let elapsed = epoch_ms(value).map_or(0.0, |then| now_ms(now) - then);
    elapsed.clamp(0.0, f64::MAX)
}

/// Whether an instant lies at least `threshold` milliseconds back, exactly at it included.
pub(super) fn older_than(value: &Value<'_>, threshold: &Value<'_>, now: Timestamp) -> bool {
    let threshold = Some(to_number(threshold))
        .filter(|t| t.is_finite())
        .unwrap_or(0.0);
    epoch_ms(value).is_some_and(|then| now_ms(now) - then >= threshold)
}
