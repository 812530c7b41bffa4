//! Two versions of the program on one database, as during a rolling upgrade.
//!
//! What travels between nodes through rows – jobs, events, changes – says with `v` in which form it was
//! written; no `v` is form 1. A node that meets a newer form than it knows neither guesses nor drops
//! it: it says so and leaves the row for a newer node, for [`LEAVE_FOR`] at a time.

use serde_json::Value;
use std::time::Duration;

/// A row that is left for a newer node is looked at again after this.
pub const LEAVE_FOR: Duration = Duration::from_secs(30);

/// A document in a form that this program does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "it was written by a newer version of the program (form {found}, this node knows {known}); it is left for a newer node"
)]
pub struct Newer {
    /// The form it says.
    pub found: String,
    /// The newest form known here.
    pub known: i64,
}

/// Checks the form of a document with fields; anything but an absent `v` or a number up to `known`
/// was written by a newer program.
///
/// # Errors
/// [`Newer`].
pub fn check(document: &Value, known: i64) -> Result<(), Newer> {
    match document.get("v") {
        None => Ok(()),
        Some(v) if v.as_i64().is_some_and(|v| v <= known) => Ok(()),
        Some(v) => Err(Newer {
            found: v.to_string(),
            known,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_is_certainly_known_is_known() {
        for known in [json!({}), json!({"v": 1}), json!([]), json!("v")] {
            assert_eq!(check(&known, 1), Ok(()), "{known}");
        }
        for newer in [
            json!({"v": 2}),
            json!({"v": "1"}),
            json!({"v": null}),
            json!({"v": 1.5}),
        ] {
            assert!(check(&newer, 1).is_err(), "{newer}");
        }
    }
}
