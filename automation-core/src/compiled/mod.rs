//! Definitions compiled once (design §3.8): every expression and template parsed, every config
//! turned into a tree that renders, so that nothing is parsed on the hot path.
//!
//! The tree mirrors [`Definition`]; walkers follow it by the same
//! paths. Expressions, templates and conditions are template-engine's own types: their ASTs stay
//! readable for reference extraction, and a condition's next time boundary is
//! [`TimeWindow::next_boundary`](template_engine::condition::TimeWindow::next_boundary).

mod action;
mod compile;
mod condition;
mod config;
pub(crate) mod diagnostics;
mod duration;
mod retry;
mod trigger;

pub use action::{CompiledAction, CompiledBranch, CompiledKind, CompiledProvider, CompiledRepeat};
pub use config::{ConfigTemplate, RenderError};
pub use duration::{CompiledDelay, CompiledDuration};
pub use retry::CompiledRetry;
pub use template_engine::condition::Condition;
pub use trigger::{CompiledTrigger, CompiledWindow};

use crate::{Diagnostics, definition::Definition, registry::Registries};
use serde_json::Value;

/// A definition ready to run.
#[derive(Clone, Debug)]
pub struct CompiledDefinition {
    /// What it was compiled from: mode, limits, state settings, names.
    pub definition: Definition,
    /// Triggers, in order.
    pub triggers: Vec<CompiledTrigger>,
    /// Pre-run conditions; all must hold.
    pub conditions: Vec<Condition>,
    /// The action tree.
    pub actions: Vec<CompiledAction>,
}

impl CompiledDefinition {
    /// Compiles a definition. The registries say which config fields are never rendered and bring
    /// configs to their current version; what they do not know is compiled without a schema and
    /// fails when it is reached.
    ///
    /// # Errors
    /// Diagnostics for each text that does not parse. A definition that was stored without errors
    /// has none (`definition §2.8`).
    pub fn compile(definition: &Definition, registries: &Registries) -> Result<Self, Diagnostics> {
        compile::definition(definition, registries)
    }

    /// Reads and compiles a stored document; unknown keys are ignored (`definition §8`) and logged.
    ///
    /// # Errors
    /// Diagnostics, when the row cannot run; dispatch skips it.
    pub fn load(stored: &Value, registries: &Registries) -> Result<Self, Diagnostics> {
        let lenient = Definition::read_stored(stored)?;
        for path in &lenient.ignored {
            tracing::warn!(
                path = crate::path_text(path),
                automation = lenient.definition.name,
                "a stored definition has a key this program does not know; it is ignored"
            );
        }
        Self::compile(&lenient.definition, registries)
    }

    /// The trigger with an effective id.
    pub fn trigger(&self, effective_id: &str) -> Option<&CompiledTrigger> {
        self.triggers.iter().find(|t| t.id == effective_id)
    }
}
