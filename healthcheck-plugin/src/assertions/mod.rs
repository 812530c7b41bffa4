//! Assertions: what an operator expects of a collector's result (`healthcheck §4`).
//!
//! [`FieldKind`] says which operators a result field knows, [`check`] refuses senseless assertions
//! when a check is saved, [`decide`] evaluates them against a result.

mod check;
pub mod decide;

pub use check::check;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One assertion of a collector entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Assertion {
    /// Field of the collector's result.
    pub field: String,
    /// RFC 9535 path into the field's text, which is then read as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json_path: Option<String>,
    /// One of `OPERATORS`. Kept as text: an unknown operator in a stored check fails the
    /// assertion instead of making the check unreadable.
    pub operator: String,
    /// What to compare with; operators that take none ignore it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
}

/// What a result field holds, which decides the operators it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// A number.
    Number,
    /// Milliseconds.
    Duration,
    /// Text.
    String,
    /// True or false.
    Boolean,
    /// A list.
    Array,
    /// One of a few texts.
    Enum,
    /// Text that can be looked into with a JSON path.
    JsonText,
}

/// A field of a collector's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name in the result.
    pub name: &'static str,
    /// What it holds.
    pub kind: FieldKind,
    /// Removed before the result is stored, after assertions ran (`healthcheck §5.2.3`).
    pub ephemeral: bool,
}

impl Field {
    /// A stored field.
    pub const fn new(name: &'static str, kind: FieldKind) -> Self {
        Self {
            name,
            kind,
            ephemeral: false,
        }
    }
    /// Removed before storage.
    pub const fn ephemeral(mut self) -> Self {
        self.ephemeral = true;
        self
    }
}

const NUMBER: &[&str] = &[
    "equals",
    "notEquals",
    "lessThan",
    "lessThanOrEqual",
    "greaterThan",
    "greaterThanOrEqual",
];
const STRING: &[&str] = &[
    "equals",
    "notEquals",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "isEmpty",
];
const BOOLEAN: &[&str] = &["isTrue", "isFalse"];
const ARRAY: &[&str] = &[
    "includes",
    "notIncludes",
    "lengthEquals",
    "lengthGreaterThan",
    "lengthLessThan",
    "isEmpty",
    "isNotEmpty",
    "exists",
    "notExists",
];
const ENUM: &[&str] = &["equals"];
const JSON_PATH: &[&str] = &[
    "equals",
    "notEquals",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "exists",
    "notExists",
    "lessThan",
    "lessThanOrEqual",
    "greaterThan",
    "greaterThanOrEqual",
];

/// The operators of a field, with or without a JSON path.
pub fn operators(kind: FieldKind, json_path: bool) -> &'static [&'static str] {
    match kind {
        FieldKind::JsonText if json_path => JSON_PATH,
        FieldKind::Number | FieldKind::Duration => NUMBER,
        FieldKind::String | FieldKind::JsonText => STRING,
        FieldKind::Boolean => BOOLEAN,
        FieldKind::Array => ARRAY,
        FieldKind::Enum => ENUM,
    }
}

/// Operators that take no value.
pub const WITHOUT_VALUE: &[&str] = &[
    "isEmpty",
    "isNotEmpty",
    "exists",
    "notExists",
    "isTrue",
    "isFalse",
];
