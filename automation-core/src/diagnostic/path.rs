//! Paths into a document.

use std::fmt;

/// Keys and indexes from the document root.
pub type Path = Vec<PathSegment>;

/// One step of a [`Path`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathSegment {
    /// A mapping key.
    Key(String),
    /// A zero-based list index.
    Index(usize),
}

impl PathSegment {
    /// A JSON text or number.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            PathSegment::Key(k) => k.as_str().into(),
            PathSegment::Index(i) => (*i).into(),
        }
    }
}
impl From<&str> for PathSegment {
    fn from(k: &str) -> Self {
        PathSegment::Key(k.into())
    }
}
impl From<String> for PathSegment {
    fn from(k: String) -> Self {
        PathSegment::Key(k)
    }
}
impl From<usize> for PathSegment {
    fn from(i: usize) -> Self {
        PathSegment::Index(i)
    }
}
impl fmt::Display for PathSegment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathSegment::Key(k) => f.write_str(k),
            PathSegment::Index(i) => i.fmt(f),
        }
    }
}

/// `actions.0.choose.1.sequence.0.config.level`; the root is `(root)`.
pub fn path_text(path: &[PathSegment]) -> String {
    if path.is_empty() {
        return "(root)".into();
    }
    let mut out = String::new();
    for (i, s) in path.iter().enumerate() {
        if i > 0 {
            out.push('.');
        }
        out.push_str(&s.to_string());
    }
    out
}
