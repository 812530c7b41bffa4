//! The config store as plugins see it (`plugins §8.3`).

use super::{ConfigError, ConfigSchema};
use crate::plugin::PluginId;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::sync::Arc;

/// A config without its secrets.
#[derive(Clone, Debug, PartialEq)]
pub struct Redacted {
    /// The data with every secret field removed, at any depth.
    pub data: Value,
    /// Paths of secret fields that are set.
    pub secrets_set: Vec<String>,
}

/// The untyped store; object-safe. Key = (plugin, config id).
#[async_trait::async_trait]
pub trait ConfigStore: Send + Sync {
    /// Validates, encrypts secret fields (blank or absent keeps the stored one), stores, and emits
    /// `core.config.updated` after commit.
    async fn set(
        &self,
        plugin: &PluginId,
        id: &str,
        schema: &ConfigSchema,
        data: Value,
    ) -> Result<(), ConfigError>;
    /// Migrates, decrypts. Missing: none.
    async fn get(
        &self,
        plugin: &PluginId,
        id: &str,
        schema: &ConfigSchema,
    ) -> Result<Option<Value>, ConfigError>;
    /// As `get`, without secrets.
    async fn get_redacted(
        &self,
        plugin: &PluginId,
        id: &str,
        schema: &ConfigSchema,
    ) -> Result<Option<Redacted>, ConfigError>;
    /// Idempotent.
    async fn delete(&self, plugin: &PluginId, id: &str) -> Result<(), ConfigError>;
    /// Config ids of the plugin, sorted.
    async fn list(&self, plugin: &PluginId) -> Result<Vec<String>, ConfigError>;
}

/// A plugin's own view of the store.
#[derive(Clone)]
pub struct Configs {
    store: Arc<dyn ConfigStore>,
    plugin: PluginId,
}

impl Configs {
    /// The view of one plugin.
    pub fn new(store: Arc<dyn ConfigStore>, plugin: PluginId) -> Self {
        Self { store, plugin }
    }
    /// Stores a config.
    pub async fn set<T: Serialize>(
        &self,
        id: &str,
        schema: &ConfigSchema,
        value: &T,
    ) -> Result<(), ConfigError> {
        let data = serde_json::to_value(value).map_err(|e| ConfigError::Invalid(e.to_string()))?;
        self.store.set(&self.plugin, id, schema, data).await
    }
    /// Reads a config.
    pub async fn get<T: DeserializeOwned>(
        &self,
        id: &str,
        schema: &ConfigSchema,
    ) -> Result<Option<T>, ConfigError> {
        self.store
            .get(&self.plugin, id, schema)
            .await?
            .map(ConfigSchema::decode)
            .transpose()
    }
    /// Reads without secrets.
    pub async fn get_redacted(
        &self,
        id: &str,
        schema: &ConfigSchema,
    ) -> Result<Option<Redacted>, ConfigError> {
        self.store.get_redacted(&self.plugin, id, schema).await
    }
    /// Deletes; idempotent.
    pub async fn delete(&self, id: &str) -> Result<(), ConfigError> {
        self.store.delete(&self.plugin, id).await
    }
    /// Ids, sorted.
    pub async fn list(&self) -> Result<Vec<String>, ConfigError> {
        self.store.list(&self.plugin).await
    }
}
