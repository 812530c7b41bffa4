//! What names mean while a run is walked (`dispatch §10`): a view that borrows from the run's base
//! scope, its frame and freshly read state, so that nothing is merged into one document.

use serde_json::Value;
use std::sync::{Arc, OnceLock};
use template_engine::Scope;

/// Live state as one site reads it: the `health` and `state` roots.
#[derive(Clone, Debug, PartialEq)]
pub struct Live {
    /// `{system?, systems}`.
    pub health: Value,
    /// `{<kind>: {<id>: …}}`.
    pub state: Value,
    /// Something asked for could not be read; a wait must not end on this (`entity §19.4.4`).
    pub unresolved: bool,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            health: serde_json::json!({"systems": {}}),
            state: serde_json::json!({}),
            unresolved: false,
        }
    }
}

impl Live {
    /// Nothing was read: one for all sites whose expressions look at no live state.
    pub fn none() -> Arc<Self> {
        static NONE: OnceLock<Arc<Live>> = OnceLock::new();
        NONE.get_or_init(Arc::default).clone()
    }
}

/// The part of a run's scope that a walk does not change. Its parts are shared: a thousand
/// automations that look at one event look at one copy of it.
#[derive(Clone, Debug)]
pub struct Base {
    /// `{id, event, eventId, actor, payload}`.
    pub trigger: Arc<Value>,
    /// Start of the run, as text.
    pub now: Arc<Value>,
    /// As old as the walk's start or last resume.
    pub live: Arc<Live>,
}

/// All names at one place of the tree.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The run's base scope.
    pub base: &'a Base,
    /// Live state, if fresher than the base's.
    pub live: &'a Live,
    /// Variables in force here; also under `var`.
    pub variables: &'a Value,
    /// Artifacts of the run.
    pub artifacts: &'a Value,
    /// `{index, item?}` of the innermost loop.
    pub repeat: Option<&'a Value>,
    /// `{payload}` after an event ended a wait.
    pub resume: Option<&'a Value>,
}

impl<'a> View<'a> {
    /// The names at one place of a run.
    pub fn of(base: &'a Base, live: &'a Live, locals: &'a super::frame::Locals) -> Self {
        Self {
            base,
            live,
            variables: &locals.variables,
            artifacts: &locals.artifacts,
            repeat: locals.repeat.as_ref(),
            resume: locals.resume.as_ref(),
        }
    }
}

impl Scope for View<'_> {
    fn root(&self, name: &str) -> Option<&Value> {
        match name {
            "trigger" => Some(&self.base.trigger),
            "variables" | "var" => Some(self.variables),
            "artifacts" => Some(self.artifacts),
            "now" => Some(&self.base.now),
            "health" => Some(&self.live.health),
            "state" => Some(&self.live.state),
            "repeat" => self.repeat,
            "resume" => self.resume,
            _ => None,
        }
    }
}
