//! What the catalog offers other plugins: looking systems up by id. No logic.

use async_trait::async_trait;
use plugin_api::{BoxError, ServiceRef};
use std::collections::HashSet;

/// The catalog's directory of systems.
pub const SYSTEMS: ServiceRef<dyn SystemDirectory> = ServiceRef::new("catalog.systems");

/// Looks systems up.
#[async_trait]
pub trait SystemDirectory: Send + Sync {
    /// The display name of a system, from a cache that follows changes of every node; none when the
    /// system is unknown or not yet seen here. For payloads, which must survive its absence.
    fn name(&self, system_id: &str) -> Option<String>;
    /// Those of the ids that exist now, read from the database.
    async fn exists(&self, ids: &[String]) -> Result<HashSet<String>, BoxError>;
}
