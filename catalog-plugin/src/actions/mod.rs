//! The actions of the catalog; one file each.

mod update_metadata;

use crate::store::Store;
use automation_core::registry::{ActionDef, ArtifactTypeDef};

/// Every action.
pub fn all(store: &Store) -> Vec<ActionDef> {
    vec![update_metadata::action(store.clone())]
}

/// Every artifact type.
pub fn artifact_types() -> Vec<ArtifactTypeDef> {
    vec![ArtifactTypeDef::of::<update_metadata::SystemRecord>(
        "system_record",
        "System record",
    )]
}
