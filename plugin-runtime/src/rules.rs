//! The access-rule registry (`plugins §9`).

use plugin_api::{AccessRule, PluginId};
use std::sync::RwLock;

/// Why a rule was refused.
#[derive(Debug, thiserror::Error)]
pub enum AccessRuleError {
    /// Not `<plugin>.<read|manage>` or `<plugin>.<resource>.<read|manage>`.
    #[error(
        "access rule `{id}` of plugin {plugin} is malformed: write `{plugin}.read`, `{plugin}.manage`, or `{plugin}.<resource>.read|manage`"
    )]
    Malformed {
        /// The rule.
        id: &'static str,
        /// Who declares it.
        plugin: PluginId,
    },
    /// It begins with another plugin's id.
    #[error("access rule `{id}` does not belong to plugin {plugin}, which declares it")]
    Foreign {
        /// The rule.
        id: &'static str,
        /// Who declares it.
        plugin: PluginId,
    },
    /// It exists.
    #[error("access rule `{id}` is declared twice; the second time by plugin {plugin}")]
    Duplicate {
        /// The rule.
        id: &'static str,
        /// Who declares it.
        plugin: PluginId,
    },
}

/// All rules of one host, in the order of registration.
#[derive(Default)]
pub(crate) struct AccessRules(RwLock<Vec<(PluginId, AccessRule)>>);

impl AccessRules {
    pub fn register(&self, by: &PluginId, rules: &[AccessRule]) -> Result<(), AccessRuleError> {
        let mut all = self.0.write().expect("rules");
        for rule in rules {
            let (id, plugin) = (rule.id, by.clone());
            let mut parts = id.split('.');
            if parts.next() != Some(by.as_str()) {
                return Err(AccessRuleError::Foreign { id, plugin });
            }
            let rest: Vec<&str> = parts.collect();
            let formed = match rest.as_slice() {
                [level] => is_level(level),
                [resource, level] => is_word(resource) && is_level(level),
                _ => false,
            };
            if !formed {
                return Err(AccessRuleError::Malformed { id, plugin });
            }
            if all.iter().any(|(_, r)| r.id == id) {
                return Err(AccessRuleError::Duplicate { id, plugin });
            }
            all.push((plugin, *rule));
        }
        Ok(())
    }

    pub fn all(&self) -> Vec<(PluginId, AccessRule)> {
        self.0.read().expect("rules").clone()
    }

    pub fn knows(&self, id: &str) -> bool {
        let all = self.0.read().expect("rules");
        all.iter().any(|(_, r)| r.id == id)
    }
}

fn is_level(text: &str) -> bool {
    matches!(text, "read" | "manage")
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}
