//! What the registries derive from registrations: compiled config checks and the filter registry
//! expressions are evaluated with.

use super::{ActionDef, FilterDef, Registered, Registries, TriggerDef};
use crate::schema::ConfigCheck;
use plugin_api::{PluginId, config::ConfigSchema};
use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use template_engine::{Contribution, FilterEnv, FilterFailure, Filters, Value};

/// `trigger` or `action`, and the qualified id.
type Key = (&'static str, String);

/// Compiled checks; schemas never change once registered.
#[derive(Default)]
pub(super) struct Checks(RwLock<HashMap<Key, Option<Arc<ConfigCheck>>>>);

impl Checks {
    fn get(&self, what: &'static str, id: &str, config: &ConfigSchema) -> Option<Arc<ConfigCheck>> {
        let key = (what, id.to_owned());
        if let Some(known) = self.0.read().expect("checks").get(&key) {
            return known.clone();
        }
        let check = match ConfigCheck::new(config.schema.clone()) {
            Ok(check) => Some(Arc::new(check)),
            Err(error) => {
                tracing::error!(
                    what,
                    id,
                    error,
                    "a config schema is not valid; configs are not checked against it"
                );
                None
            }
        };
        self.0.write().expect("checks").insert(key, check.clone());
        check
    }
}

impl Registries {
    /// The check of an action's config, compiled once; none when its schema is not valid (logged).
    pub fn config_check(&self, action: &Registered<ActionDef>) -> Option<Arc<ConfigCheck>> {
        self.checks.get("action", &action.id, &action.config)
    }

    /// The check of a trigger's config; none when it takes no config.
    pub fn trigger_check(&self, trigger: &Registered<TriggerDef>) -> Option<Arc<ConfigCheck>> {
        let config = trigger.config.as_ref()?;
        self.checks.get("trigger", &trigger.id, config)
    }

    /// The filters of every expression in the process: built-in ones and those plugins registered.
    pub fn filters(&self) -> &Arc<Filters> {
        &self.engine_filters
    }
}

/// Hands a plugin's filter to the template engine; a refused one is logged, never overwritten
/// (`template §9.3`).
pub(super) fn contribute(filters: &Filters, owner: &PluginId, def: &FilterDef) {
    let code = def.filter.clone();
    let call = move |value: &Value<'_>, args: &[Value<'_>], _: &FilterEnv| {
        let value = value.clone().into_json();
        let args: Vec<_> = args.iter().map(|a| a.clone().into_json()).collect();
        match code(value.as_ref(), &args) {
            Ok(Some(json)) => Ok(Value::from(json)),
            Ok(None) => Ok(Value::Undefined),
            Err(why) => Err(FilterFailure(why)),
        }
    };
    let contribution = Contribution {
        plugin: owner.to_string(),
        name: def.name.clone(),
        signature: def.signature.clone(),
        description: def.description.clone(),
        filter: Arc::new(call),
    };
    if let Err(refused) = filters.register(contribution) {
        tracing::warn!("{refused}");
    }
}
