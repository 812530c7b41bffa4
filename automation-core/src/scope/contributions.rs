//! What actions that have run leave behind (`definition §14.2`).

use super::Entry;
use crate::registry::Registries;
use serde_json::Value;

/// Variables and artifacts of the actions before a place.
#[derive(Default)]
pub(super) struct Upstream {
    variables: Vec<Entry>,
    artifacts: Vec<Entry>,
}

impl Upstream {
    /// Adds what an action leaves behind. Nothing leaks out of `choose`, `parallel` and `repeat`; a
    /// `sequence` contributes its content; a disabled action contributes nothing; what may have
    /// failed is optional.
    pub fn add(&mut self, action: &Value, registries: &Registries, optional: bool) {
        if action.get("enabled") == Some(&Value::Bool(false)) {
            return;
        }
        let optional = optional || action.get("continue_on_error") == Some(&Value::Bool(true));
        if let Some(map) = action.get("variables").and_then(Value::as_object) {
            for (name, value) in map {
                self.variable(name, value, optional);
            }
        }
        for inner in action
            .get("sequence")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            self.add(inner, registries, optional);
        }
        self.artifact(action, registries, optional);
    }

    fn variable(&mut self, name: &str, value: &Value, optional: bool) {
        // Later ones override.
        self.variables
            .retain(|v| v.path != format!("variables.{name}"));
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let mut entry = Entry::below(&Entry::root("variables", "object"), name, kind);
        entry.optional = optional;
        self.variables.push(entry);
    }

    fn artifact(&mut self, action: &Value, registries: &Registries, optional: bool) {
        let text = |key: &str| action.get(key).and_then(Value::as_str);
        let (Some(id), Some(name)) = (text("id"), text("action")) else {
            return;
        };
        let Some(registered) = registries.action(name) else {
            return;
        };
        let Some(local) = &registered.produces else {
            return;
        };
        let mut by_id = Entry::below(&Entry::root("artifacts", "object"), id, "object");
        let mut entry = Entry::below(&by_id, local, "object");
        if let Some(artifact) = registries.artifact_type(&registered.owner.qualify(local)) {
            entry = entry.shaped(&artifact.schema, &artifact.schema);
        }
        by_id.children.push(entry);
        if optional {
            by_id.make_optional();
        }
        self.artifacts.push(by_id);
    }

    /// The root `variables`.
    pub fn variables(&self) -> Entry {
        Entry {
            children: self.variables.clone(),
            ..Entry::root("variables", "object")
        }
    }

    /// The root `artifacts`.
    pub fn artifacts(&self) -> Entry {
        Entry {
            children: self.artifacts.clone(),
            ..Entry::root("artifacts", "object")
        }
    }
}
