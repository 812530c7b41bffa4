//! A value looked at: the copyable, borrowing form in which the machine holds operands and conversions take them.
//!
//! [`Value`] may own its text and so has to be dropped with care; a `View` never owns. Evaluation works on views and only
//! keeps aside what a filter or `+` creates.

use std::borrow::Cow;

use serde_json::{Map, Value as Json};

use crate::value::{Number, Object, Value};

#[derive(Clone, Copy, Debug)]
pub(crate) enum View<'a> {
    Undefined,
    Null,
    Bool(bool),
    Number(Number),
    String(&'a str),
    Array(&'a [Json]),
    Object(&'a Map<String, Json>),
}

impl<'a> View<'a> {
    #[inline]
    pub fn of(json: &'a Json) -> Self {
        match json {
            Json::String(s) => View::String(s),
            Json::Number(n) => View::Number(Number::of_json(n)),
            Json::Null => View::Null,
            Json::Bool(b) => View::Bool(*b),
            Json::Array(items) => View::Array(items),
            Json::Object(map) => View::Object(map),
        }
    }

    #[inline]
    pub fn float(n: f64) -> Self {
        View::Number(Number::Float(n))
    }

    #[inline]
    pub fn is_undefined(self) -> bool {
        matches!(self, View::Undefined)
    }

    #[inline]
    pub fn is_missing(self) -> bool {
        matches!(self, View::Undefined | View::Null)
    }

    /// The same as a value.
    #[inline]
    pub fn to_value(self) -> Value<'a> {
        match self {
            View::Undefined => Value::Undefined,
            View::Null => Value::Null,
            View::Bool(b) => Value::Bool(b),
            View::Number(n) => Value::Number(n),
            View::String(s) => Value::String(Cow::Borrowed(s)),
            View::Array(items) => Value::Array(Cow::Borrowed(items)),
            View::Object(map) => Value::Object(Object::Borrowed(map)),
        }
    }
}

impl Value<'_> {
    /// Looks at a value.
    #[inline]
    pub(crate) fn view(&self) -> View<'_> {
        match self {
            Value::Undefined => View::Undefined,
            Value::Null => View::Null,
            Value::Bool(b) => View::Bool(*b),
            Value::Number(n) => View::Number(*n),
            Value::String(s) => View::String(s),
            Value::Array(items) => View::Array(items),
            Value::Object(map) => View::Object(map),
        }
    }
}
