//! Starter automations, judged against what is there (`definition §12`).
//!
//! A starter that names a trigger or action of an absent plugin is withheld with a warning: install
//! the plugin and it appears. One whose every name is registered and which is wrong nevertheless has
//! drifted from the program; it is withheld with an error. Neither stops a boot.

mod core;

pub use self::core::core;

use crate::definition::Definition;
use crate::diagnostic::{Diagnostic, Diagnostics, Severity, path_text};
use crate::registry::{Registered, Registries, StarterDef};
use crate::validate::Validation;
use crate::yaml;
use serde::Serialize;
use serde_json::Value;
use std::collections::HashSet;

/// A starter that can be used here, as the API writes it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Starter {
    /// Qualified with its plugin's id.
    pub id: String,
    /// For people.
    pub name: String,
    /// For people.
    pub description: String,
    /// Groups starters in a list.
    pub category: String,
    /// Icon name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icon: Option<String>,
    /// Whose it is.
    pub owner_plugin_id: String,
    /// The definition in normal form.
    pub definition: Value,
    /// The same in its shortest form, for an editor.
    pub yaml: String,
}

/// A starter that cannot be used here.
#[derive(Clone, Debug, PartialEq)]
pub struct Withheld {
    /// Its qualified id.
    pub id: String,
    /// Why.
    pub reason: Reason,
}

/// Why a starter is withheld.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// It names what is not here; each as one sentence.
    Missing(Vec<String>),
    /// It is wrong; each finding as `path: message`.
    Invalid(Vec<String>),
}

/// All starters, judged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Starters {
    /// Those that can be used, in order of id.
    pub served: Vec<Starter>,
    /// The others.
    pub withheld: Vec<Withheld>,
}

/// Codes that say that something is not registered, or that this engine does not run it.
const MISSING: [&str; 5] = [
    "unknown_trigger",
    "unknown_wait_event",
    "unknown_action",
    "unknown_filter",
    "not_supported_yet",
];

impl Starters {
    /// Judges every registered starter with the validation that a stored definition would meet, and
    /// logs those that are withheld. To be called when every plugin is ready.
    pub fn judge(registries: &Registries, validate: &dyn Fn(&Value) -> Validation) -> Self {
        let mut all = Self::default();
        let mut seen = HashSet::new();
        for starter in registries.starters() {
            let outcome = if seen.insert(starter.id.clone()) {
                judge(&starter, validate)
            } else {
                Err(Reason::Invalid(vec!["there are two of this id".into()]))
            };
            match outcome {
                Ok(served) => all.served.push(served),
                Err(reason) => {
                    tell(&starter.id, &reason);
                    let id = starter.id.clone();
                    all.withheld.push(Withheld { id, reason });
                }
            }
        }
        all.served.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }
}

fn tell(starter: &str, reason: &Reason) {
    match reason {
        Reason::Missing(what) => {
            tracing::warn!(
                starter,
                missing = what.join("; "),
                "A starter automation is not offered: it names what is not here."
            );
        }
        Reason::Invalid(issues) => {
            tracing::error!(
                starter,
                issues = issues.join("; "),
                "A starter automation is not offered: its definition is not valid any more."
            );
        }
    }
}

fn judge(
    starter: &Registered<StarterDef>,
    validate: &dyn Fn(&Value) -> Validation,
) -> Result<Starter, Reason> {
    let misshapen = misshapen(starter);
    if !misshapen.is_empty() {
        return Err(Reason::Invalid(misshapen));
    }
    let found = validate(&starter.definition);
    let definition = definition(found)?;
    Ok(Starter {
        id: starter.id.clone(),
        name: starter.name.clone(),
        description: starter.description.clone(),
        category: starter.category.clone(),
        icon: starter.icon.clone(),
        owner_plugin_id: starter.owner.to_string(),
        yaml: yaml::emit(&definition.to_minimal()),
        definition: definition.to_value(),
    })
}

fn misshapen(starter: &StarterDef) -> Vec<String> {
    let limits = [
        ("name", &starter.name, 120),
        ("description", &starter.description, 500),
        ("category", &starter.category, 80),
    ];
    limits
        .into_iter()
        .filter_map(|(key, text, most)| {
            let length = text.chars().count();
            (length == 0 || length > most)
                .then(|| format!("{key}: expected 1 to {most} characters, found {length}"))
        })
        .collect()
}

/// The definition, if nothing is wrong with it. What is missing is named even where more is wrong:
/// with its plugin here the rest may be right.
fn definition(found: Validation) -> Result<Definition, Reason> {
    let errors: Vec<&Diagnostic> = errors(&found.issues).collect();
    let missing: Vec<String> = errors
        .iter()
        .filter(|d| MISSING.contains(&d.code))
        .map(|d| d.message.clone())
        .collect();
    if !missing.is_empty() {
        return Err(Reason::Missing(missing));
    }
    match found.definition {
        Some(definition) if errors.is_empty() => Ok(definition),
        _ => Err(Reason::Invalid(
            errors
                .iter()
                .map(|d| format!("{}: {} ({})", path_text(&d.path), d.message, d.code))
                .collect(),
        )),
    }
}

fn errors(issues: &Diagnostics) -> impl Iterator<Item = &Diagnostic> {
    issues.iter().filter(|d| d.severity == Severity::Error)
}
