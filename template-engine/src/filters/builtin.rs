//! The seventeen built-in filters: their names, their descriptions, and which function each is.

use super::registry::FilterInfo;
use super::{text, time};
use crate::compare::{to_number, truthy};
use crate::json;
use crate::limits::{OutputLimits, Overflow};
use crate::value::Value;

/// A built-in filter. No built-in filter fails; only the limits on its result can stop it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Builtin {
    Capitalize,
    Date,
    Default,
    DurationSince,
    Hours,
    Iso,
    Join,
    Json,
    Length,
    Lower,
    Minutes,
    Not,
    OlderThan,
    Replace,
    Trim,
    Truncate,
    Upper,
}

/// What editors show of a built-in filter.
pub(crate) struct BuiltinInfo {
    pub name: &'static str,
    signature: &'static str,
    description: &'static str,
}

impl BuiltinInfo {
    pub fn describe(&self) -> FilterInfo {
        FilterInfo {
            name: self.name.to_owned(),
            plugin: None,
            signature: Some(self.signature.to_owned()),
            description: Some(self.description.to_owned()),
        }
    }
}

const fn info(
    name: &'static str,
    signature: &'static str,
    description: &'static str,
) -> BuiltinInfo {
    BuiltinInfo {
        name,
        signature,
        description,
    }
}

/// All built-in filters, sorted by name.
pub(crate) const BUILTINS: [BuiltinInfo; 17] = [
    info(
        "capitalize",
        "capitalize",
        "The first character in upper case, the rest unchanged.",
    ),
    info(
        "date",
        "date(format)",
        "An instant as 'ISO', 'date', 'time', 'unix' or 'rfc2822', in UTC.",
    ),
    info(
        "default",
        "default(fallback)",
        "The fallback when the value is missing, null or empty text.",
    ),
    info(
        "duration_since",
        "duration_since",
        "Milliseconds from an instant until now, at least 0.",
    ),
    info("hours", "hours", "A number of hours in milliseconds."),
    info("iso", "iso", "An instant as ISO text in UTC."),
    info(
        "join",
        "join(separator)",
        "The elements of a list as one text; the separator is ', ' by default.",
    ),
    info("json", "json", "The value as compact JSON text."),
    info(
        "length",
        "length",
        "The length of a text, a list or an object; else 0.",
    ),
    info("lower", "lower", "Text in lower case."),
    info("minutes", "minutes", "A number of minutes in milliseconds."),
    info(
        "not",
        "not",
        "Whether the value is false, missing, zero or empty.",
    ),
    info(
        "older_than",
        "older_than(milliseconds)",
        "Whether an instant is at least that long ago.",
    ),
    info(
        "replace",
        "replace(search, replacement)",
        "Text with every occurrence replaced.",
    ),
    info("trim", "trim", "Text without surrounding whitespace."),
    info(
        "truncate",
        "truncate(length)",
        "Text cut to a length, with … behind it when cut.",
    ),
    info("upper", "upper", "Text in upper case."),
];

impl Builtin {
    /// The built-in filter of a name.
    #[inline]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "capitalize" => Builtin::Capitalize,
            "date" => Builtin::Date,
            "default" => Builtin::Default,
            "duration_since" => Builtin::DurationSince,
            "hours" => Builtin::Hours,
            "iso" => Builtin::Iso,
            "join" => Builtin::Join,
            "json" => Builtin::Json,
            "length" => Builtin::Length,
            "lower" => Builtin::Lower,
            "minutes" => Builtin::Minutes,
            "not" => Builtin::Not,
            "older_than" => Builtin::OlderThan,
            "replace" => Builtin::Replace,
            "trim" => Builtin::Trim,
            "truncate" => Builtin::Truncate,
            "upper" => Builtin::Upper,
            _ => return None,
        })
    }

    /// The name it is called by.
    pub fn name(self) -> &'static str {
        BUILTINS[self as usize].name
    }

    /// Whether it looks at the whole of a value, not only at its kind or its size.
    #[inline]
    pub fn reads_all(self, value: &Value<'_>) -> bool {
        match self {
            Builtin::Default | Builtin::Not => false,
            Builtin::Length => matches!(value, Value::String(_)),
            _ => true,
        }
    }

    /// Applies the filter (template §8). Missing arguments are Undefined.
    pub fn call<'v>(
        self,
        value: Value<'v>,
        [first, second]: [Value<'v>; 2],
        now: jiff::Timestamp,
        limits: OutputLimits,
    ) -> Result<Value<'v>, Overflow> {
        Ok(match self {
            Builtin::Default => match &value {
                Value::Undefined | Value::Null => first,
                Value::String(s) if s.is_empty() => first,
                _ => value,
            },
            Builtin::Not => Value::Bool(!truthy(&value)),
            Builtin::Length => Value::float(text::length(&value)),
            Builtin::Json => {
                if value.is_undefined() {
                    return Ok(value);
                }
                let mut out = String::new();
                json::write_value(&mut out, value.view(), limits)?;
                Value::from(out)
            }
            Builtin::Join => text::join(value, &first, limits)?,
            Builtin::Replace => text::replace(value, &first, &second, limits)?,
            Builtin::Upper => text::produced(text::upper(value), limits)?,
            Builtin::Lower => text::produced(text::lower(value), limits)?,
            Builtin::Capitalize => text::produced(text::capitalize(value), limits)?,
            Builtin::Trim => text::trim(value),
            Builtin::Truncate => text::produced(text::truncate(value, to_number(&first)), limits)?,
            Builtin::Iso => time::iso(value),
            Builtin::Date => time::date(value, &first),
            Builtin::Minutes => time::milliseconds(&value, 60_000.0),
            Builtin::Hours => time::milliseconds(&value, 3_600_000.0),
            Builtin::DurationSince => Value::float(time::duration_since(&value, now)),
            Builtin::OlderThan => Value::Bool(time::older_than(&value, &first, now)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_to_its_filter_and_back() {
        for info in &BUILTINS {
            assert_eq!(
                Builtin::named(info.name).map(Builtin::name),
                Some(info.name)
            );
        }
        assert!(BUILTINS.is_sorted_by_key(|b| b.name));
    }
}
