//! The rows of `signalbox.core_configs`.

use super::{
    keep::{keep_blank, redact},
    key::ConfigKey,
};
use plugin_api::{
    Clock, Db, Doc, PluginId, Ts, Tx,
    config::{
        ConfigError, ConfigSchema, ConfigStore, Redacted, StoredConfig,
        annotations::{FieldPath, Mark, locate},
    },
    core::{CONFIG_UPDATED, ConfigUpdated},
    db::Sql,
    hook::Hooks,
};
use serde_json::Value;
use std::sync::Arc;

plugin_api::statements! {
    GET = "select version, data, migrated_at, original_version from signalbox.core_configs where plugin_id = $1 and config_id = $2";
    SET = {
        sqlite: "insert into core_configs (plugin_id, config_id, version, data, migrated_at, original_version, updated_at) values ($1, $2, $3, $4, $5, $6, $7)
            on conflict (plugin_id, config_id) do update set version = excluded.version, data = excluded.data, migrated_at = excluded.migrated_at, original_version = excluded.original_version, updated_at = excluded.updated_at",
        postgres: "insert into signalbox.core_configs (plugin_id, config_id, version, data, migrated_at, original_version, updated_at) values ($1, $2, $3, $4, $5, $6, $7)
            on conflict (plugin_id, config_id) do update set version = excluded.version, data = excluded.data, migrated_at = excluded.migrated_at, original_version = excluded.original_version, updated_at = excluded.updated_at",
    };
    DELETE = "delete from signalbox.core_configs where plugin_id = $1 and config_id = $2";
    LIST = "select config_id from signalbox.core_configs where plugin_id = $1 order by config_id";
}

/// The statements of the store, for the test that prepares them.
pub const STATEMENTS: &[(&str, Sql)] = ALL;

plugin_api::row! {
    struct Record {
        version: i64,
        data: Doc,
        migrated_at: Option<Ts>,
        original_version: Option<i64>,
    }
}

impl From<Record> for StoredConfig {
    fn from(r: Record) -> Self {
        Self {
            version: r.version as u32,
            data: r.data.0,
            migrated_at: r.migrated_at,
            original_version: r.original_version.map(|v| v as u32),
        }
    }
}

/// The config store on the framework's database.
pub(crate) struct SqlConfigStore {
    pub db: Db,
    pub clock: Arc<dyn Clock>,
    pub key: Option<ConfigKey>,
    pub hooks: Hooks,
}

/// What binds a ciphertext to its row.
fn row(plugin: &PluginId, id: &str) -> String {
    format!("{plugin}/{id}")
}

impl SqlConfigStore {
    fn key(&self, path: &dyn std::fmt::Display) -> Result<&ConfigKey, ConfigError> {
        self.key.as_ref().ok_or_else(|| ConfigError::Secret {
            path: path.to_string(),
            reason: format!("there is no key: set {}", super::key::VARIABLE),
        })
    }

    /// Encrypts or decrypts every non-blank secret in place.
    fn convert(
        &self,
        schema: &Value,
        data: &mut Value,
        f: impl Fn(&ConfigKey, &str) -> Result<String, String>,
    ) -> Result<(), ConfigError> {
        for field in locate(schema, data) {
            if field.mark == Mark::Secret {
                self.convert_at(&field.path, data, &f)?;
            }
        }
        Ok(())
    }

    fn convert_at(
        &self,
        path: &FieldPath,
        data: &mut Value,
        f: impl Fn(&ConfigKey, &str) -> Result<String, String>,
    ) -> Result<(), ConfigError> {
        let failed = |reason| ConfigError::Secret {
            path: path.to_string(),
            reason,
        };
        match path.get_mut(data) {
            Some(Value::String(text)) if !text.is_empty() => {
                *text = f(self.key(path)?, text).map_err(failed)?;
                Ok(())
            }
            Some(Value::Null | Value::String(_)) | None => Ok(()),
            // Only a string can be encrypted; anything else would be stored in the clear.
            Some(_) => Err(failed("only a string can be a secret".into())),
        }
    }

    /// Fills the blank secrets of a write from the stored record. No other secret of that is
    /// decrypted, so that a write can enter anew what was lost with its key.
    fn keep(
        &self,
        row: &str,
        schema: &Value,
        stored: &Value,
        data: &mut Value,
    ) -> Result<(), ConfigError> {
        for path in keep_blank(schema, stored, data) {
            let decrypt = |key: &ConfigKey, text: &str| {
                let plain = key.decrypt(row, text);
                plain.map_err(|why| {
                    format!("it was left blank, but the stored one cannot be kept ({why}): enter it again")
                })
            };
            self.convert_at(&path, data, decrypt)?;
        }
        Ok(())
    }

    /// A stored record in the current version, secrets still encrypted.
    fn current(&self, schema: &ConfigSchema, record: Record) -> Result<StoredConfig, ConfigError> {
        schema.parse_record(record.into(), self.clock.now())
    }

    fn decrypted(
        &self,
        plugin: &PluginId,
        id: &str,
        schema: &ConfigSchema,
        mut data: Value,
    ) -> Result<Value, ConfigError> {
        let row = row(plugin, id);
        self.convert(&schema.schema, &mut data, |k, t| k.decrypt(&row, t))?;
        Ok(data)
    }

    async fn set_in(
        &self,
        tx: &mut Tx,
        plugin: &PluginId,
        id: &str,
        schema: &ConfigSchema,
        mut data: Value,
    ) -> Result<(), ConfigError> {
        let row = row(plugin, id);
        tx.lock(&format!("core.config:{row}")).await?;
        let stored: Option<Record> = tx
            .sql(GET)
            .bind(plugin.as_str().to_owned())
            .bind(id.to_owned())
            .optional()
            .await?;
        let stored = stored.map(|r| self.current(schema, r)).transpose()?;
        let (mut migrated_at, mut original_version) = (None, None);
        if let Some(stored) = stored {
            (migrated_at, original_version) = (stored.migrated_at, stored.original_version);
            self.keep(&row, &schema.schema, &stored.data, &mut data)?;
        }
        validate(schema, &data)?;
        self.convert(&schema.schema, &mut data, |k, t| k.encrypt(&row, t))?;
        tx.sql(SET)
            .bind(plugin.as_str().to_owned())
            .bind(id.to_owned())
            .bind(i64::from(schema.version))
            .bind(Doc(data))
            .bind(migrated_at)
            .bind(original_version.map(i64::from))
            .bind(self.clock.now())
            .execute()
            .await?;
        let event = ConfigUpdated {
            plugin_id: plugin.as_str().to_owned(),
            key: id.to_owned(),
        };
        // Stored in this transaction: subscribers hear of it if and only if it commits.
        self.hooks
            .emit_in(tx, &CONFIG_UPDATED, &event)
            .await
            .map_err(|e| ConfigError::Announce(Box::new(e)))
    }

    async fn read(
        &self,
        plugin: &PluginId,
        id: &str,
        schema: &ConfigSchema,
    ) -> Result<Option<StoredConfig>, ConfigError> {
        let record: Option<Record> = self
            .db
            .sql(GET)
            .bind(plugin.as_str().to_owned())
            .bind(id.to_owned())
            .optional()
            .await?;
        record.map(|r| self.current(schema, r)).transpose()
    }
}

/// Checks data against the schema; a message names places and expectations, never values.
fn validate(schema: &ConfigSchema, data: &Value) -> Result<(), ConfigError> {
    let validator = jsonschema::validator_for(&schema.schema)
        .map_err(|e| ConfigError::Invalid(format!("its schema is broken: {e}")))?;
    let mut wrong: Vec<String> = validator
        .iter_errors(data)
        .map(|e| {
            let at = e.instance_path().to_string();
            let at = if at.is_empty() { "(root)".into() } else { at };
            format!("{at}: {}", e.masked())
        })
        .collect();
    if wrong.is_empty() {
        return Ok(());
    }
    wrong.truncate(5);
    Err(ConfigError::Invalid(wrong.join("; ")))
}

#[async_trait::async_trait]
impl ConfigStore for SqlConfigStore {
    async fn set(
        &self,
        plugin: &PluginId,
        id: &str,
        schema: &ConfigSchema,
        data: Value,
    ) -> Result<(), ConfigError> {
        schema.check()?;
        let mut tx = self.db.begin().await?;
        match self.set_in(&mut tx, plugin, id, schema, data).await {
            Ok(()) => Ok(tx.commit().await?),
            Err(e) => {
                tx.rollback().await.ok();
                Err(e)
            }
        }
    }

    async fn get(
        &self,
        plugin: &PluginId,
        id: &str,
        schema: &ConfigSchema,
    ) -> Result<Option<Value>, ConfigError> {
        let Some(record) = self.read(plugin, id, schema).await? else {
            return Ok(None);
        };
        let data = self.decrypted(plugin, id, schema, record.data)?;
        validate(schema, &data)?;
        Ok(Some(data))
    }

    async fn get_redacted(
        &self,
        plugin: &PluginId,
        id: &str,
        schema: &ConfigSchema,
    ) -> Result<Option<Redacted>, ConfigError> {
        let Some(mut record) = self.read(plugin, id, schema).await? else {
            return Ok(None);
        };
        let secrets_set = redact(&schema.schema, &mut record.data);
        Ok(Some(Redacted {
            data: record.data,
            secrets_set,
        }))
    }

    async fn delete(&self, plugin: &PluginId, id: &str) -> Result<(), ConfigError> {
        self.db
            .sql(DELETE)
            .bind(plugin.as_str().to_owned())
            .bind(id.to_owned())
            .execute()
            .await?;
        Ok(())
    }

    async fn list(&self, plugin: &PluginId) -> Result<Vec<String>, ConfigError> {
        Ok(self
            .db
            .sql(LIST)
            .bind(plugin.as_str().to_owned())
            .all()
            .await?)
    }
}
