//! Versions, migrations, and stored records.

use crate::{error::BoxError, values::Ts};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::sync::Arc;

/// One step of a chain; `migrate` must be idempotent on data that is already current.
#[derive(Clone)]
pub struct ConfigMigration {
    /// The version it starts from; it leads to `from + 1`.
    pub from: u32,
    /// For logs.
    pub description: &'static str,
    /// The step.
    pub migrate: Arc<dyn Fn(Value) -> Result<Value, BoxError> + Send + Sync>,
}

/// A config type: current version, schema, migrations.
#[derive(Clone)]
pub struct ConfigSchema {
    /// Current version, ≥ 1.
    pub version: u32,
    /// JSON Schema of the current version with the annotations of `plugins §8.1`.
    pub schema: Arc<Value>,
    /// Steps ordered by `from`.
    pub migrations: Vec<ConfigMigration>,
}

/// What can be wrong with a stored config or its chain.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The chain misses a step.
    #[error("migration chain has a gap: expected a step from version {expected}, found {found}")]
    Gap {
        /// The version a step should start from.
        expected: u32,
        /// What came instead.
        found: String,
    },
    /// The chain ends before the current version.
    #[error("migration chain ends at version {end}, but the current version is {current}")]
    Short {
        /// Where it ends.
        end: u32,
        /// Where it should.
        current: u32,
    },
    /// Written by a newer program.
    #[error("the record has version {found}, newer than {current}")]
    Newer {
        /// Version of the record.
        found: u32,
        /// Version known here.
        current: u32,
    },
    /// A step failed.
    #[error("migration from version {from} ({description}) failed: {source}")]
    Step {
        /// Version it started from.
        from: u32,
        /// Its description.
        description: &'static str,
        /// The cause.
        source: BoxError,
    },
    /// The data does not fit the type.
    #[error("the config is not valid: {0}")]
    Invalid(String),
    /// A secret could not be decrypted, or there is no key.
    #[error("secret field {path}: {reason}")]
    Secret {
        /// Path of the field.
        path: String,
        /// Why.
        reason: String,
    },
    /// The schema's annotations are wrong.
    #[error("schema annotation at {path}: {reason}")]
    Annotation {
        /// Path of the property.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// `core.config.updated` could not be stored, so nothing was.
    #[error("the change could not be announced: {0}")]
    Announce(BoxError),
    /// The database refused.
    #[error(transparent)]
    Db(#[from] crate::db::DbError),
}

/// A stored record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredConfig {
    /// Version of `data`.
    pub version: u32,
    /// The config.
    pub data: Value,
    /// When it was last migrated.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "crate::values::rfc3339::option"
    )]
    pub migrated_at: Option<Ts>,
    /// The version it was first written with, if migrated since; the first one wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_version: Option<u32>,
}

impl ConfigSchema {
    /// Version 1 of a type.
    pub fn of<T: JsonSchema>() -> Self {
        Self {
            version: 1,
            schema: Arc::new(schemars::schema_for!(T).to_value()),
            migrations: Vec::new(),
        }
    }

    /// Raises the version by one with the step that leads there.
    pub fn migrated(
        mut self,
        description: &'static str,
        step: impl Fn(Value) -> Result<Value, BoxError> + Send + Sync + 'static,
    ) -> Self {
        self.migrations.push(ConfigMigration {
            from: self.version,
            description,
            migrate: Arc::new(step),
        });
        self.version += 1;
        self
    }

    /// Checks that the chain leads from 1 to the current version. Called at registration, so that a
    /// broken chain fails the boot, not a run.
    pub fn check_chain(&self) -> Result<(), ConfigError> {
        let mut at = 1;
        for m in &self.migrations {
            if m.from != at {
                return Err(ConfigError::Gap {
                    expected: at,
                    found: m.from.to_string(),
                });
            }
            at += 1;
        }
        if at != self.version {
            return Err(ConfigError::Short {
                end: at,
                current: self.version,
            });
        }
        Ok(())
    }

    /// Checks the chain and the schema's annotations (`plugins §8.1.1`). Registries call it, so that a
    /// mistake fails the boot.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_chain()?;
        super::annotations::check(&self.schema)
    }

    /// Runs the steps from `version` to the current one. A broken chain is an error here too: not every
    /// schema is registered anywhere, and a step left out unseen would spoil the data.
    pub fn migrate(&self, version: u32, mut data: Value) -> Result<Value, ConfigError> {
        self.check_chain()?;
        if version > self.version {
            return Err(ConfigError::Newer {
                found: version,
                current: self.version,
            });
        }
        for m in self.migrations.iter().filter(|m| m.from >= version) {
            data = (m.migrate)(data).map_err(|source| ConfigError::Step {
                from: m.from,
                description: m.description,
                source,
            })?;
        }
        Ok(data)
    }

    /// For values stored without a version (action and trigger configs): taken as version 1.
    pub fn migrate_assuming_v1(&self, data: Value) -> Result<Value, ConfigError> {
        self.migrate(1, data)
    }

    /// Migrates a record to the current version; `original_version` is kept from the first time.
    pub fn parse_record(&self, record: StoredConfig, now: Ts) -> Result<StoredConfig, ConfigError> {
        if record.version == self.version {
            return Ok(record);
        }
        let original = record.original_version.unwrap_or(record.version);
        Ok(StoredConfig {
            version: self.version,
            data: self.migrate(record.version, record.data)?,
            migrated_at: Some(now),
            original_version: Some(original),
        })
    }

    /// True when a record is older than the current version.
    pub fn needs_migration(&self, record: &StoredConfig) -> bool {
        record.version < self.version
    }

    /// Decodes data of the current version. Unknown keys follow the type's own serde attributes.
    pub fn decode<T: DeserializeOwned>(data: Value) -> Result<T, ConfigError> {
        serde_json::from_value(data).map_err(|e| ConfigError::Invalid(e.to_string()))
    }
}
