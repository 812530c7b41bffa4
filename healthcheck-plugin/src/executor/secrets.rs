//! Secrets of a run: resolved in memory just before use, masked in whatever the run leaves behind
//! (`healthcheck §3.1.8`).

use super::run::CheckPlan;
use crate::strategies::Known;
use plugin_api::{
    Services,
    masking::MaskSet,
    secrets::{SECRETS, references, substitute},
};
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};

/// Where secrets come from; the platform that keeps them is optional.
#[derive(Clone)]
pub struct SecretSource(Services);

impl SecretSource {
    /// Looks the platform up with the plugin's identity, at each use.
    pub fn new(services: Services) -> Self {
        Self(services)
    }

    /// The plan with its references replaced, and the mask set of the values used. The error names
    /// the secret, never a value.
    pub(super) async fn resolve(
        &self,
        strategy: &Known,
        plan: &CheckPlan,
    ) -> Result<(CheckPlan, Arc<MaskSet>), String> {
        let names = referenced(strategy, plan);
        if names.is_empty() {
            return Ok((plan.clone(), Arc::new(MaskSet::empty())));
        }
        let resolver = self
            .0
            .optional(&SECRETS)
            .map_err(|e| e.to_string())?
            .ok_or_else(|| {
                format!(
                    "secret {} cannot be resolved: no secrets platform is installed",
                    names[0]
                )
            })?;
        let values = resolver
            .resolve(&names, None)
            .await
            .map_err(|e| e.to_string())?;
        let mask = Arc::new(MaskSet::of(values.values()));
        Ok((filled(strategy, plan, &values), mask))
    }
}

/// The names a plan refers to, in the places where references count.
fn referenced(strategy: &Known, plan: &CheckPlan) -> Vec<String> {
    let mut names = Vec::new();
    each_place(strategy, &mut plan.clone(), &mut |text| {
        for name in references(text) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    });
    names
}

fn filled(strategy: &Known, plan: &CheckPlan, values: &BTreeMap<String, String>) -> CheckPlan {
    let mut plan = plan.clone();
    each_place(strategy, &mut plan, &mut |text| {
        *text = substitute(text, values);
    });
    plan
}

/// Calls `f` with every text in which references count: all of the strategy's config, and the
/// published keys of each collector's config.
fn each_place(strategy: &Known, plan: &mut CheckPlan, f: &mut impl FnMut(&mut String)) {
    each_text(&mut plan.config, f);
    for entry in &mut plan.collectors {
        let Some(def) = strategy.collector(&entry.collector_id) else {
            continue;
        };
        for key in def.secret_keys {
            if let Some(value) = entry.config.get_mut(key) {
                each_text(value, f);
            }
        }
    }
}

fn each_text(value: &mut Value, f: &mut impl FnMut(&mut String)) {
    match value {
        Value::String(text) => f(text),
        Value::Array(items) => items.iter_mut().for_each(|v| each_text(v, f)),
        Value::Object(members) => members.values_mut().for_each(|v| each_text(v, f)),
        _ => {}
    }
}
