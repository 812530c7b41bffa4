//! Starter automations: finished definitions to begin with (`definition §12`).

use plugin_api::BoxError;
use serde::Deserialize;
use serde_json::Value;

/// A starter automation: data, not code. Choosing one fills an editor and creates nothing. Values an
/// operator must fill in are texts that begin with `REPLACE_`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StarterDef {
    /// Local id, `^[a-z][a-z0-9_-]*$`.
    pub id: String,
    /// 1–120 characters.
    pub name: String,
    /// 1–500 characters.
    pub description: String,
    /// 1–80 characters.
    pub category: String,
    /// Icon name.
    #[serde(default)]
    pub icon: Option<String>,
    /// The definition as its author wrote it. Looked at when every plugin is ready, because it may
    /// name what others register.
    pub definition: Value,
}

impl StarterDef {
    /// From a YAML document with these keys.
    ///
    /// # Errors
    /// When it is no YAML, or has not these keys.
    pub fn from_yaml(text: &str) -> Result<Self, BoxError> {
        let node = crate::yaml::read(text, &crate::yaml::Limits::default())
            .map_err(|issues| issues.render("starter", Some(text), false))?;
        Ok(serde_json::from_value(node.to_json())?)
    }
}
