//! YAML 1.2 documents as trees that know where everything stands.
//!
//! Operators write YAML; checks must answer with lines. [`read`] turns a text into a [`Node`] tree
//! of the JSON data model with a [`Span`](crate::Span) at every node and key; [`read_all`] does it
//! for files of several documents; [`Node::from_json`] makes the same tree of a JSON value; [`emit`]
//! writes a value back. Rules (`definition §2`): YAML 1.2 core schema (`yes` and `on` are text),
//! unique text keys, aliases expanded under a budget, no merge keys, no custom tags. Every limit is
//! checked while reading, and nothing here recurses deeper than [`Limits::depth`].
//!
//! ```
//! use automation_core::yaml;
//! let node = yaml::read("on: [1, 2.0, yes]", &yaml::Limits::default()).unwrap();
//! assert_eq!(node.to_json().to_string(), r#"{"on":[1,2.0,"yes"]}"#);
//! ```

mod emit;
mod node;
mod read;
mod scalar;

pub use emit::emit;
pub use node::{Entry, Found, Kind, Node};
pub use read::{Document, read, read_all};

/// How much a text may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of text.
    pub bytes: usize,
    /// Nodes of a document after its aliases are expanded; a long text that an alias repeats counts as
    /// one for each hundred bytes. Documents without aliases are bounded by their size alone.
    pub expanded_nodes: usize,
    /// Nesting of lists and mappings.
    pub depth: usize,
    /// Bytes of one text scalar.
    pub string: usize,
}

impl Default for Limits {
    /// Those of an automation (`definition §2.2`).
    fn default() -> Self {
        Self {
            bytes: 256 * 1024,
            expanded_nodes: 10_000,
            depth: 200,
            string: 64 * 1024,
        }
    }
}
