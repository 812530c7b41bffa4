//! A deleted system disappears from its incidents (`domains §4.9`).

use crate::store::Store;
use automation_entity::EntityChanged;
use plugin_api::queue::JobError;

/// The worker group: one node per deletion. Idempotent: unlinking twice changes nothing.
pub const GROUP: &str = "system-cleanup";

/// Handles a change of a `catalog-system`.
pub async fn on_system_changed(store: &Store, change: &EntityChanged) -> Result<(), JobError> {
    if change.next.is_some() {
        return Ok(());
    }
    for incident in store.of_system(&change.id).await? {
        store.unlink(incident, &change.id).await?;
    }
    Ok(())
}
