//! What the catalog offers other plugins (`catalog-common`): names from a cache, existence from the
//! database.

use crate::store::Store;
use async_trait::async_trait;
use automation_entity::EntityChanged;
use catalog_common::SystemDirectory;
use plugin_api::BoxError;
use std::{
    collections::{HashMap, HashSet},
    sync::{OnceLock, RwLock},
};

/// The directory. The cache is bookkeeping: payloads use it, and survive its gaps.
#[derive(Default)]
pub struct Directory {
    names: RwLock<HashMap<String, String>>,
    store: OnceLock<Store>,
}

impl Directory {
    /// Loads every name; called once in `init`.
    pub async fn load(&self, store: Store) -> Result<(), BoxError> {
        let names = store.names().await?;
        *self.names.write().expect("names") = names
            .into_iter()
            .map(|n| (n.id, n.name.into_string()))
            .collect();
        self.store.set(store).ok();
        Ok(())
    }

    /// Follows a change made on any node.
    pub fn follow(&self, change: &EntityChanged) {
        let mut names = self.names.write().expect("names");
        match change.next.as_ref().and_then(|s| s["name"].as_str()) {
            Some(name) => names.insert(change.id.clone(), name.to_owned()),
            None => names.remove(&change.id),
        };
    }
}

#[async_trait]
impl SystemDirectory for Directory {
    fn name(&self, system_id: &str) -> Option<String> {
        self.names.read().expect("names").get(system_id).cloned()
    }

    async fn exists(&self, ids: &[String]) -> Result<HashSet<String>, BoxError> {
        let store = self
            .store
            .get()
            .ok_or("the catalog is not initialised yet")?;
        Ok(store
            .existing(ids)
            .await?
            .into_iter()
            .map(|s| s.id)
            .collect())
    }
}
