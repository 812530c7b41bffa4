//! What an expression evaluates to.
//!
//! Values borrow from the scope and from the program wherever they can: passing a large object through `default`, or
//! comparing two strings, copies nothing. Only what a filter or `+` creates is owned.

use std::borrow::Cow;
use std::ops::Deref;

use serde_json::{Map, Value as Json};

use crate::number;
use crate::view::View;

/// A value of the language (template §2). `Undefined` is what a missing reference yields; it is not `Null`.
#[derive(Clone, Debug, Default)]
pub enum Value<'a> {
    /// Nothing there.
    #[default]
    Undefined,
    /// JSON `null`.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    String(Cow<'a, str>),
    /// A list.
    Array(Cow<'a, [Json]>),
    /// An object; its keys keep their order.
    Object(Object<'a>),
}

/// A number: a double, or a 64-bit integer from the scope that keeps its exact text when passed through or rendered
/// (template §2). Calculations and comparisons use [`Number::as_f64`].
#[derive(Clone, Copy, Debug)]
pub enum Number {
    /// An integer from the scope.
    Int(i64),
    /// An integer from the scope beyond the range of `i64`.
    UInt(u64),
    /// Any other number; every computed one.
    Float(f64),
}

impl Number {
    /// As a double; integers beyond 2^53 are rounded.
    #[inline]
    pub fn as_f64(self) -> f64 {
        match self {
            Number::Int(n) => n as f64,
            Number::UInt(n) => n as f64,
            Number::Float(n) => n,
        }
    }

    #[inline]
    pub(crate) fn of_json(n: &serde_json::Number) -> Self {
        if let Some(n) = n.as_i64() {
            Number::Int(n)
        } else if let Some(n) = n.as_u64() {
            Number::UInt(n)
        } else {
            Number::Float(n.as_f64().unwrap_or(f64::NAN))
        }
    }

    /// As JSON: whole doubles that are exact become integers, so that `3` does not turn into `3.0`.
    fn into_json(self) -> Json {
        match self {
            Number::Int(n) => Json::from(n),
            Number::UInt(n) => Json::from(n),
            Number::Float(n) if number::is_safe_integer(n) => Json::from(n as i64),
            Number::Float(n) => serde_json::Number::from_f64(n).map_or(Json::Null, Json::Number),
        }
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.as_f64() == other.as_f64()
    }
}

/// An object, borrowed from the scope or made by a plugin's filter.
#[derive(Clone, Debug)]
pub enum Object<'a> {
    /// From the scope.
    Borrowed(&'a Map<String, Json>),
    /// From a filter.
    Owned(Box<Map<String, Json>>),
}

impl Deref for Object<'_> {
    type Target = Map<String, Json>;
    fn deref(&self) -> &Self::Target {
        match self {
            Object::Borrowed(map) => map,
            Object::Owned(map) => map,
        }
    }
}

impl<'a> Value<'a> {
    /// The value of a JSON document, borrowed.
    pub fn of(json: &'a Json) -> Self {
        View::of(json).to_value()
    }

    /// Whether this is `Undefined`.
    pub fn is_undefined(&self) -> bool {
        matches!(self, Value::Undefined)
    }

    /// Whether this is `Undefined` or `Null`.
    #[inline]
    pub fn is_missing(&self) -> bool {
        matches!(self, Value::Undefined | Value::Null)
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(s) => Some(s),
            _ => None,
        }
    }

    /// As JSON; `None` for `Undefined`. A non-finite number, which no built-in operation produces, becomes `null`.
    pub fn into_json(self) -> Option<Json> {
        Some(match self {
            Value::Undefined => return None,
            Value::Null => Json::Null,
            Value::Bool(b) => Json::Bool(b),
            Value::Number(n) => n.into_json(),
            Value::String(s) => Json::String(s.into_owned()),
            Value::Array(items) => Json::Array(items.into_owned()),
            Value::Object(Object::Borrowed(map)) => Json::Object(map.clone()),
            Value::Object(Object::Owned(map)) => Json::Object(*map),
        })
    }

    /// The same value, borrowing nothing.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Undefined => Value::Undefined,
            Value::Null => Value::Null,
            Value::Bool(b) => Value::Bool(b),
            Value::Number(n) => Value::Number(n),
            Value::String(s) => Value::String(Cow::Owned(s.into_owned())),
            Value::Array(items) => Value::Array(Cow::Owned(items.into_owned())),
            Value::Object(Object::Borrowed(map)) => {
                Value::Object(Object::Owned(Box::new(map.clone())))
            }
            Value::Object(Object::Owned(map)) => Value::Object(Object::Owned(map)),
        }
    }

    pub(crate) fn float(n: f64) -> Self {
        Value::Number(Number::Float(n))
    }

    pub(crate) fn string(s: impl Into<Cow<'a, str>>) -> Self {
        Value::String(s.into())
    }
}

impl From<Json> for Value<'_> {
    fn from(json: Json) -> Self {
        match json {
            Json::Null => Value::Null,
            Json::Bool(b) => Value::Bool(b),
            Json::Number(n) => Value::Number(Number::of_json(&n)),
            Json::String(s) => Value::String(Cow::Owned(s)),
            Json::Array(items) => Value::Array(Cow::Owned(items)),
            Json::Object(map) => Value::Object(Object::Owned(Box::new(map))),
        }
    }
}

impl<'a> From<&'a Json> for Value<'a> {
    fn from(json: &'a Json) -> Self {
        Value::of(json)
    }
}

impl From<bool> for Value<'_> {
    fn from(b: bool) -> Self {
        Value::Bool(b)
    }
}

impl From<f64> for Value<'_> {
    fn from(n: f64) -> Self {
        Value::float(n)
    }
}

impl From<String> for Value<'_> {
    fn from(s: String) -> Self {
        Value::String(Cow::Owned(s))
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(s: &'a str) -> Self {
        Value::String(Cow::Borrowed(s))
    }
}
