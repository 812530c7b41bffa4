//! The secret resolver as consumers see it. The platform that implements it is a plugin of its own.

use crate::service::ServiceRef;
use std::collections::BTreeMap;

/// The service plugins ask; absent while no secrets platform is installed.
pub const SECRETS: ServiceRef<dyn SecretResolver> = ServiceRef::new("secrets.resolver");

/// Why secrets could not be resolved. Names appear, values never.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum SecretError {
    /// No such secret.
    #[error("secret {0} does not exist")]
    Missing(String),
    /// The backend failed.
    #[error("the secrets backend cannot be read: {0}")]
    Backend(String),
}

/// Resolves secret names to values; what a run resolves is captured for masking (`secrets §11`).
#[async_trait::async_trait]
pub trait SecretResolver: Send + Sync {
    /// All names or an error naming the first that is missing. `run_id` feeds the run's mask set.
    async fn resolve(
        &self,
        names: &[String],
        run_id: Option<uuid::Uuid>,
    ) -> Result<BTreeMap<String, String>, SecretError>;
}

/// The names referenced by `${{ secrets.NAME }}` in a text, in order, with duplicates removed
/// (`template §14.3`: optional spaces inside the braces, NAME `[A-Za-z0-9_-]+`).
pub fn references(text: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${{") {
        rest = &rest[at + 3..];
        let Some(end) = rest.find("}}") else { break };
        let inner = rest[..end].trim();
        if let Some(name) = inner.strip_prefix("secrets.").filter(|n| is_name(n))
            && !names.iter().any(|n| n == name)
        {
            names.push(name.to_owned());
        }
        rest = &rest[end + 2..];
    }
    names
}

/// Replaces each reference by its value. Unknown names stay as they are.
pub fn substitute(text: &str, values: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${{") {
        let Some(len) = rest[at..].find("}}") else {
            break;
        };
        let whole = &rest[at..at + len + 2];
        let name = whole[3..len]
            .trim()
            .strip_prefix("secrets.")
            .filter(|n| is_name(n));
        out.push_str(&rest[..at]);
        match name.and_then(|n| values.get(n)) {
            Some(v) => out.push_str(v),
            None => out.push_str(whole),
        }
        rest = &rest[at + len + 2..];
    }
    out.push_str(rest);
    out
}

fn is_name(n: &str) -> bool {
    !n.is_empty()
        && n.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}
