//! Fields of a PATCH body: absent leaves the value, `null` clears it (`api §1.3`).
//!
//! ```
//! # use plugin_api::http::patch;
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Patch {
//!     #[serde(default, deserialize_with = "patch::given")]
//!     name: Option<String>,
//!     #[serde(default, deserialize_with = "patch::clearable")]
//!     group: Option<Option<String>>,
//! }
//! let read = |text| serde_json::from_str::<Patch>(text);
//! assert_eq!(read(r#"{}"#).unwrap().group, None);
//! assert_eq!(read(r#"{"group": null}"#).unwrap().group, Some(None));
//! assert!(read(r#"{"name": null}"#).is_err(), "a name cannot be cleared");
//! ```

use serde::{Deserialize, Deserializer};

/// For a field that can be cleared: `Some(None)` is `null`.
pub fn clearable<'de, T, D>(d: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::deserialize(d).map(Some)
}

/// For a field that always has a value: `null` is refused.
pub fn given<'de, T, D>(d: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(d).map(Some)
}
