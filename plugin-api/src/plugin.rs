//! What a plugin is (`plugins §1–2`): metadata, and three phases with a context type each, so that a
//! call in the wrong phase does not compile. What `register` builds is owned by what `init` runs on.

use crate::{
    error::BoxError,
    phases::{InitCtx, ReadyCtx, RegisterEnv},
};
use async_trait::async_trait;
use std::{borrow::Cow, fmt};

/// A plugin's id: `^[a-z][a-z0-9-]{0,63}$`. It prefixes access rules, trigger and action ids, worker
/// groups and the database schema, and never changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PluginId(Cow<'static, str>);

impl PluginId {
    /// An id known at compile time.
    pub const fn new(id: &'static str) -> Self {
        Self(Cow::Borrowed(id))
    }
    /// An id from elsewhere.
    pub fn owned(id: impl Into<String>) -> Self {
        Self(Cow::Owned(id.into()))
    }
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// True when the text has the form of a plugin id and is not reserved (`core`).
    pub fn is_valid(&self) -> bool {
        let b = self.0.as_bytes();
        matches!(b.first(), Some(b'a'..=b'z'))
            && b.len() <= 64
            && b.iter()
                .all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && self.as_str() != "core"
    }
    /// The plugin's schema on Postgres: `plugin_<id>` with `-` as `_`.
    pub fn schema(&self) -> String {
        format!("plugin_{}", self.0.replace('-', "_"))
    }
    /// `<id>.<local>`.
    pub fn qualify(&self, local: &str) -> String {
        format!("{}.{local}", self.0)
    }
}
impl fmt::Display for PluginId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a plugin says of itself.
#[derive(Clone, Debug)]
pub struct PluginMetadata {
    /// Its id.
    pub id: PluginId,
    /// For people.
    pub display_name: &'static str,
    /// Usually `env!("CARGO_PKG_VERSION")`.
    pub version: &'static str,
}

/// A plugin before `register`.
pub trait Plugin: Send + 'static {
    /// Its metadata.
    fn metadata(&self) -> PluginMetadata;
    /// Declares everything that others may depend on; touches no database and no network.
    fn register(
        self: Box<Self>,
        env: &mut RegisterEnv<'_>,
    ) -> Result<Box<dyn Registered>, BoxError>;
}

/// A plugin after `register`.
#[async_trait]
pub trait Registered: Send + Sync {
    /// Its own database and declared services are usable; entities may be mutated (changes are held
    /// back until the boot is complete).
    async fn init(&self, ctx: &InitCtx) -> Result<(), BoxError>;
    /// After every plugin's `init`: hooks, consumers, loops.
    async fn after_plugins_ready(&self, ctx: &ReadyCtx) -> Result<(), BoxError> {
        let _ = ctx;
        Ok(())
    }
    /// At shutdown, in reverse `init` order, within 10 s.
    async fn cleanup(&self) -> Result<(), BoxError> {
        Ok(())
    }
}
