//! What incidents offer other plugins.

use crate::store::Store;
use async_trait::async_trait;
use plugin_api::{BoxError, ServiceRef};

/// Whether incidents hold notifications back.
pub const SUPPRESSION: ServiceRef<dyn Suppression> = ServiceRef::new("incident.suppression");

/// Asked before notifications about a system go out.
#[async_trait]
pub trait Suppression: Send + Sync {
    /// True when the system has an open incident that was opened with `suppress_notifications`
    /// (`domains §4.8`).
    ///
    /// # Errors
    /// When the database refuses. A caller that cannot know sends: nothing is held back in doubt.
    async fn has_active_incident_with_suppression(&self, system_id: &str)
    -> Result<bool, BoxError>;
}

#[async_trait]
impl Suppression for Store {
    async fn has_active_incident_with_suppression(
        &self,
        system_id: &str,
    ) -> Result<bool, BoxError> {
        Ok(self.has_suppressing(system_id).await?)
    }
}
