//! Save-time validation of a configuration: everything wrong at once, each with the path to its key
//! (`healthcheck §3.1.7`).
//!
//! [`CheckInput::read`] takes a document apart and keeps what it can read next to what it cannot;
//! [`check`] then judges the readable part and answers both. So a misspelt key does not hide that an
//! address is missing.

mod meaning;
mod shape;

pub use meaning::{ValidCheck, check};
pub use shape::{CheckInput, EntryInput};

use serde::Serialize;
use serde_json::Value;

/// Keys and indexes from the root of a document.
type Path = Vec<Value>;

/// A path with one more step.
fn below(path: &[Value], step: impl Into<Value>) -> Path {
    let mut path = path.to_vec();
    path.push(step.into());
    path
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Issue {
    /// Keys and indexes from the root of the configuration.
    pub path: Path,
    /// What to write instead.
    pub message: String,
}

impl Issue {
    fn new(path: Path, message: impl Into<String>) -> Self {
        Self {
            path,
            message: message.into(),
        }
    }
    /// The path as a JSON pointer.
    pub fn pointer(&self) -> String {
        self.path
            .iter()
            .map(|p| match p {
                Value::String(s) => format!("/{}", s.replace('~', "~0").replace('/', "~1")),
                other => format!("/{other}"),
            })
            .collect()
    }
}
