//! Expression filters contributed by plugins (`template §9.2`).

use serde_json::Value;
use std::sync::Arc;

/// A pure, synchronous, total filter: value and arguments in, value or error out. `None` is the
/// undefined value.
pub type FilterFn =
    Arc<dyn Fn(Option<&Value>, &[Option<Value>]) -> Result<Option<Value>, String> + Send + Sync>;

/// A filter registration. A name that exists is skipped with a warning, never overwritten.
#[derive(Clone)]
pub struct FilterDef {
    /// An identifier that is no keyword.
    pub name: String,
    /// For the editor, such as `shorten(max)`.
    pub signature: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// The code.
    pub filter: FilterFn,
}
